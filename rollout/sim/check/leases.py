"""The checker of leases: two runs never change the same region at the same time.

It compares the calls that were sent with when another run held a lease, and reads no lease file.
Listed and called by `checkers`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.model import limits
from rollout.sim.check.history import History


class LeasesHeld:
    """No call is sent to a region while another run may send calls there, and none is in flight
    when another run takes the lease over from a stopped process. A process that drives a run
    refuses no run of other regions.
    """

    ids = ("I-48", "I-91")

    def check(self, history: History) -> Iterator[str]:
        """Compare each send with each time in which another run held the lease of its region."""
        record = history.record
        for hold in record.holds:
            ended = record.ended if hold.ended is None else hold.ended
            begun = hold.begun - (limits.CALL_TIMEOUT_MS if hold.seized else 0)
            for sent in history.sent:
                if sent.region == hold.region and begun <= sent.at < ended:
                    yield (
                        f"I-48: call {sent.n} left {sent.at - hold.begun} ms after another run got "
                        f"the lease of {hold.region}"
                    )
        for at in record.shut_out:
            yield f"I-91: a run of another region was refused at {at - record.begun} ms"
