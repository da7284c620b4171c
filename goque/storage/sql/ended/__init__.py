"""Ended tasks in the order in which they ended."""
