"""`rollout doctor`: check what planning and applying need, or print the least RAM policy."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from rollout.cli import output
from rollout.cli.options import CloudOptions, Common, Flag
from rollout.cli.output import Output, Shown
from rollout.cli.terminal import Terminal
from rollout.cli.views import render
from rollout.errors import Exit, Problem, UsageError
from rollout.model.phrase import say


def doctor(
    spec: Path | None = None,
    /,
    *,
    policy: Literal["plan", "apply"] | None = None,
    for_: Annotated[Path | None, Parameter(name="--for")] = None,
    allow_unsafe_fs: Flag = False,
    form: Output = Output(),  # noqa: B008 - frozen
    cloud: CloudOptions = CloudOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Check access, key pairs, clock and disk. Changes nothing.

    Parameters
    ----------
    spec
        Spec whose gates, proofs of login, inventory, key pairs and restart permissions are checked
        too. Gates are asked once.
    policy
        Print the least RAM policy for planning or applying as JSON, and check nothing.
    for_
        Plan file that limits the policy to its instances and key pairs.
    allow_unsafe_fs
        Accept a network or user-space file system for the runs directory.
    """
    from rollout.app import checks
    from rollout.app.doctor import examine
    from rollout.cli import eventloop, session
    from rollout.cli.views import checkup

    terminal = Terminal.of(common)
    if policy is not None:
        _show_policy(terminal, policy, for_, form)
        return Exit.DONE
    if for_ is not None:
        raise UsageError.of("R0002", say("--for is for --policy"), help=say("add --policy apply"))
    made = session.make(terminal, common, cloud, unsafe_fs=allow_unsafe_fs)
    found = eventloop.run(partial(examine, made, spec))
    rows = checkup.rows(found)
    result = Shown(
        text=lambda: "\n".join(checkup.text(found, terminal.width)),
        document=lambda: checkup.data(found),
        rows=lambda: rows,
        ids=lambda: (one.name for one in found if one.state is checks.CheckState.PROBLEM),
    )
    output.show(terminal, form, result)
    return checks.exit_of(found)


def _show_policy(
    terminal: Terminal, purpose: Literal["plan", "apply"], plan_path: Path | None, form: Output
) -> None:
    from rollout.app import plan_file
    from rollout.app import policy as policies

    plan = None if plan_path is None else plan_file.load_plan(plan_path).plan
    made = policies.make(purpose, plan)
    statements = made["Statement"]
    result = Shown(
        text=lambda: render.as_json(made, indent=2),
        document=lambda: made,
        rows=lambda: statements,
        ids=lambda: (action for one in statements for action in one["Action"]),
    )
    output.show(terminal, form, result)
    if policies.is_too_long(made):
        text = say(
            "the policy has more than {most:,} characters, RAM's limit",
            most=policies.CHARACTERS_MAX,
        )
        terminal.warn(Problem("R0416", text))
