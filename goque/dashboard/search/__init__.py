"""The search box: ids, external ids and types."""
