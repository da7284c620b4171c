"""The fetcher: claims tasks, sends them to workers, and writes how they ended."""
