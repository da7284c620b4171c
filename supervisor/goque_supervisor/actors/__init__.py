"""The other processes of a tree: lease, healer, cleaner, scheduler, monitor and reloader."""
