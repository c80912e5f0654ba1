"""L5, the command line: arguments, dispatch and rendering."""
