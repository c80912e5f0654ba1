"""`rollout drift`: list the instances of a spec that do not have its key pair in force."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.cli import output
from rollout.cli.language import tr, tr_many, translated
from rollout.cli.options import Accepting, CloudOptions, Common, Flag
from rollout.cli.output import Output, Shown
from rollout.cli.terminal import Terminal
from rollout.cli.views import render
from rollout.errors import Exit

if TYPE_CHECKING:
    from rollout.app.drift import DriftedInstance, FleetDrift


def drift(
    spec: Path,
    /,
    *,
    detailed_exitcode: Flag = False,
    form: Output = Output(),  # noqa: B008 - frozen
    accepting: Accepting = Accepting(),  # noqa: B008 - frozen
    cloud: CloudOptions = CloudOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """List the instances that do not have the spec's key pair in force. Changes nothing.

    Parameters
    ----------
    spec
        Spec to compare the fleet with.
    detailed_exitcode
        Exit with 2 if there are such instances, with 0 if there are none.
    """
    from rollout.app import drift as drifts
    from rollout.cli import eventloop, session

    terminal = Terminal.of(common)
    made = session.make(terminal, common, cloud)
    allow = accepting.allow()
    found = eventloop.run(partial(drifts.drift, spec, made, allow))
    output.show(terminal, form, result_of(found, terminal.width))
    return Exit.CHANGES if detailed_exitcode and found.drifted else Exit.DONE


def result_of(found: FleetDrift, width: int) -> Shown:
    """Return the drifted instances in all forms; the sum as text has at most `width` columns."""
    rows = [one._asdict() for one in found.drifted]
    return Shown(
        text=lambda: _table(found, width),
        document=lambda: {"format_version": "1.0", **found._asdict(), "drifted": rows},
        rows=lambda: rows,
        ids=lambda: (one.instance for one in found.drifted),
    )


def _key_pair(one: DriftedInstance) -> str:
    return "?" if one.key_pair is None else one.key_pair or "-"


def _why(one: DriftedInstance) -> str:
    why = translated(one.why)
    return f"{why}: {one.detail}" if one.detail else why


def _table(found: FleetDrift, width: int) -> str:
    lines = []
    if found.drifted:
        head = (tr("instance"), tr("region"), tr("key pair"), tr("why"))
        rows = [(one.instance, one.region, _key_pair(one), _why(one)) for one in found.drifted]
        lines = [*render.table([head, *rows], "<<<<", indent=0), ""]
    excluded = sum(found.excluded.values())
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in found.excluded.items())
    total = tr_many(
        "{number:,} instance of {found:,} without {key_pair} in force, {current:,} with it, "
        "{excluded:,} excluded",
        "{number:,} instances of {found:,} without {key_pair} in force, {current:,} with it, "
        "{excluded:,} excluded",
        len(found.drifted),
        found=found.found,
        key_pair=found.key_pair,
        current=found.current,
        excluded=excluded,
    )
    lines += render.wrap(total + (f": {reasons}" if reasons else ""), width)
    return "\n".join(lines)
