"""Plan files: written atomically, and read only if they are unchanged."""

import os
from pathlib import Path

import msgspec
import pytest

from rollout.app import plan_check, plan_file
from rollout.errors import Exit, RolloutError
from rollout.model import plan as plans
from rollout.model.plan import Batch, Plan, RestartKind
from rollout.sim.world.several_keys import with_keys
from tests.app import factory


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A plan file with its digest file."""
    path = tmp_path / "fleet.plan.json"
    plan_file.save_plan(plan_file.with_digest(factory.plan()), path)
    return path


def refusal(path: Path, digest: str | None = None) -> tuple[str, Exit]:
    """Code and exit code of the error of a load."""
    with pytest.raises(RolloutError) as caught:
        plan_file.load_plan(path, digest)
    return caught.value.problems[0].code, caught.value.exit


def test_what_was_saved_is_what_is_loaded(saved: Path) -> None:
    """The loaded plan is equal, with the digest of the file's bytes."""
    loaded = plan_file.load_plan(saved)

    assert loaded == plan_file.with_digest(factory.plan())._replace(path=saved)
    assert loaded.raw == saved.read_bytes()


@pytest.mark.parametrize("name", ["fleet.yaml", "ops-key.pub", "fleet.csv", "other.json"])
def test_only_a_plan_is_replaced(tmp_path: Path, name: str) -> None:
    """A spec, a public key or another file stays as it is; no digest file appears next to it."""
    path = tmp_path / name
    path.write_text('{"format": "other"}', "utf-8")

    with pytest.raises(RolloutError, match=r"R0803.*exists and is not a plan"):
        plan_file.save_plan(plan_file.with_digest(factory.plan()), path)

    assert path.read_text("utf-8") == '{"format": "other"}'
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_a_plan_and_an_empty_file_are_replaced(saved: Path) -> None:
    """Planning again saves to the same path; a file without content loses nothing."""
    new = plan_file.with_digest(factory.plan(3))
    empty = saved.with_name("empty.plan.json")
    empty.touch()

    for path in (saved, empty):
        plan_file.save_plan(new, path)
        assert plan_file.load_plan(path) == new._replace(path=path)


def test_another_file_with_the_name_of_the_digest_stays(tmp_path: Path) -> None:
    """The digest file of a new plan replaces only a digest."""
    notes = tmp_path / "a.plan.json.sha256"
    notes.write_text("see the mail of Monday", "utf-8")

    with pytest.raises(RolloutError, match=r"R0803.*not the digest of a plan"):
        plan_file.save_plan(plan_file.with_digest(factory.plan()), tmp_path / "a.plan.json")

    assert notes.read_text("utf-8") == "see the mail of Monday"


def test_the_plan_of_a_run_is_never_replaced(saved: Path) -> None:
    """The directory of a run holds the plan that its journal names."""
    saved.with_name("journal-000001.jsonl").touch()

    with pytest.raises(RolloutError, match=r"R0803.*belongs to a run"):
        plan_file.save_plan(plan_file.with_digest(factory.plan(3)), saved)

    assert plan_file.load_plan(saved).raw == plan_file.with_digest(factory.plan()).raw


def test_sha256sum_can_check_a_plan(saved: Path) -> None:
    """The digest file has the format that sha256sum -c reads."""
    assert os.system(f"cd {saved.parent} && sha256sum --quiet -c {saved.name}.sha256") == 0  # noqa: S605


def test_plan_files_are_for_their_owner(saved: Path) -> None:
    """Both files have mode 0600, and no other file remains."""
    modes = {path.name: path.stat().st_mode & 0o777 for path in saved.parent.iterdir()}

    assert modes == {"fleet.plan.json": 0o600, "fleet.plan.json.sha256": 0o600}


def test_an_edit_by_hand_is_refused(saved: Path) -> None:
    """One changed character ends in exit 9."""
    saved.write_bytes(saved.read_bytes().replace(b'"cap":4', b'"cap":9'))

    assert refusal(saved) == ("R0901", Exit.INTEGRITY)


def test_a_reformatted_plan_is_refused(saved: Path) -> None:
    """An edit that changes no value ends in exit 9: the digest covers the bytes."""
    saved.write_bytes(msgspec.json.format(saved.read_bytes()))

    assert refusal(saved) == ("R0901", Exit.INTEGRITY)


def test_a_plan_without_its_digest_needs_one_from_the_command_line(saved: Path) -> None:
    """Without its digest file a plan may be edited; the printed digest proves that it is not."""
    digest = plan_file.load_plan(saved).digest
    saved.with_name(saved.name + ".sha256").unlink()

    assert refusal(saved) == ("R0901", Exit.INTEGRITY)
    assert plan_file.load_plan(saved, digest).digest == digest
    assert plan_file.load_plan(saved, digest.removeprefix("sha256:")).digest == digest
    with pytest.raises(RolloutError, match="not the plan that --digest names"):
        plan_file.load_plan(saved, "sha256:" + "0" * 64)


