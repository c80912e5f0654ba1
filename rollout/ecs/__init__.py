"""The ECS API: its facts (L2, pure) and the client that speaks it (L3)."""
