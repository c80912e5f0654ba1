"""The checker of approvals: nothing begins before enough persons signed the plan.

It compares the journal with who really signed, and never verifies a signature. Listed and called by
`checkers`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.model import event as ev
from rollout.sim.check.history import History


class ApprovedFirst:
    """No wave starts and no intent is written before the journal has the required approvals, each
    by another person who signed this plan and may do so.
    """

    ids = ("I-90",)

    def check(self, history: History) -> Iterator[str]:
        """Compare the order of lines, and their keys with the notes next to the plan."""
        approvers = history.record.plan.approvers()
        if approvers is None:
            return
        signed: set[str] = set()
        for journaled in history.journaled:
            match journaled.event:
                case ev.Approved(key=key):
                    if key not in history.record.approvals.valid:
                        yield f"{key} did not approve this plan, or may not"
                    else:
                        signed.add(key)
                case ev.WaveStarted() | ev.Issued() as begun:
                    if len(signed) < approvers.required:
                        text = f"{len(signed)} of {approvers.required} approvals"
                        yield f"{type(begun).__name__} at line {journaled.seq} with {text}"
                        return
                case _:
                    pass
