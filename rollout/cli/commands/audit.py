"""`rollout audit show`, `rollout audit verify`: print a run's journal, or verify it."""

from __future__ import annotations

from itertools import chain
from typing import Annotated, Literal

from rollout.cli import output as output_
from rollout.cli.options import OUTPUT, Common
from rollout.cli.output import Output, Shown
from rollout.cli.terminal import Terminal
from rollout.cli.views import render
from rollout.errors import Exit, UsageError
from rollout.model.phrase import say


def show(
    run: str | None = None,
    /,
    *,
    instance: str | None = None,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Show who changed which instance, when and why.

    Parameters
    ----------
    run
        The run's id or a unique prefix of it. Default: the newest run.
    instance
        Show only events of this instance, and events of the whole run.
    """
    from rollout.app import audit, runs
    from rollout.cli.views import audit as views

    terminal = Terminal.of(common)
    found = runs.find(common.runs_dir, run)
    plan, entries = audit.read_log(found, instance)
    first = next(entries, None)
    if instance is not None and first is None and form == Output():
        _explain(terminal, views.exclusion(plan, instance), instance)
        return
    every = chain(() if first is None else (first,), entries)
    if form == Output():
        for entry in every:
            terminal.show(views.text(entry, terminal.columns))
        return
    rows = map(views.data, every)
    result = Shown(
        text=str,
        document=lambda: {"format_version": "1.0", "run": found.id, "entries": [*rows]},
        rows=lambda: rows,
        ids=lambda: (row["id"] for row in rows),
    )
    output_.show(terminal, form, result)


def verify(
    run: str | None = None,
    /,
    *,
    head: str | None = None,
    output: Annotated[Literal["table", "json"], OUTPUT] = "table",
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Verify a run's hash chain, rules and caps from its journal alone.

    Parameters
    ----------
    run
        The run's id or a unique prefix of it. Default: the newest run.
    head
        SEQ:HASH printed by `apply`, `resume` or `audit verify`: fail if the journal lacks it.
    output
        Format of the result.
    """
    from rollout.app import audit
    from rollout.cli.views import audit as views
    from rollout.errors import IntegrityError

    terminal = Terminal.of(common)
    verdict = audit.verify_journal(common.runs_dir, run, head)
    if output == "json":
        terminal.show(render.as_json(views.verdict_data(verdict)))
    else:
        terminal.show(views.verdict_text(verdict, terminal.width))
    if verdict.problems and output == "table":
        terminal.error(IntegrityError(verdict.problems, verdict.exit))
        more = verdict.problems_found - len(verdict.problems)
        if more > 0:
            terminal.say(say("… and {more:,} more", more=more))
    return verdict.exit


def _explain(terminal: Terminal, reason: str, instance: str) -> None:
    """Show why a run has no events of an instance."""
    if not reason:
        raise UsageError.of(
            "R0003",
            say("{instance} is not in the run's inventory", instance=instance),
            help=say("rollout audit show without --instance shows the whole run"),
        )
    terminal.show(reason)
