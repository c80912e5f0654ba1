"""`rollout demo`: a rotation on the emulator. Needs only the loopback network, no cloud account."""

from __future__ import annotations

from rollout.cli.options import Common
from rollout.cli.terminal import Terminal
from rollout.errors import Exit, UsageError
from rollout.model.phrase import say

SIZE_MIN = 30
"""Fewer instances leave nothing to kill half-way."""


def demo(
    *,
    size: int = 600,
    seed: int = 7,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Rotate an emulated fleet, kill the run halfway, resume, verify.

    Parameters
    ----------
    size
        Instances of the emulated fleet.
    seed
        Seed of the random fleet and faults.
    """
    import time

    from rollout.cli.demo import Demo

    if size < SIZE_MIN:
        raise UsageError.of(
            "R0001", say("--size {size}: at least {least}", size=size, least=SIZE_MIN)
        )
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = (common.runs_dir / "demo" / stamp).absolute()
    findings = Demo(Terminal.of(common), folder, size, seed).run()
    return Exit.DONE if all(finding.holds for finding in findings) else Exit.FAILED
