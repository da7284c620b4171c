"""The page of periodic jobs."""
