"""`rollout terraform reconcile`: what the next apply of Terraform would reverse of a rotation."""

from __future__ import annotations

from pathlib import Path

import msgspec

from rollout.cli import output
from rollout.cli.options import Common, Flag
from rollout.cli.output import Output, Shown
from rollout.cli.terminal import Terminal
from rollout.errors import Exit


def reconcile(
    target: str,
    state: Path,
    /,
    *,
    detailed_exitcode: Flag = False,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Show what the next `terraform apply` would reverse of a rotation, and the lines that prevent
    it. Changes nothing.

    Parameters
    ----------
    target
        Plan file, or the id of a run or a unique prefix of it.
    state
        State file of Terraform, or the output of `terraform show -json`.
    detailed_exitcode
        Exit with 2 if the next apply would reverse something, with 0 if not.
    """
    from rollout.app import plan_file, runs, terraform
    from rollout.cli.views import terraform as views

    terminal = Terminal.of(common)
    if plan_file.is_named(target):
        found = terraform.of_plan(Path(target), state)
    else:
        found = terraform.of_run(runs.find(common.runs_dir, target), state)
    rows = [{**msgspec.to_builtins(one), "change": one.change} for one in found]
    result = Shown(
        text=lambda: views.text(found, terminal.width),
        document=lambda: {"format_version": "1.0", "reversals": rows},
        rows=lambda: rows,
        ids=lambda: dict.fromkeys(each for one in found for each in one.instances),
    )
    output.show(terminal, form, result)
    return Exit.CHANGES if detailed_exitcode and found else Exit.DONE
