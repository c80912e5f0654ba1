"""Commands about key pairs: list, import and delete them, and find the instances that have one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rollout.cli import output
from rollout.cli.language import tr
from rollout.cli.options import CloudOptions, Common, Flag
from rollout.cli.output import Output, Shown
from rollout.cli.terminal import Terminal
from rollout.cli.views import render
from rollout.errors import Exit

if TYPE_CHECKING:
    from rollout.app.keys import KeyPairState

Rows = Sequence[Mapping[str, str]]
"""Rows of a result; all have the same fields."""
Region = Annotated[tuple[str, ...], Parameter(negative="")]


def list(  # noqa: A001 - the name of the command
    *,
    region: Region = (),
    form: Output = Output(),  # noqa: B008 - frozen
    cloud: CloudOptions = CloudOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """List the key pairs of each region. Changes nothing.

    Parameters
    ----------
    region
        Region to list; repeatable. Default: all regions of the account.
    """
    from rollout.app import keys
    from rollout.cli import eventloop, session
    from rollout.model.time import format_instant

    terminal = Terminal.of(common)
    made = session.make(terminal, common, cloud)
    found = eventloop.run(partial(keys.list_all, made, region))
    rows = [
        {
            "region": name,
            "key_pair": one.name,
            "fingerprint": one.fingerprint,
            "created_at": format_instant(one.created_at),
        }
        for name, pairs in found.items()
        for one in pairs
    ]
    return _show(terminal, "key_pairs", rows, form, tr("No key pairs."))


def usage(
    name: str,
    /,
    *,
    region: Region = (),
    form: Output = Output(),  # noqa: B008 - frozen
    cloud: CloudOptions = CloudOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """List the instances that have a key pair. Changes nothing.

    Parameters
    ----------
    name
        Name of the key pair.
    region
        Region to search; repeatable. Default: all regions of the account.
    """
    from rollout.app import keys
    from rollout.cli import eventloop, session

    terminal = Terminal.of(common)
    made = session.make(terminal, common, cloud)
    found = eventloop.run(partial(keys.usage, name, made, region))
    rows = [{"region": one.region, "instance": one.id, "status": one.status.value} for one in found]
    return _show(
        terminal, "instances", rows, form, tr("No instance has key pair {name}.", name=name)
    )


def ensure(
    name: str,
    /,
    *,
    public_key: Path,
    confirm: str | None = None,
    region: Region = (),
    form: Output = Output(),  # noqa: B008 - frozen
    cloud: CloudOptions = CloudOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Import a public key into each region that lacks the key pair; compare it in the others.

    Parameters
    ----------
    name
        Name of the key pair.
    public_key
        File with the OpenSSH public key.
    confirm
        The key pair's name: confirms the import, if the safety policy of the aliyun CLI wants it.
    region
        Region to import into; repeatable. Default: all regions of the account.
    """
    from rollout.app import keys
    from rollout.cli import confirmation, eventloop, session

    terminal = Terminal.of(common)
    made = session.make(terminal, common, cloud)

    def ask(regions: keys.Regions, rules: Sequence[str]) -> None:
        confirmation.confirm_import(terminal, name, regions, rules, confirm)

    states = eventloop.run(partial(keys.ensure, name, public_key, made, ask, region))
    return _show(terminal, "key_pairs", _states(states), form, tr("No regions."))


def retire(
    name: str,
    /,
    *,
    confirm: str | None = None,
    region: Region = (),
    allow_unsafe_fs: Flag = False,
    form: Output = Output(),  # noqa: B008 - frozen
    cloud: CloudOptions = CloudOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Delete a key pair, if no instance has it and no open run needs it.

    Parameters
    ----------
    name
        Name of the key pair.
    confirm
        The key pair's name: confirms without a prompt.
    region
        Region to delete it in; repeatable. Default: all regions of the account.
    allow_unsafe_fs
        Accept a network or user-space file system for the runs directory.
    """
    from rollout.app import keys
    from rollout.cli import confirmation, eventloop, session

    terminal = Terminal.of(common)
    made = session.make(terminal, common, cloud, unsafe_fs=allow_unsafe_fs)

    def ask(regions: keys.Regions) -> None:
        confirmation.confirm_retire(terminal, name, regions, confirm)

    states = eventloop.run(partial(keys.retire, name, made, ask, region))
    return _show(terminal, "key_pairs", _states(states), form, tr("No regions."))


def _states(states: Sequence[KeyPairState]) -> Rows:
    return [
        {"region": one.region, "state": one.state, "fingerprint": one.fingerprint} for one in states
    ]


def _show(terminal: Terminal, noun: str, rows: Rows, form: Output, nothing: str) -> Exit:
    """Print rows with the same fields. Their ids are the names of instances, key pairs or regions,
    the first of these that they have.
    """
    names = [name for name in ("instance", "key_pair", "region") if rows and name in rows[0]]

    def table() -> str:
        cells = [render.heading(tuple(rows[0])), *(tuple(row.values()) for row in rows)]
        lines = render.table(cells, "<" * len(rows[0]), indent=0)
        return "\n".join(render.fit(line, terminal.columns) for line in lines)

    result = Shown(
        text=table if rows else lambda: nothing,
        document=lambda: {"format_version": "1.0", noun: rows},
        rows=lambda: map(dict, rows),
        ids=lambda: (row[names[0]] for row in rows),
    )
    output.show(terminal, form, result)
    return Exit.DONE
