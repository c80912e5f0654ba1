"""Questions to systems outside the service: gates. Each answer is a value; nothing raises.

Called by the engine through its ports, and by preflight. Decides nothing about a run.
"""
