"""The command line: one module for each command. A module imports the code it needs when its command is called."""
