"""What a handler or an application wants to be inserted, as data: tasks, and flows of tasks that need others."""
