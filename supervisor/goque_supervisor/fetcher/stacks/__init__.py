"""Requests for the stacks of running tasks, and how a fetcher answers them."""
