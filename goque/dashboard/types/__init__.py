"""The pages of types and of pools."""
