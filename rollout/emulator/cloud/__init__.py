"""The state of an emulated cloud: instances, key pairs, regions, quotas, users, hidden ledger."""
