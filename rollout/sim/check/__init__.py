"""Checkers of simulated runs, and the seeds, crash points and coverage they are applied to."""
