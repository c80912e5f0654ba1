"""Who is in, who is out, and the one reason."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.planning import scope as scopes
from rollout.core.planning.selection import Selection, expired_rules, rotatable_os
from rollout.model.instance import Instance, MissingInstance, OsFamily, Proof, Status
from rollout.model.plan import Reason, public_key_digest
from rollout.model.selector import parse
from rollout.model.spec import Exclude, Restart, Spec, Stopped
from tests.core import samples

PROOFS = {
    "i-0007": Proof(samples.NEW_KEY, public_key_digest(samples.PUBLIC_KEY), "run-0"),
}
UNPROVEN = {"i-0007": Proof("ops-older", "sha256:1", "r-1")}
WORST = samples.instance(
    7,
    os=OsFamily.WINDOWS,
    tags=(("rollout/exclude", ""),),
    key_pair=samples.NEW_KEY,
    locks=("financial",),
    expires_at=1,
    io_optimized=False,
    status=Status.PENDING,
)
STEPS: list[tuple[Reason, dict[str, object]]] = [
    (Reason.WINDOWS, {"os": OsFamily.UNKNOWN}),
    (Reason.OS_UNKNOWN, {"os": OsFamily.LINUX}),
    (Reason.RULE, {"tags": ()}),
    (Reason.ALREADY_DONE, {"key_pair": ""}),
    (Reason.LOCKED, {"locks": ()}),
    (Reason.EXPIRED, {"expires_at": 0}),
    (Reason.NOT_IO_OPTIMIZED, {"io_optimized": True}),
    (Reason.TRANSITIONAL, {"status": Status.STOPPED}),
    (Reason.STOPPED, {"status": Status.RUNNING}),
    (Reason.PASSWORD_ONLY, {"key_pair": "ops-older"}),
    (Reason.FORMER_ROTATION_UNPROVEN, {"key_pair": samples.NEW_KEY}),
]
"""What the worst instance is out for, and what heals just that."""
OF_SCOPE = (
    Reason.OUTSIDE_RUN,
    Reason.OTHER_KEY,
    Reason.NO_FORMER_KEY,
    Reason.FORMER_KEY_LOST,
)
"""Reasons of plans that are made from a run."""


def strict() -> Spec:
    """A spec with every reason to leave an instance out."""
    rule = Exclude("hands off", select=parse("rollout/exclude"))
    return samples.spec(exclude=(rule,), restart=Restart(stopped=Stopped.LEAVE))


def reason_of(one: Instance) -> Reason | None:
    """Why the instance is out of the strict spec."""
    proofs = PROOFS if one.key_pair == samples.NEW_KEY and one.locks else {}
    selected = Selection(strict(), proofs, samples.NOW, unproven=UNPROVEN)
    selected.choose([one])
    return selected.exclusions[0].reason if selected.exclusions else None


def test_the_first_reason_that_applies_is_the_one_reason() -> None:
    """Healed of one reason after the other, an instance shows the reasons in their order."""
    one, shown = WORST, []
    for _, cure in STEPS:
        shown.append(reason_of(one))
        one = msgspec.structs.replace(one, **cure)

    assert shown == [reason for reason, _ in STEPS]
    assert reason_of(one) is None


def test_the_order_is_that_of_the_reasons() -> None:
    """The enum is the order people read about; reasons of a scope come after the spec's rules."""
    reasons = [Reason.NOT_FOUND, *(reason for reason, _ in STEPS)]
    place = reasons.index(Reason.RULE) + 1

    expected = [*reasons[:place], *OF_SCOPE, *reasons[place:], Reason.NARROWED]
    assert expected == list(Reason)


@pytest.mark.parametrize("reason", OF_SCOPE)
def test_a_scope_leaves_out_what_the_spec_does_not(reason: Reason) -> None:
    """A rule of the spec and Windows outrank the reasons of an undo or a retry; these outrank what
    is temporary, such as a lock.
    """
    scope = scopes.of_spec(samples.spec())
    scope = msgspec.structs.replace(scope, left_out={WORST.id: (reason, "detail")})
    shown, one = [], WORST
    for _, cure in STEPS:
        selected = Selection(strict(), PROOFS, samples.NOW, scope)
        assert selected.choose([one])[0] == []
        shown.append(selected.exclusions[0].reason)
        one = msgspec.structs.replace(one, **cure)

    place = [step for step, _ in STEPS].index(Reason.RULE) + 1
    assert shown[:place] == [step for step, _ in STEPS[:place]]
    assert set(shown[place:]) == {reason}


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    """Any instance that a service may show."""
    return samples.instance(
        draw(st.integers(0, 9999)),
        os=draw(st.sampled_from(OsFamily)),
        os_name=draw(st.sampled_from(["", "Ubuntu 22.04", "Windows Server 2019"])),
        image=draw(st.sampled_from(["m-1", "win2019_1809_x64", "ubuntu_22"])),
        status=draw(st.sampled_from(Status)),
        key_pair=draw(st.sampled_from(["", samples.OLD_KEY, samples.NEW_KEY, "theirs"])),
        locks=draw(st.sampled_from([(), ("financial",), ("recycling",)])),
        expires_at=draw(st.sampled_from([0, 1, samples.NOW, samples.NOW + 1])),
        io_optimized=draw(st.booleans()),
        tags=draw(st.sampled_from([(), (("rollout/exclude", "yes"),), (("env", "prod"),)])),
    )


