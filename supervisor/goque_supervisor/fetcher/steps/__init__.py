"""What a fetcher does for the steps of running tasks: it answers questions about them, and writes their progress."""
