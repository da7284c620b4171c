"""The pool groups of a tree: for each task type a fetcher, its workers and its crash callbacks."""
