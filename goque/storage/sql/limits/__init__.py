"""What the parts of a SQL storage share about limits: statements, walks over keys, which types are limited."""