@given(st.lists(instances(), unique_by=lambda one: one.id), st.lists(st.integers(1, 5), max_size=3))
def test_every_instance_ends_in_exactly_one_place(rows: list[Instance], lost: list[int]) -> None:
    """Chosen and excluded are the inventory, each id once, none of them Windows."""
    gone = tuple(
        MissingInstance(f"i-gone{n}", samples.ACCOUNT, samples.REGIONS[0]) for n in set(lost)
    )
    selected = Selection(strict(), PROOFS, samples.NOW)
    selected.lose(gone)
    chosen = [one for page in (rows[:2], rows[2:]) for one in selected.choose(page)[0]]

    ids = [one.id for one in chosen] + [one.instance for one in selected.exclusions]
    assert sorted(ids) == sorted([one.id for one in rows] + [one.id for one in gone])
    assert all(one.os is OsFamily.LINUX for one in chosen)
    assert not any("windows" in one.os_name.lower() for one in chosen)


@given(st.lists(instances(), unique_by=lambda one: one.id))
def test_what_is_counted_on_the_way_is_what_counting_finds(rows: list[Instance]) -> None:
    """The base of percents, the starts and the logins that end are numbers of the plan."""
    selected = Selection(samples.spec(allow_password_loss=True), {}, samples.NOW)
    pages = [selected.choose(page) for page in (rows[:2], rows[2:])]
    chosen = [one for page in pages for one in page[0]]
    others = [one for page in pages for one in page[1]]

    assert selected.chosen == len(chosen)
    outside = {
        one.instance
        for one in selected.exclusions
        if one.reason.value in ("windows", "os_unknown", "rule", "not_found_or_not_permitted")
    }
    covered = [one for one in rows if one.id not in outside]
    running = [one.id for one in covered if one.status is not Status.STOPPED]
    members = [one.id for one in chosen if one.status is not Status.STOPPED]
    members += [one.instance.id for one in others if one.covered]
    assert sorted(members) == sorted(running)
    assert selected.stopped == sum(one.status is Status.STOPPED for one in chosen)
    assert selected.keyed == sum(one.key_pair == samples.NEW_KEY for one in chosen)
    assert selected.keyless == sum(not one.key_pair for one in chosen)


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"os": OsFamily.WINDOWS}, Reason.WINDOWS),
        ({"os": OsFamily.UNKNOWN}, Reason.OS_UNKNOWN),
        ({"os_name": "Windows Server 2022"}, Reason.OS_UNKNOWN),
        ({"image": "win2019_1809_x64_dtc"}, Reason.OS_UNKNOWN),
        ({"image": "winery-linux"}, None),
    ],
)
def test_only_linux_without_a_windows_name_is_rotated(
    changes: dict[str, object], reason: Reason | None
) -> None:
    """The service's word decides, and a name that says otherwise makes it unknown, never in."""
    assert rotatable_os(samples.instance(1, **changes)) is reason


def test_an_expired_rule_excludes_no_instance_and_is_a_warning() -> None:
    """An expired exclusion does not hold, and is named as expired."""
    rule = Exclude("for a week", instances=frozenset({"i-0001"}), until=samples.NOW)
    spec = samples.spec(exclude=(rule,))

    assert len(Selection(spec, {}, samples.NOW).choose([samples.instance(1)])[0]) == 1
    assert expired_rules(spec, samples.NOW) == (rule,)


def test_the_new_key_without_a_proof_is_still_to_be_restarted() -> None:
    """The record says attached; without a proof of the boot the instance stays in."""
    one = samples.instance(1, key_pair=samples.NEW_KEY)

    assert Selection(samples.spec(), {}, samples.NOW).choose([one]) == ([one], [])
