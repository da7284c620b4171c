"""Runs handlers, in a worker or in the calling process."""
