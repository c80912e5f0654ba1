"""L3, the emulated cloud: an ECS endpoint with a hidden ledger of every effect."""
