"""SQL texts by name: what every dialect has, and its own."""
