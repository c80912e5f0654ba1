"""One module per command; loaded when the command is called, so its top stays light."""
