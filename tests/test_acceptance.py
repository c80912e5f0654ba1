"""The acceptance tests A-01 to A-15: failures that users of similar tools had.

Each uses the cheapest level that can show the failure: the core in virtual time, the emulator in
this process, or a journal on disk.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import partial
from pathlib import Path

import msgspec
import pytest

from rollout.app import plan_file
from rollout.cli import main
from rollout.core.planning import planner
from rollout.core.planning import windows as planning
from rollout.errors import Exit, PlanError
from rollout.journal import proofs, writer
from rollout.journal.chain import Head
from rollout.journal.directory import DirectoryRun, DirectoryStore
from rollout.journal.reader import run_id
from rollout.journal.verify import verify
from rollout.model import event as ev
from rollout.model import plan as plans
from rollout.model.command import Attach, RestartCall
from rollout.model.instance import OsFamily, Status
from rollout.model.plan import Reason
from rollout.model.probe import KeyAccess, LoginSeen, LoginVerdict
from rollout.model.spec import PPM, Amount, Budget, KeyPairSpec
from rollout.model.time import HOUR, MINUTE, SECOND
from rollout.model.windows import Hours, PlanWindows, Windows
from rollout.specfile.zones import LocalZone
from tests import golden_plans
from tests.app import service as stage
from tests.app.test_preflight import applied, planned
from tests.core import samples
from tests.core.planning.test_windows import at, test_a_freeze_over_the_date_line
from tests.core.running import test_gone, test_logins, test_on_failure, test_rates
from tests.core.scenarios import commands, named, world
from tests.core.world import CONFLICT, Crash, Script, World
from tests.ecs import test_governor
from tests.journal.recheck.cases import in_rest

date_line = test_a_freeze_over_the_date_line
del test_a_freeze_over_the_date_line  # collected where it is defined


class _Unchecked(World):
    """A world that is checked at its end only: a large run is too long to check every turn."""

    def check(self) -> None:
        """Check nothing."""

    def _decide_twice(self) -> None:
        """Decide once."""


def test_a01_a_windows_instance_is_not_attached_and_stops_no_other() -> None:
    """51 instances are two calls. One that is known to run Windows is dropped before the call. One
    that is not known fails alone, and the other 49 of its call continue.
    """
    assert [len(ids) for ids in named(world(51, 51).go(), Attach)] == [50, 1]

    rows = samples.fleet(51)
    rows[7] = samples.instance(7, os=OsFamily.WINDOWS)
    plan = samples.make_plan(rows, samples.capped(50))
    assert [(one.instance, one.reason) for one in plan.exclusions] == [("i-0007", Reason.WINDOWS)]
    story = World(plan, rows).start().go()
    assert all("i-0007" not in ids for ids in named(story, Attach))

    story = world(50, 50)
    hidden = story.machines["i-0007"]
    seen = hidden.now
    hidden.change(story.now, os=OsFamily.WINDOWS)
    hidden.past[:] = [(10**15, seen)]
    story.go().check_end()
    assert (story.classes["done"], story.classes["failed"]) == (49, 1)


def test_a02_instances_whose_attach_failed_are_not_restarted() -> None:
    """3 of 50 attaches are refused for a while: 47 are restarted, the 3 are attached again without
    the others, and each restart follows its own attach.
    """
    busy = {f"i-{number:04d}" for number in (3, 17, 40)}
    story = world(50, 50, Script(refuse=dict.fromkeys(busy, CONFLICT)))
    story.at(story.now + 20 * SECOND, story.script.refuse.clear)
    story.go().check_end()

    first, *again = named(story, Attach)
    assert len(first) == 50 and again and {one for ids in again for one in ids} == busy
    assert story.classes["done"] == 50
    attached: set[str] = set()
    for event in story.journal:
        if isinstance(event, ev.Moved) and event.trigger is ev.Trigger.OBSERVED_ATTACHED:
            attached |= {story.run.layout.targets[one].instance for one in event.ordinals}
        elif isinstance(event, ev.Issued) and isinstance(event.command, RestartCall):
            assert set(event.command.instances) <= attached


def test_a03_a_restart_whose_reply_is_lost_is_not_repeated() -> None:
    """The service restarts the instance and the reply never arrives: one restart."""
    story = world(1, 1, Script(calls={2: "lost_after"})).go()
    story.check_end()

    assert len(commands(story, RestartCall)) == 1
    assert len(story.machines["i-0000"].restarts) == 1 and story.classes["done"] == 1


def test_a04_a_run_that_is_killed_again_and_again_ends_as_without_kills() -> None:
    """1,000 instances: every resume continues, each instance is restarted once, and it has the new
    key. tests/sim/test_crash_points.py kills at every single step of smaller runs.
    """
    rows = samples.fleet(1_000)
    wanted = samples.spec(budgets=(Budget("fleet", Amount(share_ppm=PPM)),))
    story = _Unchecked(samples.make_plan(rows, wanted), rows)
    crashes, start = 0, story.start
    while story.run.closed is None:
        try:
            start()
            story.crash_at = len(story.journal) + 12 + 2 * crashes
            story.go()
        except Crash:
            crashes += 1
        start = partial(story.resume)
    story.check_end()

    assert crashes >= 3
    assert story.classes["done"] == 1_000
    assert {len(one.restarts) for one in story.machines.values()} == {1}
    assert {one.now.key_pair for one in story.machines.values()} == {samples.NEW_KEY}


def test_a05_nothing_begins_after_the_third_failure() -> None:
    """40 restarts are in flight and the limit is three. With `strict` never more than 3 fail."""
    test_on_failure.test_nothing_begins_after_the_third_failure()
    test_on_failure.test_strict_failures_never_pass_the_limit(3)


def test_a06_a_share_that_allows_nothing_is_an_error_of_the_plan() -> None:
    """20 % of a group of 2: the error names the group, its size and an absolute number."""
    rows = [samples.instance(number, tags=(("quorum", "db"),)) for number in range(2)]
    budgets = (Budget("fleet", Amount(count=1)), Budget("tag:quorum", Amount(share_ppm=PPM // 5)))
    with pytest.raises(PlanError) as caught:
        samples.make_plan(rows, samples.spec(budgets=budgets))

    (problem,) = caught.value.problems
    assert problem.code == "R0312"
    assert "maxDown 20% of the 2 members of tag:quorum=db comes to 0" in problem.message
    assert problem.help is not None and "`maxDown: 1`" in problem.help


def test_a07_the_permit_of_a_deleted_instance_is_free_again() -> None:
    """Of four instances one is deleted while it restarts, and the budget is one: three are done."""
    test_gone.test_a_released_instance_is_gone_after_a_settle_window_and_a_second_opinion()


def test_a08_an_instance_that_accepts_its_former_key_is_not_done(tmp_path: Path) -> None:
    """The next rotation leaves it out, because the last one is unproven."""
    story = test_logins.proving(3)
    seen = LoginSeen(KeyAccess.ACCEPTED, KeyAccess.ACCEPTED, test_logins.BEFORE)
    test_logins.answers(story, seen)
    story.go()
    assert story.classes["done"] == 0
    assert test_logins.verdicts(story) == {LoginVerdict.FORMER_KEY_ACCEPTED}

    raw = plans.encode(story.plan)
    digest = plans.digest(raw)
    started, *others = story.journal
    started = msgspec.structs.replace(started, run=run_id(digest), plan_digest=digest)
    journal = writer.create(tmp_path, run_id(digest), raw)
    journal.append([started, *others], story.now)
    journal.close()
    unproven = proofs.fold(DirectoryStore(tmp_path)).unproven
    rows = [one.now for one in story.machines.values()]
    spec = samples.capped(1, key_pair=KeyPairSpec("ops-later", "ssh-ed25519 AAAAlater"))
    context = planner.PlanContext("rollout test", unproven=unproven)
    later = planner.make_plan(spec, samples.inventory(rows), {}, story.now, context)
    assert {one.reason for one in later.exclusions} == {Reason.FORMER_ROTATION_UNPROVEN}
    assert len(later.exclusions) == 3 and not list(later.targets())


@pytest.mark.parametrize("boot_ms", [1_500, 15 * SECOND], ids=["ten times faster", "usual"])
def test_a09_a_faster_fleet_is_not_restarted_faster(boot_ms: int) -> None:
    """The restarts in ten minutes are those of the rate, however fast instances boot."""
    test_rates.test_a_faster_fleet_is_not_disrupted_faster(boot_ms)


def test_a10_a_freeze_lasts_exactly_as_long_as_its_local_hours() -> None:
    """Over the date line, and over the night in which New York skips an hour: a freeze from
    midnight to 04:00 lasts three hours. A run restarts nothing in it.
    """
    date_line()
    rules = Windows(
        "America/New_York", (Hours(23 * 60 + 30, 6 * 60, (5,)),), (Hours(0, 4 * 60, (6,)),)
    )
    zone = LocalZone(rules.time_zone)
    found = planning.expand(rules, (), zone, at("2027-03-13T12:00"), at("2027-03-15"))
    first, second = found
    assert (first.opens, first.closes) == (at("2027-03-14T04:30"), at("2027-03-14T05:00"))
    assert (second.opens, second.closes) == (at("2027-03-14T08:00"), at("2027-03-14T10:00"))

    rows = samples.fleet(6)
    plan = samples.make_plan(rows, samples.capped(1))
    windows = PlanWindows(rules.time_zone, "2026a", second.closes, tuple(found))
    plan = msgspec.structs.replace(plan, windows=windows)
    story = World(plan, rows, Script(boot_ms=8 * MINUTE))
    story.now = at("2027-03-14T04:00")
    story.start().go().check_end()

    begun = sorted(at for one in story.machines.values() for at in one.restarts)
    before = [one for one in begun if one < first.closes]
    assert before and len(before) < 6 == len(begun)
    assert first.opens <= before[0] and before[-1] + 8 * MINUTE < first.closes
    assert all(second.opens <= one < second.closes for one in begun[len(before) :])
    assert second.opens - first.closes == 3 * HOUR


@pytest.mark.asyncio
async def test_a11_a_person_with_the_console_is_not_throttled() -> None:
    """Another client uses its share of the quota at an even pace: its calls succeed."""
    await test_governor.test_a_hidden_quota_is_found_used_and_shared(90, 300_000, 600)


def test_a12_what_terraform_would_reverse_is_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a state that still names the former key pair, the instance that the next apply would
    destroy is listed by address, with the line that prevents it; the corrected state has none.
    """
    path = golden_plans.FOLDER / "quickstart.plan.json"
    target = next(iter(plan_file.load_plan(path).plan.targets()))
    attributes = {"id": target.instance, "key_name": target.former_key, "password": "geheim"}
    resource = {"type": "alicloud_instance", "name": "web", "module": "module.shop"}
    state = {"version": 4, "resources": [{**resource, "instances": [{"attributes": attributes}]}]}
    command = ["terraform", "reconcile", str(path), "prod.tfstate", "--detailed-exitcode"]
    monkeypatch.chdir(tmp_path)

    Path("prod.tfstate").write_text(json.dumps(state))
    assert main.main(command) == Exit.CHANGES
    shown = " ".join(capsys.readouterr().out.split())
    assert "module.shop.alicloud_instance.web" in shown
    assert f"destroys {target.instance}" in shown and "geheim" not in shown
    (key,) = plan_file.load_plan(path).plan.keys
    assert f'change key_name = "{key.name}"' in shown

    attributes["key_name"] = key.name
    Path("prod.tfstate").write_text(json.dumps(state))
    assert main.main(command) == Exit.DONE


