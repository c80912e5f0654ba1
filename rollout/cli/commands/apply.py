"""`rollout apply`: execute a reviewed plan, or plan a spec, ask, and execute that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rollout.cli.options import OUTPUT, Cloud, Common, Flag
from rollout.cli.terminal import Terminal
from rollout.errors import ConfirmationError, Exit, UsageError

if TYPE_CHECKING:
    from rollout.cli.planfile import Saved
    from rollout.cli.report import Ended
    from rollout.cli.running import Runner
    from rollout.engines.service import Service
    from rollout.model.plan import Plan


def apply(
    target: Path,
    /,
    *,
    confirm: str | None = None,
    digest: str | None = None,
    allow_empty: Flag = False,
    allow_unsafe_fs: Flag = False,
    output: Annotated[Literal["table", "json", "ids"], OUTPUT] = "table",
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

    from rollout.cli import applying, ending, planfile, running, wiring
    from rollout.engines.clock import LoopClock

    terminal = Terminal.of(common)
    is_spec = target.suffix in (".yaml", ".yml")
    if is_spec and digest is not None:
        raise UsageError.of("R0002", "--digest is for a plan file, this is a spec")
    reviewed = None if is_spec else planfile.load(target, digest)
    if reviewed is not None:
        applying.check_plan(reviewed.plan)
        if not reviewed.plan.counts.targets:
            return _nothing(terminal, output)

    async def go() -> Ended | None:
        now = LoopClock().now()
        with running.hold_runs(common, terminal, now, allow_unsafe_fs=allow_unsafe_fs) as runner:
            async with wiring.connect(cloud) as service:
                saved = reviewed or await _plan(target, service, runner, confirm, allow_empty)
                if not saved.plan.counts.targets:
                    return None
                await applying.check(saved, service, common.runs_dir)
                return await runner.begin(saved, service)

    ended = anyio.run(go)
    return _nothing(terminal, output) if ended is None else ending.show(terminal, ended, output)


async def _plan(
    spec: Path,
    service: Service,
    runner: Runner,
    confirm: str | None,
    allow_empty: bool,  # noqa: FBT001 - as given
) -> Saved:
    """The plan of a spec, shown and confirmed."""
    from rollout.cli import planning, preview

    runs_dir, terminal = runner.common.runs_dir, runner.terminal
    made = await planning.make(spec, service, runs_dir, allow_empty=allow_empty)
    plan, digest = made.saved.plan, made.saved.digest
    terminal.say(preview.text(plan, digest, terminal.width, reading=made.reading) + "\n")
    if plan.counts.targets:
        _confirm(terminal, plan, confirm)
    return made.saved


def _nothing(terminal: Terminal, output: str) -> Exit:
    if output == "json":
        terminal.show('{"format_version": "1.0", "run": null, "state": "nothing_to_do"}')
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
        try:
            given = terminal.ask(_question(plan))
        except KeyboardInterrupt:
            terminal.say("\nInterrupted; nothing was begun.")
            raise
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
