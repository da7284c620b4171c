"""The overview: the figures and charts of a queue over a range of time, and what is unwell."""
