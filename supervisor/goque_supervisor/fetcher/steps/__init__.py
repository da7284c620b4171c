"""What a fetcher does for handlers that run: it answers their questions about steps, and writes their progress."""
