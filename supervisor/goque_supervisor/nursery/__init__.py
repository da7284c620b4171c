"""The processes that import the app once and fork all the others."""
