"""`rollout apply`: execute a reviewed plan, or plan a spec, confirm the plan and execute it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from rollout.cli.options import OUTPUT, Accepting, CloudOptions, Common, Driving
from rollout.cli.terminal import Terminal
from rollout.errors import Exit, UsageError
from rollout.model.phrase import say

if TYPE_CHECKING:
    from rollout.app.plan import PlanResult


def apply(
    target: Path,
    /,
    *,
    confirm: str | None = None,
    restart_again: int = 0,
    digest: str | None = None,
    override: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    reason: str = "",
    output: Annotated[Literal["table", "json", "ids"], OUTPUT] = "table",
    accepting: Accepting = Accepting(),  # noqa: B008 - frozen
    driving: Driving = Driving(),  # noqa: B008 - frozen
    cloud: CloudOptions = CloudOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Execute a plan: attach, restart and wait within the budgets.

    Parameters
    ----------
    target
        Plan file, which needs no confirmation because it was reviewed, or a spec to plan now.
    confirm
        The spec's name: confirms without a prompt the plan of a spec, a plan with overrides, or
        one with an action that the safety policy of the aliyun CLI wants confirmed.
    restart_again
        Restart up to this many targets that already have the key but no proof of a later boot.
    digest
        Expected digest of the plan file, instead of the one in its `.sha256` file.
    override
        For a spec: replace one of its fields, as in `rollout plan`. Repeatable.
    reason
        For a spec: reason of the overrides.
    output
        Format of the result. ids: the instances that need an operator.
    """
    from rollout.app import execute, plan_file, safety_rules
    from rollout.app.plan import Overriding
    from rollout.cli import confirmation, eventloop, session

    terminal = Terminal.of(common)
    made = session.make(terminal, common, cloud, driving)
    if target.suffix in (".yaml", ".yml"):
        if digest is not None:
            raise UsageError.of("R0002", say("--digest is for a plan file, this is a spec"))
        allow = accepting.allow()
        review = partial(_review, terminal, confirm, restart_again)
        looser = Overriding.of(override, reason)
        ended = eventloop.run(execute.plan_and_apply, target, made, review, allow, looser)
    else:
        if override or reason:
            help_text = say("pass it to `rollout plan`, which records it in the plan")
            raise UsageError.of(
                "R0002", say("--override is for a spec, this is a plan"), help=help_text
            )
        saved = plan_file.load_plan(target, digest)
        rules = safety_rules.check_plan(saved.plan)
        confirmation.confirm_file(terminal, saved.plan, rules, confirm)
        ended = eventloop.run(partial(execute.apply, saved, made, confirmed=True))
    return _nothing(terminal, output) if ended is None else session.show(terminal, ended, output)


def _review(terminal: Terminal, given: str | None, again_max: int, planned: PlanResult) -> None:
    """Show a plan; if it has targets, ask for confirmation."""
    from rollout.cli import confirmation
    from rollout.cli.views import preview

    plan, digest = planned.saved.plan, planned.saved.digest
    terminal.say(preview.text(plan, digest, terminal.width, reading=planned.reading) + "\n")
    if plan.counts.targets:
        confirmation.confirm_plan(terminal, plan, given, again_max)


def _nothing(terminal: Terminal, output: str) -> Exit:
    if output == "json":
        terminal.show('{"format_version": "1.0", "run": null, "state": "nothing_to_do"}')
    terminal.say(say("Nothing to do: no instance needs rotation."))
    return Exit.DONE