@pytest.mark.parametrize(
    "kind, words",
    [
        ("missing", "is missing"),
        ("directory", "is not a regular file"),
        ("loop", "cannot be read"),
        ("empty", "does not contain a digest"),
        ("prose", "does not contain a digest"),
    ],
)
def test_an_unusable_digest_file_is_reported(saved: Path, kind: str, words: str) -> None:
    """Only an absent file is reported as missing."""
    sidecar = saved.with_name(saved.name + ".sha256")
    sidecar.unlink()
    if kind == "directory":
        sidecar.mkdir()
    elif kind == "loop":
        sidecar.symlink_to(sidecar)
    elif kind != "missing":
        sidecar.write_text("" if kind == "empty" else "see the mail of Monday")

    with pytest.raises(RolloutError, match=words) as caught:
        plan_file.load_plan(saved)

    assert caught.value.problems[0].code == "R0901"


@pytest.mark.parametrize("given", ["", "sha256:", "sha256:0188a5b4…ff7f", "x" * 64])
def test_what_is_no_digest_is_a_wrong_command_line(saved: Path, given: str) -> None:
    """A shortened digest is malformed; it does not mean that the plan changed."""
    assert refusal(saved, given) == ("R0001", Exit.USAGE)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"format":"other","format_version":"1.0"}',
        b'{"format":"rollout.plan"}',
        b'{"format":"rollout.plan","format_version":"2.0","tool":"rollout 9"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_plan_of_this_version_is_bad_input(tmp_path: Path, content: bytes) -> None:
    """Other formats and newer versions are reported before the digest is checked."""
    path = tmp_path / "x.plan.json"
    path.write_bytes(content)

    assert refusal(path) == ("R0321", Exit.BAD_INPUT)


def test_a_newer_version_names_the_program_that_made_it(tmp_path: Path) -> None:
    """The help names the program that can read it."""
    path = tmp_path / "x.plan.json"
    path.write_bytes(b'{"format":"rollout.plan","format_version":"2.0","tool":"rollout 9"}')

    with pytest.raises(RolloutError) as caught:
        plan_file.load_plan(path)

    assert "rollout 9" in (caught.value.problems[0].help or "")


def test_unknown_fields_are_refused(saved: Path) -> None:
    """A plan with fields that the program ignores is refused, even with the right digest."""
    saved.write_bytes(saved.read_bytes()[:-1] + b',"zeal":1}')
    digest = plans.digest(saved.read_bytes())

    assert refusal(saved, digest) == ("R0321", Exit.BAD_INPUT)


@pytest.mark.parametrize("make", ["missing", "directory", "fifo"])
def test_an_unreadable_plan_is_an_io_error(tmp_path: Path, make: str) -> None:
    """A missing file, a directory and a FIFO, which would wait for a writer, are exit 74."""
    path = tmp_path / "x.plan.json"
    if make == "directory":
        path.mkdir()
    if make == "fifo":
        os.mkfifo(path)

    assert refusal(path) == ("R0320", Exit.IO)


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    """A pipe or device named by --out is unchanged; no digest file is written."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    with pytest.raises(RolloutError) as caught:
        plan_file.save_plan(plan_file.with_digest(factory.plan()), path)

    assert caught.value.problems[0].code == "R0803"
    assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]


def test_a_plan_that_cannot_be_saved_leaves_nothing(tmp_path: Path) -> None:
    """No partial and no temporary file remains; the error has a fix."""
    target = tmp_path / "x.plan.json"
    target.mkdir()

    with pytest.raises(RolloutError) as caught:
        plan_file.save_plan(plan_file.with_digest(factory.plan()), target)

    assert caught.value.exit is Exit.IO
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.plan.json"]


def changed(**changes: object) -> Plan:
    """The factory's plan with other fields."""
    return msgspec.structs.replace(factory.plan(), **changes)


def twisted(change: str) -> Plan:
    """A plan with one contradiction inside its first wave."""
    good = factory.plan()
    wave = good.waves[-1]
    cell = wave.cells[0]
    batch = cell.batches[0]
    target = batch.targets[0]
    replace = msgspec.structs.replace
    batches = {
        "big": (replace(batch, targets=tuple(t for b in cell.batches for t in b.targets) * 2),),
        "empty": (replace(batch, targets=()), *cell.batches),
        "twice": (*cell.batches, batch),
        "kind": (
            replace(
                batch, targets=(replace(target, restart=RestartKind.START), *batch.targets[1:])
            ),
        ),
        "id": (replace(batch, targets=(replace(target, instance="../x"), *batch.targets[1:])),),
        "case": (replace(batch, targets=(replace(target, instance="i-AB1"), *batch.targets[1:])),),
        "group": (replace(batch, targets=(replace(target, groups=(7,)), *batch.targets[1:])),),
        "attach": (replace(batch, targets=(replace(target, attach=False), *batch.targets[1:])),),
    }[change]
    cells = (replace(cell, batches=batches), *wave.cells[1:])
    return replace(good, waves=(*good.waves[:-1], replace(wave, cells=cells)))


