"""`rollout approve`: sign the digest of a plan, or create a key for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from rollout.cli.options import OUTPUT, Common
from rollout.cli.terminal import Terminal
from rollout.errors import Exit, UsageError
from rollout.model.phrase import Wording, say

if TYPE_CHECKING:
    from rollout.app.approvals import NewApproval


def approve(
    plan: Path | None = None,
    /,
    *,
    key: Annotated[Path | None, Parameter(env_var="ROLLOUT_APPROVAL_KEY")] = None,
    comment: str = "",
    digest: str | None = None,
    new_key: str | None = None,
    out: Path | None = None,
    output: Annotated[Literal["table", "json"], OUTPUT] = "table",
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Sign a plan's digest, or create a key with --new-key. Makes no API calls.

    Parameters
    ----------
    plan
        Plan file to approve. The approval is saved next to it, in `NAME.plan.approvals/`.
    key
        File with your private key, mode 0600.
    comment
        One line for the journal, for example the number of the change.
    digest
        Expected digest of the plan file, instead of the one in its `.sha256` file.
    new_key
        Create a key of this name instead: your user name, or your address.
    out
        File for the new private key; the public one gets the suffix `.vkey`.
    output
        Format of the result.
    """
    from rollout.app import approvals
    from rollout.cli.views import approval, render

    terminal = Terminal.of(common)
    if new_key is not None:
        if plan is not None or key is not None or out is None:
            cure: Wording = "rollout approve --new-key NAME --out FILE"
            raise UsageError.of("R0002", say("--new-key takes --out and no plan"), help=cure)
        verifier, public = approvals.new_key(new_key, out)
        terminal.show(
            render.as_json(approval.key_data(verifier, out, public))
            if output == "json"
            else approval.key_text(verifier, out, public)
        )
        return Exit.DONE
    if plan is None or key is None or out is not None:
        cure = say("rollout approve PLAN --key FILE; --new-key NAME --out FILE creates a key")
        raise UsageError.of("R0002", say("name a plan and a private key"), help=cure)
    made: NewApproval = approvals.approve(plan, key, comment, digest)
    terminal.show(
        render.as_json(approval.data(made)) if output == "json" else approval.text(made, plan)
    )
    return Exit.DONE
