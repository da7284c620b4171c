"""`goque replay`: run tasks again in workers of their own, and write nothing to the table."""
