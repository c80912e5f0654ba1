"""`rollout rehearse`: assumptions and results in every format, without API calls."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

from rollout.app import plan as planning
from rollout.app import plan_file as planfile
from rollout.app import rehearse
from rollout.app.rehearse import Rehearsal, RehearsalOptions
from rollout.cli import language, main
from rollout.cli.views import forecast as shown
from rollout.cli.views import page
from rollout.emulator.dispatch import Cloud as EmulatedCloud
from rollout.emulator.fleet import synthetic
from rollout.emulator.http import server
from rollout.errors import Exit
from rollout.journal.directory import DirectoryStore
from rollout.journal.estimates import Boots, Estimates, LaneQuota
from rollout.model.gate import HttpGate
from rollout.model.plan import Plan
from rollout.model.spec import WaveGate
from rollout.model.time import HOUR, format_instant
from rollout.model.windows import Interval, PlanWindows
from rollout.sim.rehearse import rehearsal
from rollout.sim.rehearse.forecast import Forecast, Spread, WaveEnd, forecast
from rollout.sim.rehearse.rehearsal import Down, RehearsedSeed
from tests import tree
from tests.app import factory, service

LIVED = RehearsedSeed(
    seed=1, duration_ms=300_000, exit=0, halted="", counts={}, waves=(), lanes=(), down=()
)
NOTHING = RehearsalOptions(seeds=None, boot_ms=None, quota=None, faults=None)


@pytest.fixture
def plan_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A saved plan in an empty directory; opening a socket fails the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", _refuse)
    path = tmp_path / "fleet.plan.json"
    planfile.save_plan(planfile.with_digest(factory.plan(60)), path)
    yield path
    language.use("en")


def _refuse(*_: object) -> NoReturn:
    pytest.fail("a rehearsal opened a connection")


def rehearsed(capsys: pytest.CaptureFixture[str], *words: str, end: int = 0) -> str:
    """The command's stdout."""
    assert main.main(["rehearse", *words]) == end
    return capsys.readouterr().out


