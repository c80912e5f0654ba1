"""Recheck a journal: the rules of a run, recomputed from its plan and its events alone."""
