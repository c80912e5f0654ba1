"""Approve plans, and check that a plan has the approvals that its spec requires.

Called by `approve`, and by `apply` and `resume` before anything is changed. Makes no API calls.
"""

from __future__ import annotations

import secrets
import shlex
from pathlib import Path
from typing import NamedTuple

from rollout.app import approval_files
from rollout.app.plan_file import SavedPlan, load_plan
from rollout.core.running.state import Run
from rollout.engines.clock import LoopClock
from rollout.errors import ConfirmationError, IntegrityError, UsageError
from rollout.model import approval, secrecy, signed_note
from rollout.model.approval import Approvers
from rollout.model.event import Approved
from rollout.model.phrase import Phrase, Wording, say, say_many
from rollout.model.signed_note import NoteError, SignerKey, VerifierKey


class NewApproval(NamedTuple):
    """The plan, the note's file, its key, and the ids of all keys that approved the plan so far."""

    saved: SavedPlan
    path: Path
    key: VerifierKey
    approved: tuple[str, ...]
    required: int


def approve(plan: Path, key: Path, comment: str = "", digest: str | None = None) -> NewApproval:
    """Sign the digest of a plan file with a private key, and save the note next to the plan.

    Errors: as `plan_file.load_plan` and `approval_files`; UsageError R0001 for a wrong comment;
    ConfirmationError R0705 if the plan needs no approval or none by this key, R0707 if the key is
    the author's; IntegrityError R0910 if another approval of the plan is damaged.
    """
    saved = load_plan(plan, digest)
    approvers = _approvers(saved, plan)
    signer = approval_files.read_signer(key)
    _check_comment(comment)
    _check_key(signer, approvers)
    now = LoopClock().now()
    note = approval.write(saved.digest, saved.plan.name, now, comment, signer)
    path = approval_files.write_note(plan, signer.verifier, note)
    saved = saved._replace(notes=approval_files.read_notes(plan))
    approved = tuple(event.key for event in found(saved))
    return NewApproval(saved, path, signer.verifier, approved, approvers.required)


def new_key(name: str, out: Path) -> tuple[VerifierKey, Path]:
    """Create a key, and return its public half and the file of it; `out` gets the private half.

    Errors: UsageError R0001 for a wrong name or an existing file; StorageError R0803.
    """
    if not signed_note.is_key_name(name) or not name.isprintable():
        cure = say(
            "at most 128 characters without spaces and `+`, for example `li.wei@example.com`"
        )
        raise UsageError.of(
            "R0001", say("--new-key {name}: this cannot be a name", name=name), help=cure
        )
    signer = signed_note.signer_of(name, secrets.token_bytes(32))
    return signer.verifier, approval_files.write_keys(out, signer)


def found(saved: SavedPlan) -> list[Approved]:
    """Return the valid approvals of a plan, one for each key that counts.

    Errors: IntegrityError R0910 if a note is damaged or has a wrong signature.
    """
    approvers = saved.plan.approvers()
    if approvers is None:
        return []
    try:
        counted = approval.counted(saved.notes, saved.digest, approvers)
    except NoteError as error:
        raise IntegrityError.of(
            "R0910",
            say("an approval of the plan is not valid: {cause}", cause=error),
            help=say("remove the file and approve the plan again: rollout approve PLAN"),
        ) from None
    return [Approved(key, note) for key, note in counted.items()]


def check(saved: SavedPlan) -> list[Approved]:
    """Return the approvals of a plan; raise ConfirmationError R0704 if there are too few.

    Errors: as `found`.
    """
    approvers, events = saved.plan.approvers(), found(saved)
    if approvers is not None and len(events) < approvers.required:
        have = {event.key for event in events}
        open_keys = [key.id for key in approvers.eligible() if key.id not in have]
        notes: list[Wording] = [say("may still approve: {keys}", keys=", ".join(open_keys))]
        if stale := len(saved.notes) - len(events):
            notes.append(
                say_many(
                    "{number} note does not count: another plan, key or the plan's author",
                    "{number} notes do not count: another plan, key or the plan's author",
                    stale,
                )
            )
        raise ConfirmationError.of(
            "R0704",
            say_many(
                "the plan needs {number} approval and has {valid}",
                "the plan needs {number} approvals and has {valid}",
                approvers.required,
                valid=len(events),
            ),
            notes=tuple(notes),
            help=_how_to_approve(saved.path),
        )
    return events


def _how_to_approve(path: Path | None) -> Phrase:
    """Return the commands for a plan file, or for a spec that was planned without one."""
    if path is not None:
        return say("rollout approve {plan} --key KEY", plan=shlex.quote(str(path)))
    return say(
        "rollout plan SPEC --out FILE.plan.json, then rollout approve FILE.plan.json "
        "--key KEY, then rollout apply FILE.plan.json"
    )


def check_resumed(run: Run) -> None:
    """Raise ConfirmationError R0704 if the journal lacks approvals, which only a crash before the
    first wave can cause.
    """
    if run.missing_approvals > 0:
        raise ConfirmationError.of(
            "R0704",
            say_many(
                "the journal of run {run} lacks {number} approval of its plan",
                "the journal of run {run} lacks {number} approvals of its plan",
                run.missing_approvals,
                run=run.run_id,
            ),
            help=say(
                "rollout abort {run} closes it unchanged; then create a new plan",
                run=run.run_id,
            ),
        )


def _approvers(saved: SavedPlan, plan: Path) -> Approvers:
    approvers = saved.plan.approvers()
    if approvers is None:
        cure = say(
            "rollout apply {plan} needs no approval; `approvals` in the spec requires them",
            plan=shlex.quote(str(plan)),
        )
        raise ConfirmationError.of("R0705", say("the plan's spec has no `approvals`"), help=cure)
    return approvers


def _check_key(signer: SignerKey, approvers: Approvers) -> None:
    key = signer.verifier
    if key not in approvers.verifiers():
        known = ", ".join(one.id for one in approvers.verifiers())
        raise ConfirmationError.of(
            "R0705",
            say(
                "key {key} is not among the approvers of the plan: {known}", key=key.id, known=known
            ),
            help=say("use another key, or add the verifier key to `approvals.keys` and plan again"),
        )
    if approvers.is_author(key):
        raise ConfirmationError.of(
            "R0707",
            say(
                "key {key} belongs to the author of the plan ({author})",
                key=key.id,
                author=", ".join(approvers.author),
            ),
            help=say("let another person approve it: approvals.notAuthor is true"),
        )


def _check_comment(comment: str) -> None:
    long = len(comment) > approval.COMMENT_MAX
    if long or not comment.isprintable() or secrecy.find(comment) is not None:
        cure = say(
            "write one line of at most {most} characters without secrets",
            most=approval.COMMENT_MAX,
        )
        raise UsageError.of("R0001", say("--comment cannot be signed"), help=cure)