def test_a_rehearsal_says_what_it_assumed_and_what_to_expect(
    plan_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Assumptions with their sources, duration, calls, the chart and the outcomes."""
    before = sorted(path.name for path in plan_file.parent.iterdir())

    text = rehearsed(capsys, str(plan_file), "--seeds", "3", "--boot-time", "20s")

    assert "boot    20 s ± 20 % (--boot-time)" in text
    assert "quota   300 calls a minute" in text
    assert "assumed; change it with --quota" in " ".join(text.split())
    assert "Duration P50 " in text and "(P90)" in text
    assert "RebootInstance" in text and " of 300" in text
    assert "Down at once in the fleet: up to 2, 2 allowed" in text
    assert "apply ends with exit 0 (all done) in 3 of 3 seeds" in text
    assert "\x1b" not in text
    assert sorted(path.name for path in plan_file.parent.iterdir()) == before


def test_sources_are_translated_for_people_only(
    plan_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The assumptions have Chinese sources, the JSON document English ones."""
    words = (str(plan_file), "--seeds", "1", "--lang", "zh")

    assert "假定值；可用 --quota 更改" in "".join(rehearsed(capsys, *words).split("\n"))
    found = json.loads(rehearsed(capsys, *words, "-o", "json"))
    assert found["sources"]["quota"] == "assumed; change it with --quota"


def test_the_same_as_data(plan_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One document with assumptions, forecast and each seed; a second run is identical."""
    words = (str(plan_file), "--seeds", "2", "--boot-time", "20s", "-o", "json")
    found: dict[str, Any] = json.loads(rehearsed(capsys, *words))

    assert found["format_version"] == "1.0"
    assert found["assumed"]["boot_ms"] == 20_000
    assert [one["seed"] for one in found["seeds"]] == [1, 2]
    assert found["forecast"]["outcomes"]["done"]["p50"] == factory.plan(60).counts.targets
    assert found["digest"] == planfile.load_plan(plan_file).digest
    assert json.loads(rehearsed(capsys, *words)) == found


def test_faults_are_armed_and_named(plan_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Instances that hang in the simulation fail in the forecast, with the exit code."""
    faults = plan_file.parent / "faults.yaml"
    faults.write_text("- { fault: boot_stuck_starting, probability: 1 }\n", "utf-8")

    text = rehearsed(capsys, str(plan_file), "--seeds", "1", "--faults", str(faults))

    assert f"faults {faults} (--faults)" in " ".join(text.split())
    assert "apply ends with exit 5 in 1 of 1 seed, stopped" in text
    assert "failed" in text


def test_the_page_is_written_in_addition_to_the_text(
    plan_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--out` writes one file; the text is printed as well."""
    words = (str(plan_file), "--seeds", "1", "--boot-time", "20s", "--out")

    text = rehearsed(capsys, *words, "forecast.html")

    assert "Duration " in text
    assert (plan_file.parent / "forecast.html").read_text("utf-8").startswith("<!doctype html>")


def test_only_a_page_is_replaced(
    plan_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page can be written again, but the plan and other files are refused before the work."""
    words = ["rehearse", str(plan_file), "--seeds", "1", "--boot-time", "20s", "--out"]
    assert main.main([*words, "forecast.html"]) == main.main([*words, "forecast.html"]) == Exit.DONE
    Path("index.html").write_text("<!doctype html><title>Home</title>", "utf-8")
    monkeypatch.setattr(rehearse, "simulate_all", lambda *_: pytest.fail("it was simulated"))

    for where in (str(plan_file), "index.html"):
        before = Path(where).read_bytes()
        assert main.main([*words, where]) == Exit.IO
        assert "error[R0803]: the page cannot be saved" in capsys.readouterr().err
        assert Path(where).read_bytes() == before


def test_an_unwritable_page_is_refused_before_the_work(
    plan_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unwritable --out is refused before the simulation."""
    monkeypatch.setattr(rehearse, "simulate_all", lambda *_: pytest.fail("it was lived through"))

    for where in ("missing/forecast.html", "."):
        assert main.main(["rehearse", str(plan_file), "--out", where]) == Exit.IO
        told = capsys.readouterr().err
        assert "error[R0803]: the page cannot be saved" in told and "--out" in told


@pytest.mark.parametrize(
    "words,code,end",
    [
        (("--seeds", "0"), "R0001", Exit.USAGE),
        (("--quota", "0"), "R0001", Exit.USAGE),
        (("--boot-time", "soon"), "R0001", Exit.USAGE),
        (("--faults", "missing.yaml"), "R0013", Exit.CONFIG),
        (("--digest", "sha256:" + 64 * "0"), "R0901", Exit.INTEGRITY),
        (("--digest", "sha256:00"), "R0001", Exit.USAGE),
    ],
)
def test_what_cannot_be_rehearsed_is_refused(
    plan_file: Path,
    words: tuple[str, ...],
    code: str,
    end: Exit,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Invalid options, unreadable faults and edited plans have their own exit codes."""
    assert main.main(["rehearse", str(plan_file), *words]) == end
    assert f"error[{code}]" in capsys.readouterr().err


def test_a_plan_without_targets_needs_no_rehearsal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plan without targets ends with exit 0 and a message."""
    path = tmp_path / "none.plan.json"
    planfile.save_plan(planfile.with_digest(factory.plan(1)), path)

    assert main.main(["rehearse", str(path)]) == Exit.DONE
    assert "Nothing to rehearse" in capsys.readouterr().err


def test_seeds_in_several_processes_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process and two give the same seeds in the same order with the same figures."""
    plan = factory.plan(40)
    given = RehearsalOptions(seeds=2, boot_ms=5_000, quota=None, faults=None)
    chosen = rehearse.prepare(plan, given)
    told: list[tuple[int, int, float]] = []

    def note(over: int, seeds: int, share: float) -> None:
        told.append((over, seeds, share))

    alone = rehearse.simulate_all(plan, chosen, note)
    monkeypatch.setattr(rehearse, "PARALLEL_INSTANCES_MIN", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    together = rehearse.simulate_all(plan, chosen, note)

    assert together == alone
    assert told[-1] == (2, 2, 0.0)
    assert all(0 <= share <= 1 for *_, share in told)


def test_an_emulator_is_rehearsed_as_one() -> None:
    """Its rate starts higher, it has no quota by default, and its replies are fast."""
    real, emulated = (
        rehearse.prepare(factory.plan(60, emulator=emulator), NOTHING).assumed
        for emulator in (False, True)
    )

    assert (real.quota, emulated.quota) == (rehearse.QUOTA, None)
    assert real.rate_start < emulated.rate_start
    assert real.latency_ms > emulated.latency_ms


def test_a_large_plan_is_rehearsed_fewer_times() -> None:
    """The default number of seeds is smaller; --seeds overrides it."""
    plan = factory.plan(400)
    large = _with_targets(plan, 1_000_000)

    assert rehearse.prepare(plan, NOTHING).seeds == rehearse.SEEDS_MAX
    assert rehearse.prepare(large, NOTHING).seeds == 1
    assert rehearse.prepare(large, RehearsalOptions(7, None, None, None)).seeds == 7


def _with_targets(plan: Plan, targets: int) -> Plan:
    counts = msgspec.structs.replace(plan.counts, targets=targets)
    return msgspec.structs.replace(plan, counts=counts)


def test_what_earlier_runs_met_is_assumed_and_named() -> None:
    """Boots and quotas of an earlier run replace defaults; options replace both."""
    boots = Boots("r-old", 1_200, 42_000, 7)
    quota = LaneQuota("r-old", "cn-hangzhou", "RebootInstance", 118)
    learned = Estimates(boots, (quota,))
    plan = factory.plan(60)

    chosen = rehearse.prepare(plan, NOTHING, learned)
    told = rehearse.prepare(plan, RehearsalOptions(None, 9_000, 50, None), learned)
    found = forecast([rehearsal.simulate(plan, chosen.assumed, 1)])
    rehearsed = Rehearsal(chosen, found, [], factory.NOW)
    text = shown.text(plan, "sha256:" + "0" * 64, rehearsed, 100)

    assert (chosen.assumed.boot_ms, chosen.assumed.boot_spread_percent) == (42_000, 7)
    assert chosen.assumed.quota_of("cn-hangzhou", "RebootInstance") == 118
    assert chosen.assumed.quota_of("cn-shanghai", "RebootInstance") == rehearse.QUOTA
    assert "42 s ± 7 % (1,200 boots of run r-old; change it with --boot-time)" in text
    assert "118 RebootInstance in cn-hangzhou (run r-old was throttled there)" in text
    assert told.assumed.boot_ms == 9_000
    assert told.assumed.quota_of("cn-hangzhou", "RebootInstance") == 50


@pytest.mark.parametrize(
    "ended, words",
    [
        (3, "Duration 5 m."),
        (2, "Duration 5 m in the 2 of 3 seeds that finished."),
        (0, "Duration 5 m until the run stopped, as in every seed."),
    ],
)
def test_a_duration_says_whose_it_is(ended: int, words: str) -> None:
    """A run that stops may take longer than the longest that came to its end: it is not in it, and
    that is said; so is in how many seeds a wave was closed.
    """
    same = Spread(300_000, 300_000, 300_000)
    found = Forecast(
        seeds=3,
        ended=ended,
        duration_ms=same,
        waves=(WaveEnd("canary", same, 3), WaveEnd("bulk", same, max(1, ended))),
        calls=(),
        shown=1,
        down=(),
        down_most=(),
        outcomes={},
        endings=(),
    )
    plan, chosen = factory.plan(60), rehearse.prepare(factory.plan(60), NOTHING)

    rehearsed = Rehearsal(chosen, found, [LIVED], factory.NOW)

    text = shown.text(plan, "sha256:" + "0" * 64, rehearsed, 100)
    written = page.page(plan, "sha256:" + "0" * 64, rehearsed)

    assert words in text
    assert (words in written) is (ended < 3)
    assert ("seeds\n  canary" in text) is (ended < 3)


def test_the_end_fits_the_windows_of_the_plan() -> None:
    """A rehearsal begins when the plan was made. With windows, the duration of a run that begins
    later differs, so the end is that of the rehearsal.
    """
    plan, later = factory.plan(60), factory.NOW + 2 * HOUR
    chosen = rehearse.prepare(plan, NOTHING)
    found = Rehearsal(chosen, forecast([LIVED]), [LIVED], later)
    opens = plan.made_at - HOUR
    window = PlanWindows("UTC", "2026a", later, (Interval(opens, later, 0, 0),))

    digest = "sha256:" + "0" * 64
    anytime = shown.text(plan, digest, found, 100)
    inside = shown.text(msgspec.structs.replace(plan, windows=window), digest, found, 100)

    assert f"Started now, it ends at {format_instant(later + 300_000)}." in anytime
    begun, ended = format_instant(plan.made_at), format_instant(plan.made_at + 300_000)
    assert f"Started at {begun}, it ends at {ended}." in " ".join(inside.split())


ASKED = "open at once (assumed; a rehearsal asks no gate)"
PROMOTED = "manual: promoted at once (assumed)"


@pytest.mark.parametrize(
    "questions, manual, lines",
    [
        (False, False, []),
        (True, False, [f"  gates   {ASKED}"]),
        (False, True, [f"  gates   {PROMOTED}"]),
        (True, True, [f"  gates   {ASKED}", f"          {PROMOTED}"]),
    ],
)
def test_what_is_assumed_of_gates_is_printed(
    *, questions: bool, manual: bool, lines: list[str]
) -> None:
    """A rehearsal asks no gate and promotes manual ones at once: text and page say so."""
    plan = factory.plan(60)
    if questions:
        plan = msgspec.structs.replace(plan, gates=(HttpGate(url="https://alerts.internal"),))
    if manual:
        canary, *rest = plan.waves
        canary = msgspec.structs.replace(canary, gate=WaveGate.MANUAL)
        plan = msgspec.structs.replace(plan, waves=(canary, *rest))
    chosen = rehearse.prepare(plan, NOTHING)
    rehearsed = Rehearsal(chosen, forecast([LIVED]), [LIVED], factory.NOW)

    text = shown.text(plan, "sha256:" + "0" * 64, rehearsed, 100).splitlines()
    written = page.page(plan, "sha256:" + "0" * 64, rehearsed)

    assert [line for line in text if line.endswith((ASKED, PROMOTED))] == lines
    assert ("a rehearsal asks no gate" in written) is questions
    assert ("manual: promoted at once" in written) is manual


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """At every width, also with a long chart."""
    plan = factory.plan(60)
    chosen = rehearse.prepare(plan, RehearsalOptions(1, 30_000, 50, None))
    lived = rehearse.simulate_all(plan, chosen, lambda *_: None)

    rehearsed = Rehearsal(chosen, forecast(lived), lived, factory.NOW)
    text = shown.text(plan, "sha256:" + "0" * 64, rehearsed, width)

    assert max(map(len, text.splitlines())) <= width


def test_the_picture_shows_the_peak_and_never_hides_a_single_one() -> None:
    """A full budget fills the column, one of a thousand is visible, zero is blank."""
    group = Down("fleet", 1000, 1000, 1000, (0, 1, 500, 1000))

    lines = shown.down(group, 1000, 80)
    columns = list(zip(*(line.partition("│")[2].ljust(4) for line in lines[1:5]), strict=True))

    assert columns == [
        (" ", " ", " ", " "),
        (" ", " ", " ", "▁"),
        (" ", " ", "█", "█"),
        ("█", "█", "█", "█"),
    ]
    assert shown.squeeze(tuple(range(100)), 10) == list(range(9, 100, 10))


EXAMPLES = sorted((tree.ROOT / "plans").glob("*.yaml"))


@pytest.mark.asyncio
@pytest.mark.parametrize("spec", EXAMPLES, ids=lambda path: path.stem)
async def test_every_example_spec_can_be_planned_and_rehearsed(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each spec in plans/ is planned on an emulated fleet and finishes in a rehearsal."""
    monkeypatch.chdir(tree.ROOT)
    now = server.wall_clock_ms()
    cloud = EmulatedCloud(synthetic.build(size=240, seed=7, now=now))
    async with service.connected(cloud, service.ReadOnly) as connected:
        plan = (await planning.create(spec, connected, DirectoryStore(tmp_path))).saved.plan

    lived = rehearsal.simulate(plan, rehearse.prepare(plan, NOTHING).assumed, 1)

    assert lived.counts["done"] == plan.counts.targets > 10
    assert lived.exit == Exit.DONE
