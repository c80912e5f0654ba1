"""`rollout apply`: execute a reviewed plan, or plan a spec, ask, and execute that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from rollout.cli.options import Cloud, Common
from rollout.cli.terminal import Terminal
from rollout.errors import ConfirmationError, Exit, UsageError

if TYPE_CHECKING:
    from rollout.cli.planning import Made
    from rollout.cli.report import Ended
    from rollout.model.plan import Plan


def apply(
    target: Path,
    /,
    *,
    confirm: str | None = None,
    digest: str | None = None,
    allow_empty: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    allow_unsafe_fs: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    output: Annotated[Literal["table", "json", "ids"], Parameter(name=("--output", "-o"))] = (
        "table"
    ),
    cloud: Cloud = Cloud(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Execute a plan: attach, restart, wait, within the budgets.

    Parameters
    ----------
    target
        Plan file (it was reviewed, so nothing is asked), or a spec to plan now.
    confirm
        The spec's name: answers the question that a spec would ask.
    digest
        Digest the plan file must have, instead of the one saved beside it.
    allow_empty
        Accept that a spec's inventory is empty.
    allow_unsafe_fs
        Accept a network or user-space file system for the runs.
    output
        Form of the result; ids: the instances left for a person.
    """
    import anyio

    from rollout.cli import applying, ending, planfile, planning, running, wiring
    from rollout.engines.clock import LoopClock

    terminal = Terminal.of(common)
    is_spec = target.suffix in (".yaml", ".yml")
    if is_spec and digest is not None:
        raise UsageError.of("R0002", "--digest is for a plan file, this is a spec")
    reviewed = None if is_spec else planfile.load(target, digest)
    if reviewed is not None:
        applying.check_plan(reviewed.plan)
        if not reviewed.plan.counts.targets:
            return _nothing(terminal)

    async def go() -> Ended | None:
        now = LoopClock().now()
        with running.hold_runs(common, terminal, now, allow_unsafe_fs=allow_unsafe_fs) as runner:
            async with wiring.connect(cloud) as service:
                saved = reviewed
                if saved is None:
                    made = await planning.make(
                        target, service, common.runs_dir, allow_empty=allow_empty
                    )
                    saved = made.saved
                    terminal.say(_preview(made, terminal.width))
                    if not saved.plan.counts.targets:
                        return None
                    _confirm(terminal, saved.plan, confirm)
                await applying.check(saved, service, common.runs_dir)
                return await runner.begin(saved, service)

    ended = anyio.run(go)
    return _nothing(terminal) if ended is None else ending.show(terminal, ended, output)


def _preview(made: Made, width: int) -> str:
    from rollout.cli import preview

    return preview.text(made.saved.plan, made.saved.digest, width, reading=made.reading) + "\n"


def _nothing(terminal: Terminal) -> Exit:
    terminal.say("Nothing to do: no instance is to be rotated.")
    return Exit.DONE


def _confirm(terminal: Terminal, plan: Plan, given: str | None) -> None:
    """A person types the spec's name, or --confirm names it; everything else is a no."""
    if given is None:
        if not terminal.may_ask:
            raise ConfirmationError.of(
                "R0701",
                "this would ask for a confirmation, and nobody is there to answer",
                help=f"add --confirm {plan.name}, or apply a reviewed plan file",
            )
        given = terminal.ask(_question(plan))
    if given != plan.name:
        raise ConfirmationError.of(
            "R0702",
            f"the confirmation does not match the spec's name {plan.name}; nothing was begun",
            help=f"add --confirm {plan.name}",
        )


def _question(plan: Plan) -> str:
    from rollout.cli import preview

    where = "EMULATOR" if preview.is_emulated(plan) else "the real service"
    accounts = ", ".join(identity.account for identity in plan.identity)
    return (
        f"Rotate {plan.counts.targets:,} instances of account {accounts} on {where}?\n"
        f"Type the spec's name, {plan.name}, to begin:"
    )
