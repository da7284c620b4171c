"""What the dashboard reads again and again for all who look: the last hour, a week in summary, counts by status."""
