"""The options that several commands take, and the kinds of their values."""
