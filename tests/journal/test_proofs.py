"""What earlier runs proved, and what makes a proof void."""

from pathlib import Path

import msgspec
import pytest

from rollout.journal import proofs
from rollout.journal.directory import DirectoryStore
from rollout.journal.proofs import FoldedProofs
from rollout.model.event import Trigger
from rollout.model.instance import Proof
from rollout.model.plan import Plan
from tests.journal import example_runs
from tests.journal.example_runs import NEW, OLD, OTHER, ExampleRun


def run(runs_dir: Path, example: ExampleRun, at: int) -> Path:
    """The run of a example, started at that instant."""
    example.events[0] = msgspec.structs.replace(example.events[0], at=at)
    return example.write(runs_dir)


def named(folded: FoldedProofs) -> dict[str, tuple[str, str]]:
    """Instance to key pair and run."""
    return {name: (proof.key_pair, proof.run) for name, proof in folded.proofs.items()}


def test_nothing_is_proved_without_runs(tmp_path: Path) -> None:
    """A directory that is missing holds no proofs, and that is no error."""
    assert proofs.fold(DirectoryStore(tmp_path / "missing")) == FoldedProofs({}, ())


def test_instances_that_ended_done_are_proved(tmp_path: Path) -> None:
    """Only what was seen to boot after its attach and to serve again, also by an open run."""
    example = ExampleRun().open_wave(0).rotated(0).attached(1).restart(1)

    run(tmp_path, example, 1)

    assert proofs.fold(DirectoryStore(tmp_path)).proofs == {
        "i-00000000": Proof(NEW, "sha256:4", example.run)
    }


def test_a_key_pair_that_was_recreated_proves_nothing(tmp_path: Path) -> None:
    """What was attached since the last good comparison may carry other material permanently."""
    example = ExampleRun().open_wave(0).rotated(0).attached(1).change_key().rotated_on(1)
    run(tmp_path, example, 1)

    assert set(named(proofs.fold(DirectoryStore(tmp_path)))) == {"i-00000000"}


def test_each_instance_is_proved_for_its_own_key(tmp_path: Path) -> None:
    """A plan with two keys proves, for each instance, the key that it names for this instance; a
    changed key pair takes proofs of the other key away from nobody.
    """
    example = (
        ExampleRun(example_runs.two_keys()).open_wave(0).rotated(0, 1).close_wave(0).open_wave(1)
    )
    example.rotated(2).rotated(3).attached(4).change_key(1).rotated_on(4)
    run(tmp_path, example, 1)

    found = {name: key for name, (key, _) in named(proofs.fold(DirectoryStore(tmp_path))).items()}
    assert found == {**dict.fromkeys(example_runs.names((0, 1, 2)), NEW), "i-00000003": OTHER}


def test_an_instance_is_proved_by_the_comparison_after_it(tmp_path: Path) -> None:
    """Running alone proves nothing until the key pair was compared again."""
    example = ExampleRun().open_wave(0).attached(0, 1).restart(0)
    example.move(Trigger.OBSERVED_BOOTED, 0).move(Trigger.OBSERVED_RUNNING, 0)
    run(tmp_path, example, 1)
    assert proofs.fold(DirectoryStore(tmp_path)).proofs == {}

    run(tmp_path / "later", example.compare(), 2)
    assert set(named(proofs.fold(DirectoryStore(tmp_path / "later")))) == {"i-00000000"}


def test_a_newer_run_wins(tmp_path: Path) -> None:
    """An attach in a later run voids what was proved; what it proves itself counts."""
    first = example_runs.whole(name="first")
    run(tmp_path, first, 1)
    later = ExampleRun(example_runs.a_plan(key_pair="ops-2027q1"), "later").open_wave(0)
    later.rotated(0).attach(1)
    run(tmp_path, later, 2)

    folded = proofs.fold(DirectoryStore(tmp_path))

    assert folded.warnings == ()
    assert named(folded) == {
        "i-00000000": ("ops-2027q1", later.run),
        **{f"i-0000000{number}": (NEW, first.run) for number in (2, 3, 4)},
    }


def test_a_torn_tail_takes_no_proof_away(tmp_path: Path) -> None:
    """A crash is no damage."""
    run_dir = example_runs.whole().write(tmp_path)
    (run_dir / "journal.seal").unlink()
    with (run_dir / "journal-000001.jsonl").open("ab") as journal:
        journal.write(b"{")

    assert len(proofs.fold(DirectoryStore(tmp_path)).proofs) == 5


def test_a_damaged_journal_proves_nothing_and_voids_its_targets(tmp_path: Path) -> None:
    """It may have attached another key to any of them; it is warned of by name."""
    run(tmp_path, example_runs.whole(name="first"), 1)
    narrow = only_first(example_runs.a_plan(key_pair=OLD))
    damaged = run(tmp_path, ExampleRun(narrow, "second").open_wave(0).rotated(0), 2)
    path = damaged / "journal-000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"i-00000000", b"i-00000001", 1))

    folded = proofs.fold(DirectoryStore(tmp_path))

    assert sorted(folded.proofs) == [f"i-0000000{number}" for number in (2, 3, 4)]
    assert [warning.code for warning in folded.warnings] == ["R0903"]
    assert f"run {damaged.name} proves nothing" in folded.warnings[0].message


@pytest.mark.parametrize("name", ["plan.json", "journal-000001.jsonl"])
def test_what_cannot_be_read_at_all_voids_everything_older(tmp_path: Path, name: str) -> None:
    """A run nobody can say anything about may have touched every instance."""
    run(tmp_path, example_runs.whole(name="first"), 1)
    damaged = run(tmp_path, example_runs.whole(name="second"), 2)
    (damaged / name).unlink()
    if name != "plan.json":
        (damaged / "plan.json").write_bytes(b"{")

    folded = proofs.fold(DirectoryStore(tmp_path))

    assert folded.proofs == {}
    assert [warning.code for warning in folded.warnings] == ["R0902"]


def test_a_run_that_never_began_is_silent(tmp_path: Path) -> None:
    """A crash before the first line touched nothing."""
    run(tmp_path, example_runs.whole(name="first"), 1)
    begun = example_runs.whole(name="second").write(tmp_path)
    (begun / "journal-000001.jsonl").write_bytes(b"")
    (begun / "journal.seal").unlink()

    folded = proofs.fold(DirectoryStore(tmp_path))

    assert len(folded.proofs) == 5 and folded.warnings == ()


def only_first(plan: Plan) -> Plan:
    """The plan cut to its first wave."""
    return msgspec.structs.replace(plan, waves=plan.waves[:1])
