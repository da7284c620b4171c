"""Describes tasks, runs and nodes in words and numbers, for the log, the command line and the dashboard."""
