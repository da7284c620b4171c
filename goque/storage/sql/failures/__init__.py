"""Groups of failed attempts: how they are counted, read and deleted."""
