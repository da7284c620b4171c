"""What the dashboard reads again and again for all who look: the last hour of a queue, and the roll-ups of a week."""
