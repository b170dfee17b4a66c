"""The commands of the command line, one module a group. `cli` puts them together; nothing below imports them."""
