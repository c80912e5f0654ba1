"""`rollout apply`: execute a reviewed plan, or plan a spec, confirm the plan and execute it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rollout.cli.options import OUTPUT, Cloud, Common, Flag
from rollout.cli.terminal import Terminal
from rollout.errors import Exit, UsageError

if TYPE_CHECKING:
    from rollout.app.execute import Runner
    from rollout.app.plan_file import Saved
    from rollout.cli.views.report import Ended
    from rollout.engines.service import Service


def apply(
    target: Path,
    /,
    *,
    confirm: str | None = None,
    restart_again: int = 0,
    digest: str | None = None,
    allow_empty: Flag = False,
    allow_partial: Flag = False,
    allow_unknown_region: Flag = False,
    allow_unsafe_fs: Flag = False,
    output: Annotated[Literal["table", "json", "ids"], OUTPUT] = "table",
    cloud: Cloud = Cloud(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Execute a plan: attach, restart and wait within the budgets.

    Parameters
    ----------
    target
        Plan file, which needs no confirmation because it was reviewed, or a spec to plan now.
    confirm
        The spec's name: confirms the plan of a spec without a prompt.
    restart_again
        Restart up to this many targets that already have the key but no proof of a later boot.
    digest
        Expected digest of the plan file, instead of the one in its `.sha256` file.
    allow_empty
        Accept an empty inventory.
    allow_partial
        Accept an incomplete listing of instances, with a warning.
    allow_unknown_region
        Accept regions that the program does not know, without a DescribeRegions call.
    allow_unsafe_fs
        Accept a network or user-space file system for the runs directory.
    output
        Format of the result. ids: the instances that need an operator.
    """
    from rollout.app import connect, execute, plan_file, preflight
    from rollout.cli import confirm as confirming
    from rollout.cli import eventloop, results
    from rollout.engines.clock import LoopClock

    terminal = Terminal.of(common)
    is_spec = target.suffix in (".yaml", ".yml")
    if is_spec and digest is not None:
        raise UsageError.of("R0002", "--digest is for a plan file, this is a spec")
    reviewed = None if is_spec else plan_file.load(target, digest)
    if reviewed is not None:
        preflight.check_plan(reviewed.plan)
        if not reviewed.plan.counts.targets:
            return _nothing(terminal, output)

    async def plan_spec(service: Service, runner: Runner) -> Saved:
        saved = await _plan(
            target,
            service,
            runner,
            allow_empty=allow_empty,
            allow_partial=allow_partial,
            allow_unknown_region=allow_unknown_region,
        )
        if saved.plan.counts.targets:
            confirming.confirm(terminal, saved.plan, confirm, restart_again)
        return saved

    async def go() -> Ended | None:
        now = LoopClock().now()
        async with (
            execute.hold_runs(common, terminal, now, allow_unsafe_fs=allow_unsafe_fs) as runner,
            connect.connect(cloud, terminal) as service,
        ):
            saved = reviewed or await plan_spec(service, runner)
            if not saved.plan.counts.targets:
                return None
            await preflight.check(saved, service, common.runs_dir)
            return await runner.begin(saved, service)

    ended = eventloop.run(go)
    return _nothing(terminal, output) if ended is None else results.show(terminal, ended, output)


async def _plan(spec: Path, service: Service, runner: Runner, **accepted: bool) -> Saved:
    """Return the plan of a spec after showing it."""
    from rollout.app import plan as planning
    from rollout.cli.views import preview

    runs_dir, terminal = runner.common.runs_dir, runner.terminal
    made = await planning.make(spec, service, runs_dir, **accepted)
    plan, digest = made.saved.plan, made.saved.digest
    terminal.say(preview.text(plan, digest, terminal.width, reading=made.reading) + "\n")
    return made.saved


def _nothing(terminal: Terminal, output: str) -> Exit:
    if output == "json":
        terminal.show('{"format_version": "1.0", "run": null, "state": "nothing_to_do"}')
    terminal.say("Nothing to do: no instance needs rotation.")
    return Exit.DONE