def test_a_plan_as_made_has_no_contradiction() -> None:
    """The check accepts the planner's plans."""
    assert list(plan_check.contradictions(factory.plan())) == []


@pytest.mark.parametrize(
    "change,said",
    [
        ("big", "a batch has 1 to 50"),
        ("empty", "a batch has 1 to 50"),
        ("twice", "appears 2 times"),
        ("kind", "does not fit Running"),
        ("id", "`../x` is not an instance id"),
        ("case", "`i-AB1` is not an instance id"),
        ("group", "groups that do not exist"),
        ("attach", "attach does not fit"),
    ],
)
def test_targets_that_contradict_are_found(change: str, said: str) -> None:
    """Impossible batches, ids, kinds and groups are reported."""
    assert any(said in text for text in plan_check.contradictions(twisted(change)))


@pytest.mark.parametrize(
    "field,value,said",
    [
        ("name", "../../etc", "not a name"),
        ("spec_text", "other", "spec_digest"),
        ("expires_at", 0, "expires_at is before made_at"),
        ("identity", (), "applyable"),
        ("groups", (), "groups that do not exist"),
        ("waves", factory.plan().waves * 2, "wave canary appears 2 times"),
        ("waves", (), "counts.targets"),
        ("exclusions", (), "counts.excluded"),
    ],
)
def test_fields_that_contradict_are_found(field: str, value: object, said: str) -> None:
    """Impossible names, digests, counts and waves are reported."""
    assert any(said in text for text in plan_check.contradictions(changed(**{field: value})))


def two_keys(**changes: object) -> Plan:
    """The factory's plan with a second key for every third target, changed in that second key."""
    good = factory.plan()
    second = msgspec.structs.replace(good.keys[0], **{"name": "ops-former", **changes})
    return with_keys(good, (*good.keys, second), lambda one: int(one.instance[-1] in "369"))


@pytest.mark.parametrize(
    "changes,said",
    [
        ({"public_key_digest": "sha256:0"}, "key ops-former: public_key_digest does not match"),
        ({"name": "ops-new"}, "key ops-new appears 2 times in cn-hangzhou"),
        ({"regions": ()}, "key pair ops-former is missing"),
    ],
)
def test_keys_that_contradict_are_found(changes: dict[str, object], said: str) -> None:
    """Several keys are fine, each with its own material, name and regions."""
    assert list(plan_check.contradictions(two_keys())) == []
    assert any(said in text for text in plan_check.contradictions(two_keys(**changes)))


def test_a_batch_with_two_keys_is_found() -> None:
    """One AttachKeyPair call attaches one key pair."""
    plan = two_keys()
    cell = plan.waves[-1].cells[0]
    whole = Batch(tuple(target for batch in cell.batches for target in batch.targets))
    mixed = msgspec.structs.replace(cell, batches=(whole,))
    wave = msgspec.structs.replace(plan.waves[-1], cells=(mixed, *plan.waves[-1].cells[1:]))
    twisted = msgspec.structs.replace(plan, waves=(*plan.waves[:-1], wave))

    assert any("different keys" in text for text in plan_check.contradictions(twisted))


def test_a_key_that_is_not_in_the_list_is_found() -> None:
    """Every target's key is one of the plan's."""
    plan = msgspec.structs.replace(two_keys(), keys=factory.plan().keys)

    assert any("not in the list of keys" in text for text in plan_check.contradictions(plan))


@pytest.mark.parametrize("field,value", [("cap", 40), ("members", 99), ("others", 0)])
def test_caps_that_do_not_follow_from_the_budget_are_found(field: str, value: int) -> None:
    """A raised cap is found even if the digest matches."""
    good = factory.plan()
    group = msgspec.structs.replace(good.groups[0], **{field: value})

    assert list(plan_check.contradictions(changed(groups=(group,))))


@pytest.mark.parametrize(
    "target, named",
    [("missing.plan.json", True), ("plans/missing", True), ("r-4t5q7jtwif", False), ("r-4", False)],
)
def test_a_missing_plan_file_is_not_taken_for_a_run(target: str, named: bool) -> None:  # noqa: FBT001
    """So that the error of a misspelled path is about that file."""
    assert plan_file.is_named(target) is named
