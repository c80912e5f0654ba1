"""Undo: which instances get which key back, for any run, live state and state of the key pairs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from rollout.app import undo as undoing
from rollout.app.runs import Folded
from rollout.core.running.state import Run
from rollout.model.observation import KeyDescribed
from rollout.model.plan import FormerKey, Reason, public_key_digest
from tests.core import samples
from tests.core.samples import ACCOUNT, FINGERPRINT, NEW_KEY, REGIONS

NAMES = ("ops-a", "ops-b", "")
SIZE = 12
RECREATED = KeyDescribed("ssh-ed25519 other", FINGERPRINT, 1)
REFINGERPRINTED = KeyDescribed("ssh-ed25519 ops", "other", 1)
DELETED = KeyDescribed("", "", 1, found=False)
UNCHANGED = KeyDescribed("ssh-ed25519 ops", FINGERPRINT, 1)


def rotated(formers: list[str], tries: list[int], recorded: list[bool]) -> Folded:
    """A closed run over instances with these former keys, some without an attach call. Its plan
    records some of the former key pairs.
    """
    rows = [
        samples.instance(number, key_pair=former, region=REGIONS[number % 2])
        for number, former in enumerate(formers)
    ]
    rows.sort(key=lambda one: (one.region, one.id))
    plan = samples.make_plan(rows, samples.spec(allow_password_loss=True))
    digest = public_key_digest(UNCHANGED.public_key)
    keys = [(region, name) for region in REGIONS for name in NAMES[:2]]
    former = tuple(
        FormerKey(ACCOUNT, region, name, digest, FINGERPRINT)
        for (region, name), known in zip(keys, recorded, strict=True)
        if known
    )
    run = Run.of(msgspec.structs.replace(plan, former_keys=former))
    run.attach_tries[:] = bytes(tries)
    stored, started = SimpleNamespace(id="r-1"), SimpleNamespace(plan_digest="sha256:0")
    return cast("Folded", SimpleNamespace(run=run, stored=stored, started=started))


@given(
    st.lists(st.sampled_from(NAMES), min_size=SIZE, max_size=SIZE),
    st.lists(st.integers(0, 2), min_size=SIZE, max_size=SIZE),
    st.lists(st.sampled_from([NEW_KEY, "ops-a", "third", ""]), min_size=SIZE, max_size=SIZE),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.lists(
        st.sampled_from([UNCHANGED, UNCHANGED, RECREATED, REFINGERPRINTED, DELETED]),
        min_size=4,
        max_size=4,
    ),
)
def test_only_an_unchanged_former_key_comes_back(
    formers: list[str],
    tries: list[int],
    live: list[str],
    recorded: list[bool],
    states: list[KeyDescribed],
) -> None:
    """A target had an attach call, still has the run's key, and its former key pair is recorded and
    unchanged in its region; it gets exactly that key. Every other instance has one reason.
    """
    folded = rotated(formers, tries, recorded)
    run, sites = folded.run, list(folded.run.layout.sites)
    keys = [(site, name) for site in sites for name in NAMES[:2]]
    described = dict(zip(keys, states, strict=True))
    usable = {
        key
        for key, known, state in zip(keys, recorded, states, strict=True)
        if known and state is UNCHANGED
    }
    rows = [
        samples.instance(int(target.instance[2:]), region=run.layout.site_of(ordinal).region)
        for ordinal, target in enumerate(run.layout.targets)
    ]
    rows = [msgspec.structs.replace(row, key_pair=key) for row, key in zip(rows, live, strict=True)]
    attached = undoing._attached(run, None)

    scope = undoing._scope(folded, attached, samples.inventory(rows), described)

    assert scope.key_of.keys() | scope.left_out.keys() == {row.id for row in rows}
    assert not scope.key_of.keys() & scope.left_out.keys()
    for ordinal, (target, row) in enumerate(zip(run.layout.targets, rows, strict=True)):
        site = run.layout.site_of(ordinal)
        if row.id in scope.key_of:
            key = scope.keys[scope.key_of[row.id]]
            assert run.attach_tries[ordinal] and row.key_pair == NEW_KEY
            assert (site, target.former_key) in usable and key.name == target.former_key
            assert key.public_key_digest == public_key_digest(UNCHANGED.public_key)
            assert site in {region.site for region in key.regions}
        else:
            assert scope.left_out[row.id][0] is reason(run, ordinal, row.key_pair)


def reason(run: Run, ordinal: int, live: str) -> Reason:
    """Why an instance that is no target is left out."""
    if not run.attach_tries[ordinal]:
        return Reason.OUTSIDE_RUN
    if live != NEW_KEY:
        return Reason.OTHER_KEY
    former = run.layout.targets[ordinal].former_key
    return Reason.FORMER_KEY_LOST if former else Reason.NO_FORMER_KEY
