"""The pool groups of a tree: for each pool of types a fetcher, its workers and its crash callbacks."""
