"""The command line: one module a group of commands, each importing its work when it is called."""
