"""Requests for the stacks of running tasks, and their answers, in a SQL database."""
