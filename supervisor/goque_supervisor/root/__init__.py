"""The root supervisor: what it starts, watches, starts again and stops."""
