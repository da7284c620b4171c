"""How a handler is called, in a worker or in the calling process."""
