"""Integrations with frameworks, one module each. No other module of goque imports them."""
