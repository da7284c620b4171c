"""goque's schema as Django's migrations, one for each of goque's own."""
