"""Approvals: notes in which a person signs the digest of a plan.

Called by `rollout approve`, by preflight and by the re-check of journals. Pure: reads neither files
nor a clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from rollout.model import signed_note
from rollout.model.signed_note import NoteError, SignerKey, VerifierKey
from rollout.model.time import Instant, format_instant

COMMENT_MAX = 500
"""Maximum length of a comment in characters."""
_HEADER = "rollout.approval v1"
_TEXT = re.compile(
    rf"{_HEADER}\nplan (sha256:[0-9a-f]{{64}})\nname ([^\n]+)\nat ([^\n]+)\n(?:comment ([^\n]*)\n)?"
)


class Approvers(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who may approve the plan. `keys` are verifier keys, of which `required` must sign.

    With `not_author`, keys whose name is one of `author` do not count: the OS user that created the
    plan, and the user in the ARN of its credentials.
    """

    required: int
    keys: tuple[str, ...]
    not_author: bool = False
    author: tuple[str, ...] = ()

    def verifiers(self) -> list[VerifierKey]:
        """Return the keys. Errors: NoteError if the plan contains something else."""
        return [signed_note.parse_verifier(text) for text in self.keys]

    def is_author(self, key: VerifierKey) -> bool:
        """Return whether the key belongs to the plan's author, by its name up to an `@`."""
        names = {key.name.casefold(), key.name.partition("@")[0].casefold()}
        return self.not_author and not names.isdisjoint(one.casefold() for one in self.author)

    def eligible(self) -> list[VerifierKey]:
        """Return the keys that may approve the plan."""
        return [key for key in self.verifiers() if not self.is_author(key)]


class Approval(NamedTuple):
    """One note: the digest that it approves, who signed it and when, with a comment."""

    digest: str
    at: str
    comment: str
    signers: tuple[VerifierKey, ...]


def write(digest: str, name: str, at: Instant, comment: str, signer: SignerKey) -> str:
    """Return the signed note that approves the plan `name` with this digest."""
    text = f"{_HEADER}\nplan {digest}\nname {name}\nat {format_instant(at)}\n"
    return signed_note.sign(text + (f"comment {comment}\n" if comment else ""), signer)


def read(note: str, approvers: Approvers) -> Approval:
    """Return the content of a note and its known signers. Errors: NoteError."""
    text, signers = signed_note.verify(note, approvers.verifiers())
    found = _TEXT.fullmatch(text)
    if found is None:
        raise NoteError("the note is not an approval of this version")
    return Approval(found[1], found[3], found[4] or "", tuple(signers))


def counted(notes: Iterable[str], digest: str, approvers: Approvers) -> dict[str, str]:
    """Return the notes that count towards `required`, by the id of the key that signed each.

    Errors: NoteError if a note is malformed or has a wrong signature.
    """
    found: dict[str, str] = {}
    for note in notes:
        approval = read(note, approvers)
        if approval.digest == digest:
            for key in approval.signers:
                if not approvers.is_author(key):
                    found.setdefault(key.id, note)
    return found


def author_names(user: str, arns: Iterable[str]) -> tuple[str, ...]:
    """Return the names of a plan's author: the OS user, and the last part of each ARN."""
    names = [user, *(arn.rpartition("/")[2].rpartition(":")[2] for arn in arns)]
    return tuple(dict.fromkeys(name for name in names if name))
