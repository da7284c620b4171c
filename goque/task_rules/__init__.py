"""What a task may be made of, when a second one is kept out, and how many run at once: rules without I/O."""
