"""Locks: which process drives the runs of a directory, and which one drives each run."""
