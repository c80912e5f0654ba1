"""Format a new approval or a new key as text or plain data. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rollout.app.approvals import NewApproval
from rollout.cli.views import render
from rollout.model.printable import escaped
from rollout.model.signed_note import VerifierKey


def text(made: NewApproval, plan: Path) -> str:
    """Return what was approved, by whom, and the next command."""
    saved, missing = made.saved, made.required - len(made.approved)
    lines = [
        f"Approved {saved.plan.name} with {made.key.id}",
        f"Plan     {render.count(saved.plan.counts.targets, 'target')}, {saved.digest}",
        f"Saved    {made.path}",
        f"Valid    {len(made.approved)} of {made.required} required: {', '.join(made.approved)}",
    ]
    after = f"{render.count(missing, 'more approval')}" if missing > 0 else f"rollout apply {plan}"
    return "\n".join(map(escaped, [*lines, f"Next:    {after}"]))


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
    return (
        f"Private key  {private} (mode 0600: keep it, and do not share it)\n"
        f"Public key   {public}\n"
        f"{key}\n"
        f"Next:        name {public} in `approvals.keys` of a spec"
    )


def key_data(key: VerifierKey, private: Path, public: Path) -> dict[str, Any]:
    """Return the same as plain data, without the private key."""
    return {
        "format_version": "1.0",
        "key": str(key),
        "private_file": str(private),
        "public_file": str(public),
    }
