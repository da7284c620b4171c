"""How the page of a task shows its recorded steps: a timeline, and a table."""
