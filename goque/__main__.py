"""`python -m goque` is `goque`."""

from goque.cli import main

main()
