"""Claims of due tasks: of one type, of several, behind those that cannot be changed."""
