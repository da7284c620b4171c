"""Runs tasks again in workers of their own, beside the table: nothing is claimed and nothing is written."""
