"""`python -m goque.cli` is `goque`."""

from goque.cli import main

main()
