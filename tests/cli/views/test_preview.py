"""The preview: every instance is counted, and every reason is printed."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from rollout.app.plan import InventoryReading
from rollout.cli.views import preview, render
from rollout.core.planning import planner
from rollout.model.plan import Batch, BudgetText, Group, Origin, OriginKind, Plan, Warn, Wave
from rollout.model.spec import WaveGate
from rollout.model.verify import CommandHook, HttpHook, SshLogin, Verify
from tests.app import factory

DIGEST = "sha256:" + "ab" * 32

EXPECTED = """\
Identity   acs:ram::1234567890123456:user/ops (env)
Inventory  1 account · 2 regions · 100 instances read live in 14 s (2 DescribeInstances calls)

    100 found
  -   5 windows        key pairs are for Linux only
  -   5 rule           break-glass (5)
  -   5 locked         financial (5)
  -   5 password_only  no key attached; allowPasswordLoss is false
     80 targets   ops-old → ops-new

  wave    targets  cells  batches  restarts
  canary        2      2        2  2 reboot
  rest         78      2       20  73 reboot · 5 start
  Down at once: at most 4 of the fleet (5 % of 85 = 4). Base 85 = 75 to reboot + 10 other running
  instances in scope. Exposed (key attached, not in force): at most 1,000.
  Halts before the next wave after any failure, and at 3 failures that are 1 % of a later wave.
  At least 22 AttachKeyPair + 75 RebootInstance + 5 StartInstance calls and 20 m, with boots of 1 m.

! 5 stopped instances will be started and billed (restart.stopped: start).                     R0302
! 5 instances left out because rotation would permanently end password login.                  R0301

Plan: 80 targets, 20 exclusions.
Digest sha256:abababababababababababababababababababababababababababababababab
Valid until 2026-11-24T02:13:20Z (24h)"""


def shown(plan: Plan, width: int = 100) -> str:
    """The preview of a plan whose inventory was just read."""
    return preview.text(plan, DIGEST, width, reading=InventoryReading(2, 14_000))


def test_the_whole_preview() -> None:
    """The whole text of a preview."""
    assert shown(factory.plan()) == EXPECTED


def test_bakes_and_gates_have_columns() -> None:
    """Two more columns, where a wave has one: the last wave has neither."""
    plan = factory.plan()
    canary = msgspec.structs.replace(plan.waves[0], bake_ms=1_800_000, gate=WaveGate.MANUAL)
    gated = msgspec.structs.replace(plan, waves=(canary, *plan.waves[1:]))

    assert """\
  wave    targets  cells  batches  restarts             bake  gate
  canary        2      2        2  2 reboot             30m   manual
  rest         78      2       20  73 reboot · 5 start  -     -
""" in shown(gated)


def test_the_proof_of_login_is_named() -> None:
    """Who logs in where, with which keys, and every further check."""
    verify = Verify(
        SshLogin("root", via="ops@bastion"),
        (HttpHook("https://health/{instance}"),),
        (CommandHook(("./check", "{instance}")),),
    )
    text = shown(msgspec.structs.replace(factory.plan(), verify=verify), 200)

    assert (
        "Verify SSH as root to the private address through ops@bastion: new key (agent) "
        "accepted, former key refused, host key unchanged · GET https://health/{instance}: 200 · "
        "./check {instance}: exit code 0 "
    ) in " ".join(text.split())


@pytest.mark.parametrize("width", [60, 80, 100])
def test_lines_fit_the_terminal(width: int) -> None:
    """Paragraphs are wrapped; only the digest, tables and identities may be longer."""
    free = ("Identity", "Inventory", "Digest", "  -", "  canary", "  rest", "  wave")
    lines = shown(factory.plan(1000), width).splitlines()

    assert [line for line in lines if len(line) > width and not line.startswith(free)] == []


def test_an_emulated_plan_says_so_first() -> None:
    """EMULATOR is the first word of an emulated plan, and of no other."""
    assert shown(factory.plan(emulator=True)).startswith("EMULATOR ")
    assert "EMULATOR" not in shown(factory.plan())


def test_nothing_to_do_is_said_in_words() -> None:
    """Without targets there is no table of waves, but every reason is listed."""
    nobody = planner.make_plan(
        factory.spec(),
        msgspec.structs.replace(factory.inventory(1), instances=factory.inventory(1).instances),
        {},
        factory.NOW,
        planner.PlanContext(
            "rollout 0.1.0", factory.plan().identity, factory.plan().keys[0].regions
        ),
    )

    text = shown(nobody)

    assert "Nothing to do: all instances found are excluded." in text
    assert "- 1 windows" in text
    assert "wave" not in text


def test_an_offline_plan_says_why_it_cannot_be_applied() -> None:
    """Facts that were not read from the service are not printed."""
    offline = msgspec.structs.replace(factory.plan(), applyable=False, identity=())

    text = preview.text(offline, DIGEST, 100)

    assert "Identity   none: created offline" in text
    assert "from files (offline)" in text
    assert "Not applyable: it was created without API calls (--offline)." in text


def test_a_warning_about_the_whole_has_no_count() -> None:
    """A warning about the whole inventory has no `1` before its text."""
    noted = msgspec.structs.replace(factory.plan(), warnings=(Warn("R0208", 0, "A column."),))

    assert "\n! A column. " in shown(noted)


def test_json_is_the_plan_with_printed_times_and_its_digest() -> None:
    """Scripts find the plan's own fields and its digest; times are RFC 3339."""
    data = preview.data(factory.plan(), DIGEST)

    assert data["digest"] == DIGEST
    assert data["format_version"] == "1.0"
    assert data["made_at"] == "2026-11-23T02:13:20Z"
    assert data["counts"]["found"] == 100
    assert data["waves"][0]["cells"][0]["batches"][0]["targets"][0]["instance"].startswith("i-")


