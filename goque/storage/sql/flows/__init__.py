"""Flows in a SQL database: insert them, go on when a need has ended, and read them."""
