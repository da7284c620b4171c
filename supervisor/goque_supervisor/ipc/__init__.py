"""How the processes of a tree reach each other: messages, sockets, files that outlive a process, signals."""
