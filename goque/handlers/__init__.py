"""What an application calls a handler by: enqueue its tasks, with the types that its annotation says."""
