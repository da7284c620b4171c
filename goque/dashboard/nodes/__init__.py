"""The page of nodes."""
