"""A storage on any SQL database: what all databases share."""
