"""The recorded steps of tasks: answer runs, keep signals, let waiting tasks go on, and delete what is not needed."""
