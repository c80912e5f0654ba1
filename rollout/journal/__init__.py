"""L3, the hash-chained journal: audit log of a run and the only truth about it."""
