"""What lists of tasks show beside their rows: counts by status, beginnings of payloads, tasks by their names."""
