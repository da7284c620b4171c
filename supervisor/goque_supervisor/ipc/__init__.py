"""How the processes of a tree communicate: messages, sockets, files that outlive a process, signals."""
