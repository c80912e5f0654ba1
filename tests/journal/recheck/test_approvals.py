"""Approvals are verified from plan and journal alone."""

from __future__ import annotations

from pathlib import Path

import msgspec

from rollout.journal.directory import DirectoryRun
from rollout.journal.verify import Verdict, verify
from rollout.model import approval
from rollout.model import event as ev
from rollout.model import plan as plans
from rollout.model.approval import Approvers
from rollout.model.signed_note import SignerKey, signer_of
from tests.journal import example_runs
from tests.journal.example_runs import ExampleRun
from tests.journal.recheck.cases import messages
from tests.journal.samples import NOW

FIRST, SECOND, AUTHOR, OTHER = (
    signer_of(name, bytes([number]) * 32)
    for number, name in enumerate(("li.wei", "secops", "zhou.min", "mallory"))
)


def run_of(*notes: tuple[str, str], required: int = 2) -> ExampleRun:
    """A run whose journal has these approvals before its first wave."""
    keys = tuple(str(one.verifier) for one in (FIRST, SECOND, AUTHOR))
    rule = Approvers(required, keys, not_author=True, author=("zhou.min",))
    example = ExampleRun(msgspec.structs.replace(example_runs.a_plan(), approvals=rule))
    example.add(*(ev.Approved(key, note) for key, note in notes))
    return example.open_wave(0).rotated(0, 1).close_wave(0)


def digest() -> str:
    """The digest of the plan that `run_of` makes."""
    return plans.digest(plans.encode(run_of().plan))


def signed(signer: SignerKey, plan_digest: str) -> tuple[str, str]:
    """An approval by this key."""
    return signer.verifier.id, approval.write(plan_digest, "example", NOW, "", signer)


def verdict(folder: Path, example: ExampleRun) -> Verdict:
    """Verify the journal of a run."""
    return verify(DirectoryRun(example.write(folder)))


def test_two_valid_approvals_are_accepted(tmp_path: Path) -> None:
    """The verdict names their keys."""
    found = verdict(tmp_path, run_of(signed(FIRST, digest()), signed(SECOND, digest())))

    assert not found.problems_found, messages(found)
    assert found.approved == (FIRST.verifier.id, SECOND.verifier.id)
    assert found.approvals_required == 2


def test_a_wave_without_its_approvals_is_a_violation(tmp_path: Path) -> None:
    """So are an approval that appears twice and one by the author."""
    cases = {
        "1 of 2 approvals": [signed(FIRST, digest())],
        "appears twice": [signed(FIRST, digest()), signed(FIRST, digest())],
        "zhou.min+": [signed(FIRST, digest()), signed(AUTHOR, digest())],
        "mallory+": [signed(FIRST, digest()), signed(OTHER, digest())],
        "did not approve this plan": [signed(FIRST, "sha256:" + "0" * 64)],
        "0 of 2": [],
    }
    for number, (text, notes) in enumerate(cases.items()):
        found = verdict(tmp_path / str(number), run_of(*notes))
        assert text in messages(found) and found.exit == 9, (text, messages(found))


def test_a_changed_signature_is_a_violation(tmp_path: Path) -> None:
    """Also if the changed note would still be counted."""
    key, note = signed(FIRST, digest())
    found = verdict(tmp_path, run_of((key, note.replace("at 2026", "at 2025")), required=1))

    assert "is not valid" in messages(found) and found.exit == 9


def test_an_approval_in_a_plan_without_approvals_is_a_violation(tmp_path: Path) -> None:
    """Nobody could verify it."""
    example = ExampleRun().add(ev.Approved(*signed(FIRST, digest())))

    assert "requires none" in messages(verdict(tmp_path, example))
