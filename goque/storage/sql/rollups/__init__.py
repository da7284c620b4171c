"""Counts of runs by slots of time, on a SQL storage."""
