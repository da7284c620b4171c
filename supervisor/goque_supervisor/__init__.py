"""The supervision tree of goque: a root that cannot be taken down, and the processes that it keeps alive."""
