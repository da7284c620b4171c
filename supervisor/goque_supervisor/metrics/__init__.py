"""What the processes of a tree count, and how it becomes Prometheus metrics."""
