"""What a fetcher claims next, and when."""