@pytest.mark.parametrize(
    "duration,text",
    [
        (0, "0.0 s"),
        (400, "0.4 s"),
        (14_000, "14 s"),
        (60_000, "1 m"),
        (92_000, "1 m 32 s"),
        (3_600_000, "1 h"),
        (13_800_000, "3 h 50 m"),
    ],
)
def test_spans_have_two_units_at_most(duration: int, text: str) -> None:
    """Durations have at most two units."""
    assert render.span(duration) == text


def test_columns_line_up() -> None:
    """Numbers are right-aligned, text left-aligned, without trailing blanks."""
    rows = [("wave", "n", "x"), ("canary", "9,999", "")]

    assert render.table(rows, "<><") == ["  wave        n  x", "  canary  9,999"]


def test_one_of_a_kind_is_counted_too() -> None:
    """A reason of one instance has the count 1."""
    one = msgspec.structs.replace(factory.plan(), warnings=(Warn("R0302", 1, "stopped instance."),))
    assert "! 1 stopped instance." in preview.text(one, "sha256:00", 100)


def test_a_detail_with_control_characters_stays_on_its_line() -> None:
    """Text from the service or a file cannot forge a line of the preview or hide one."""
    plan = factory.plan()
    forged = tuple(
        msgspec.structs.replace(one, detail="x\n  900 targets\x1b[1A") for one in plan.exclusions
    )

    text = shown(msgspec.structs.replace(plan, exclusions=forged))

    assert "x\\u{a}  900 targets\\u{1b}[1A (5)" in text
    assert "\x1b" not in text
    assert len(text.splitlines()) == len(EXPECTED.splitlines())


@pytest.mark.parametrize("width", [80, 200])
def test_instances_that_restart_last_are_named(width: int) -> None:
    """The first of them, and the number of the others."""
    plan = factory.plan()
    group = Group("last", len(plan.budgets), 1, 7, 0)
    batches = plan.waves[1].cells[0].batches
    named = tuple(
        msgspec.structs.replace(one, groups=(*one.groups, len(plan.groups)))
        for one in itertools.chain.from_iterable(batch.targets for batch in batches)
    )[:7]
    wave = Wave("last", (msgspec.structs.replace(plan.waves[1].cells[0], batches=(Batch(named),)),))
    made = msgspec.structs.replace(
        plan,
        groups=(*plan.groups, group),
        budgets=(*plan.budgets, BudgetText("last", "1")),
        waves=(*plan.waves, wave),
    )

    text = shown(made, width)

    first = ", ".join(one.instance for one in named[:5])
    assert f"Last, one at a time: {first} and 2 more." in " ".join(text.split())
    assert "any last" not in text


@pytest.mark.parametrize(
    "share,cap,text",
    [
        ("5%", 4, "at most 4 of the fleet (5 % of 85 = 4, at least 1)."),
        ("1%", 1, "at most 1 of the fleet (1 % of 85, at least 1)."),
    ],
)
def test_a_budget_with_a_minimum_shows_the_share_it_is_computed_from(
    share: str, cap: int, text: str
) -> None:
    """`at least 1 = 4` is no equation; the minimum follows the result of the share. No result is
    shown if the minimum replaces it.
    """
    plan = factory.plan()
    budget = msgspec.structs.replace(plan.budgets[0], max_down=share, at_least=1)
    group = msgspec.structs.replace(plan.groups[0], cap=cap)

    assert text in shown(msgspec.structs.replace(plan, budgets=(budget,), groups=(group,)), 200)


def test_one_target_is_singular() -> None:
    """The line of the subtraction has the form for 1."""
    plan = factory.plan()
    one = msgspec.structs.replace(plan, counts=msgspec.structs.replace(plan.counts, targets=1))

    assert "      1 target   ops-old" in shown(one)


def test_the_plan_of_the_run_that_is_undone_is_named_briefly() -> None:
    """A whole digest does not fit a line of 80 columns."""
    undo = msgspec.structs.replace(
        factory.plan(), origin=Origin(OriginKind.UNDO, "r-7f3kx9c2mp", DIGEST)
    )

    assert "\nUndo       of run r-7f3kx9c2mp, plan sha256:abababab…abab\n" in shown(undo, 80)
