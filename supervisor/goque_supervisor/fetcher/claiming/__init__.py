"""What a fetcher claims next and when, and the thread in which it claims while it settles."""
