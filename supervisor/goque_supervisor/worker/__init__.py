"""The workers: processes that run handlers."""
