"""L3, where instances are read from: the live API and files."""
