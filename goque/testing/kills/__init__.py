"""Kills a handler at each point of its steps, and compares what it leaves behind then with an undisturbed run."""
