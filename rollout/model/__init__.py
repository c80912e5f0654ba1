"""L0, the nouns: frozen structs. Pure."""
