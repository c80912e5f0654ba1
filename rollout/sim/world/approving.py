"""Approvals of a scenario: what its plan requires, who signs it, and which notes do not count.

Used by `scenario`, `build` and the world. Most scenarios require none, so that they cost and find
what they did before.
"""

from __future__ import annotations

import enum
import functools

import msgspec

from rollout.model import approval, signed_note
from rollout.model.event import Approved
from rollout.model.plan import Plan
from rollout.model.signed_note import NoteError, SignerKey
from rollout.model.spec import ApprovalRule
from rollout.model.time import SECOND, Instant
from rollout.sim.time.dice import Dice

AUTHOR = "sim"
"""The user who created the plan; one of the keys has this name."""
PERSONS = ("ann", "bob", "cy")
STRANGER = "mallory"
OTHER_DIGEST = f"sha256:{'0' * 64}"


class Note(enum.StrEnum):
    """A file next to the plan. Only the first kind may count."""

    VALID = "valid"
    TWICE = "twice"
    OF_AUTHOR = "of author"
    OF_STRANGER = "of stranger"
    OF_OTHER_PLAN = "of other plan"
    DAMAGED = "damaged"


class Approving(msgspec.Struct, frozen=True):
    """How many approvals the plan requires, 0 for none, and the notes at the first attempt."""

    required: int = 0
    not_author: bool = True
    notes: tuple[Note, ...] = ()

    def rule(self) -> ApprovalRule | None:
        """Return the rule of the spec."""
        if not self.required:
            return None
        keys = (signer(name).verifier for name in (*PERSONS, AUTHOR))
        return ApprovalRule(self.required, tuple(map(str, keys)), self.not_author)


def draw(seed: int) -> Approving:
    """Return the approvals of a seed."""
    dice = Dice(seed, "approvals")
    if not dice.chance(10):
        return Approving()
    notes = tuple(dice.pick((Note.VALID, *Note)) for _ in range(dice.between(0, 4)))
    return Approving(dice.between(1, len(PERSONS)), dice.chance(70), notes)


class Approvals:
    """The notes next to the plan of a run. `valid` are the keys that signed it and may do so."""

    def __init__(self, approving: Approving, plan: Plan, digest: str) -> None:
        self.valid: set[str] = set()
        self._approving, self._plan, self._digest = approving, plan, digest
        self._persons = iter(PERSONS)
        self._notes: list[str] = []
        for kind in approving.notes:
            self._write(kind)

    def found(self) -> list[Approved]:
        """Return the events of an apply, as the command creates them. Errors: NoteError."""
        approvers = self._plan.approvers()
        if approvers is None:
            return []
        counted = approval.counted(self._notes, self._digest, approvers)
        return [Approved(key, note) for key, note in counted.items()]

    def refused(self) -> str:
        """Return why an apply is refused, and let a person remove the cause; empty if it is not."""
        try:
            if len(self.found()) >= self._approving.required:
                return ""
        except NoteError:
            self._notes = [note for note in self._notes if not note.endswith(_DAMAGE)]
            return "approval damaged"
        self._write(Note.VALID)
        return "approval missing"

    def _write(self, kind: Note) -> None:
        match kind:
            case Note.VALID:
                name = next(self._persons, "")
                if name:
                    self.valid.add(signer(name).verifier.id)
                    self._sign(name)
            case Note.TWICE:
                self._notes += self._notes[:1]
            case Note.OF_AUTHOR:
                if not self._approving.not_author:
                    self.valid.add(signer(AUTHOR).verifier.id)
                self._sign(AUTHOR)
            case Note.OF_STRANGER:
                self._sign(STRANGER)
            case Note.OF_OTHER_PLAN:
                self._sign(PERSONS[-1], OTHER_DIGEST)
            case Note.DAMAGED:
                self._sign(PERSONS[0])
                self._notes[-1] += _DAMAGE

    def _sign(self, name: str, digest: str = "") -> None:
        at: Instant = self._plan.made_at + SECOND
        digest = digest or self._digest
        self._notes.append(approval.write(digest, self._plan.name, at, "", signer(name)))


@functools.lru_cache(maxsize=8)
def signer(name: str) -> SignerKey:
    """Return the key of a person."""
    return signed_note.signer_of(name, name.encode().ljust(32, b"\0"))


_DAMAGE = "?\n"
"""The end of a damaged note."""
