"""The Python stack of a running task: what it is made of, and how to ask for it."""
