"""The shop's migrations; goque's own are in goque.contrib.django."""
