"""The overview: what is known of a queue, its figures over a range of time, its charts, and what is unwell."""
