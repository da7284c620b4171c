"""What a fetcher does for the steps and the progress of running tasks."""
