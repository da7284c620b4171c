"""The stack of a running task on the page of the task."""
