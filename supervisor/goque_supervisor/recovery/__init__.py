"""How tasks whose process is gone are returned: what fetchers and actors share."""
