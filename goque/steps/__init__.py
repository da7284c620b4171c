"""Steps of a handler: what a run asks, and what it is answered. Values and words only, no I/O."""
