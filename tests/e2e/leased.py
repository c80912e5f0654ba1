"""Run the command line with leases of a few seconds: `leased.py apply …`. Used only by tests."""

from __future__ import annotations

from rollout.cli import main
from rollout.model import limits

limits.LEASE_MS = 4_000
limits.LEASE_MARGIN_MS = 500
limits.CALL_TIMEOUT_MS = 1_000
limits.LEASE_BEAT_MS = 200
limits.LEASE_LIVE_MS = 1_500

if __name__ == "__main__":
    main.run()
