"""What the processes of a tree count, and how Prometheus metrics are made from it."""
