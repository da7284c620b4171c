"""The pages of groups of failures, and what people do with a group."""
