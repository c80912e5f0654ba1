"""Format a new approval or a new key as text or plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rollout.app.approvals import NewApproval
from rollout.cli import suggested
from rollout.cli.language import tr
from rollout.model.phrase import say_many
from rollout.model.printable import escaped
from rollout.model.signed_note import VerifierKey


def text(made: NewApproval, plan: Path) -> str:
    """Return what was approved, by whom, and the next command."""
    saved, missing = made.saved, made.required - len(made.approved)
    lines = [
        tr("Approved {name} with {key}", name=saved.plan.name, key=made.key.id),
        tr(
            "Plan     {targets}, {digest}",
            targets=say_many("{number:,} target", "{number:,} targets", saved.plan.counts.targets),
            digest=saved.digest,
        ),
        tr("Saved    {file}", file=made.path),
        tr(
            "Valid    {number} of {required} required: {names}",
            number=len(made.approved),
            required=made.required,
            names=", ".join(made.approved),
        ),
    ]
    after = (
        say_many("{number:,} more approval", "{number:,} more approvals", missing)
        if missing > 0
        else suggested.command("apply", plan)
    )
    return "\n".join(map(escaped, [*lines, tr("Next:    {step}", step=after)]))


def data(made: NewApproval) -> dict[str, Any]:
    """Return the same as plain data."""
    return {
        "format_version": "1.0",
        "plan": made.saved.plan.name,
        "digest": made.saved.digest,
        "key": made.key.id,
        "file": str(made.path),
        "approved": list(made.approved),
        "required": made.required,
    }


def key_text(key: VerifierKey, private: Path, public: Path) -> str:
    """Return the files of a new key, and where its public half belongs."""
    lines = (
        tr("Private key  {file} (mode 0600: keep it, and do not share it)", file=private),
        tr("Public key   {file}", file=public),
        str(key),
        tr("Next:        name {file} in `approvals.keys` of a spec", file=public),
    )
    return "\n".join(lines)


def key_data(key: VerifierKey, private: Path, public: Path) -> dict[str, Any]:
    """Return the same as plain data, without the private key."""
    return {
        "format_version": "1.0",
        "key": str(key),
        "private_file": str(private),
        "public_file": str(public),
    }
