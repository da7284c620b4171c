"""A Django project that is one app: a shop."""
