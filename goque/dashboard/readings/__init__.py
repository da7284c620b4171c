"""Readings that pages share, so that many who look cost no more than one."""
