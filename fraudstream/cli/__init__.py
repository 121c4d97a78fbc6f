"""The command line, `./fraudctl`: a file a group of commands."""
