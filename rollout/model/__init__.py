"""L0: frozen structs. Pure."""
