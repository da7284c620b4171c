"""goque stack."""
