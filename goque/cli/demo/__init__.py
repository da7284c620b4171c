"""`goque demo`: a tour of goque at work."""
