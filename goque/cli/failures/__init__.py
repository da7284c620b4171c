"""`goque failures`, and what `goque reset` and `goque cancel` do with a group of failures."""
