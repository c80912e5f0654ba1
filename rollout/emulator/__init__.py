"""L3, the pretend cloud: an ECS endpoint with a hidden ledger of every effect."""
