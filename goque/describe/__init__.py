"""Tasks, runs and nodes in words and numbers, for everybody who looks at them."""