def test_a13_changed_instances_are_held_and_listed_and_the_others_continue() -> None:
    """5 of 100 changed their state, key or system since the plan: 95 are done."""
    story = world(100, 100)
    changes: list[dict[str, object]] = [
        {"status": Status.STOPPED},
        {"status": Status.STOPPED},
        {"key_pair": "theirs"},
        {"key_pair": "theirs"},
        {"os": OsFamily.WINDOWS},
    ]
    for number, changed in enumerate(changes):
        story.machines[f"i-{number:04d}"].change(story.now, **changed)
    story.go().check_end()

    assert story.run.halted is None
    assert story.classes["done"] == 95
    listed = {one for event in story.events(ev.Drifted) for one in event.ordinals}
    assert listed == set(range(5)) == set(story.run.causes)
    touched = {one for call in (*named(story, Attach), *named(story, RestartCall)) for one in call}
    assert not touched & {f"i-{number:04d}" for number in range(5)}


@pytest.mark.asyncio
async def test_a14_a_name_of_a_key_pair_may_have_a_colon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the spec over the wire to the record of every instance."""
    monkeypatch.chdir(tmp_path)
    cloud = stage.emulated(16)
    saved = await planned(cloud, tmp_path, stage.SPEC.replace("fleet-2026", '"team:fleet:2026"'))
    ended = await applied(cloud, saved)

    assert ended.exit is Exit.DONE
    for _, cell in saved.plan.cells():
        pair = cloud.pairs.find(cell.site.region, "team:fleet:2026")
        numbers = [cloud.instances.find(one.instance) for one in cell.targets()]
        assert pair is not None
        assert {cloud.instances.record[one] for one in numbers if one is not None} == {pair.number}


@pytest.mark.parametrize("harm", ["last line dropped", "rewritten", "swapped"])
def test_a15_the_verifier_finds_changes_of_the_journal(tmp_path: Path, harm: str) -> None:
    """A swap breaks the chain. A dropped last line and a chain that was computed again after a
    change in the middle differ from the head that was noted elsewhere.
    """
    run_dir = in_rest().attached(2, 3).restart(2, 3).write(tmp_path)
    path = run_dir / "journal-000001.jsonl"
    (run_dir / "journal.seal").unlink()
    before = verify(DirectoryRun(run_dir))
    head = Head(before.lines, before.head)
    lines = path.read_bytes().splitlines(keepends=True)
    if harm == "last line dropped":
        del lines[-1]
    elif harm == "swapped":
        lines[5], lines[6] = lines[6], lines[5]
    else:
        lines[5] = re.sub(rb'"at":(\d+)', lambda found: b'"at":%d' % (int(found[1]) + 1), lines[5])
        _chain_again(lines)
    path.write_bytes(b"".join(lines))

    assert verify(DirectoryRun(run_dir)).exit is (
        Exit.INTEGRITY if harm == "swapped" else Exit.DONE
    )
    assert verify(DirectoryRun(run_dir), head=head).exit is Exit.INTEGRITY


def _chain_again(lines: list[bytes]) -> None:
    """Compute `prev` of every line after the first again."""
    for number in range(1, len(lines)):
        digest = hashlib.sha256(lines[number - 1].rstrip(b"\n")).hexdigest().encode()
        lines[number] = re.sub(rb'"prev":"[0-9a-f]+"', b'"prev":"%b"' % digest, lines[number])
