"""What joins goque to frameworks, each in a module of its own; none of them is needed, or imported, elsewhere."""
