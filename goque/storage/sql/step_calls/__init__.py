"""The calls of the contract about recorded steps, above the statements in `recorded_steps`."""
