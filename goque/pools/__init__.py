"""Pools: sets of worker processes that run the tasks of several types."""
