"""Logins that prove the key: which probes are sent, what they prove, and what halts the run."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.running import login_evidence
from rollout.core.running.journey import Phase
from rollout.model import event as ev
from rollout.model.command import Attach, RestartCall
from rollout.model.plan import FormerKey, public_key_digest
from rollout.model.probe import (
    HostKeySeen,
    KeyAccess,
    LoginSeen,
    LoginVerdict,
    Probe,
    ProbeLogin,
    ReadHostKey,
)
from rollout.model.spec import Amount, OnFailure, WaveKind, WaveSpec
from rollout.model.time import MINUTE, SECOND
from rollout.model.verify import SshLogin, Verify
from tests.core import samples
from tests.core.scenarios import commands, halt_of, named
from tests.core.world import World

BEFORE = "SHA256:a"
A = KeyAccess
FORMER = public_key_digest("ssh-ed25519 AAAAformer")
PROVED = LoginSeen(A.ACCEPTED, A.REFUSED, BEFORE)
SSH = SshLogin("root", timeout_ms=30 * SECOND)


def proving(size: int, ssh: SshLogin = SSH, **changes: object) -> World:
    """A run over so many instances, in which a login must prove the new key."""
    rows = samples.fleet(size)
    plan = samples.make_plan(rows, samples.capped(size, verify=Verify(ssh), **changes))
    former = [FormerKey(*cell.site, rows[0].key_pair, FORMER, "ff") for cell in plan.waves[0].cells]
    return World(msgspec.structs.replace(plan, former_keys=tuple(former)), rows).start()


def answers(story: World, *seen: LoginSeen, host_key: str = BEFORE) -> None:
    """Let the login probes of each instance observe these in turn, the last one from then on."""
    tries: dict[int, int] = {}

    def guest(probe: Probe) -> HostKeySeen | LoginSeen:
        if isinstance(probe, ReadHostKey):
            return HostKeySeen(host_key, "" if host_key else "timeout")
        tries[probe.ordinal] = tries.get(probe.ordinal, -1) + 1
        return seen[min(tries[probe.ordinal], len(seen) - 1)]

    story.guest = guest


def verdicts(story: World) -> set[LoginVerdict]:
    """The verdicts in the journal."""
    return {event.verdict for event in story.events(ev.LoginProbed)}


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_strict_counts_instances_whose_login_may_still_fail(limit: int) -> None:
    """They run and their attach is over; with `strict` no attach takes their place before the
    login is proved, so that failures never pass the limit.
    """
    rule = OnFailure(limit, strict=True)
    story = proving(20, on_failure=rule)
    answers(story, LoginSeen(A.ACCEPTED, A.UNKNOWN, BEFORE))
    story.go()

    assert halt_of(story) == ("failures", "R0504", 5)
    assert sum(story.run.troubles.failed) == limit
    assert len({one for call in named(story, Attach) for one in call}) == limit


def test_done_means_proved_by_a_login() -> None:
    """The host key is read before each restart; the login is probed after it, with both keys."""
    story = proving(4)
    story.go()

    assert story.classes["done"] == 4
    assert verdicts(story) == {LoginVerdict.PROVED}
    reads = [e.ordinal for e in story.events(ev.HostKeyRead) if e.host_key == BEFORE]
    assert sorted(reads) == [0, 1, 2, 3]
    for issued in commands(story, RestartCall):
        first = story.journal.index(issued)
        assert isinstance(issued.command, RestartCall)
        for ordinal in issued.command.ordinals:
            read = next(e for e in story.events(ev.HostKeyRead) if e.ordinal == ordinal)
            assert story.journal.index(read) < first
    logins = [probe for probe in story.probes if isinstance(probe, ProbeLogin)]
    assert all((one.former_key, one.host_key) == (FORMER, BEFORE) for one in logins)


@pytest.mark.parametrize(
    "seen",
    [
        LoginSeen(A.UNKNOWN, why="timeout"),
        LoginSeen(A.REFUSED, A.ACCEPTED, BEFORE),
        LoginSeen(A.ACCEPTED, A.ACCEPTED, BEFORE),
        LoginSeen(A.ACCEPTED, A.UNKNOWN, BEFORE),
        LoginSeen(A.ACCEPTED, A.REFUSED, BEFORE, failed_hook="GET /: 503"),
    ],
)
def test_a_guest_may_be_late(seen: LoginSeen) -> None:
    """What does not prove a login yet is repeated; the permit is free meanwhile."""
    story = proving(3)
    answers(story, seen, seen, PROVED)
    story.go()

    assert story.classes["done"] == 3
    assert sum(isinstance(probe, ProbeLogin) for probe in story.probes) == 9


@pytest.mark.parametrize(
    "seen, verdict",
    [
        (LoginSeen(A.UNKNOWN, why="no route"), LoginVerdict.UNPROVED),
        (LoginSeen(A.ACCEPTED, A.UNKNOWN, BEFORE), LoginVerdict.UNPROVED),
        (
            LoginSeen(A.ACCEPTED, A.ACCEPTED, BEFORE),
            LoginVerdict.FORMER_KEY_ACCEPTED,
        ),
        (
            LoginSeen(A.ACCEPTED, A.REFUSED, BEFORE, "GET /"),
            LoginVerdict.HOOK_FAILED,
        ),
        (LoginSeen(host_key="SHA256:b"), LoginVerdict.HOST_KEY_CHANGED),
    ],
)
def test_an_instance_without_a_proof_fails_and_serves(
    seen: LoginSeen, verdict: LoginVerdict
) -> None:
    """It is never done. It runs, so that its permit is free and others are restarted."""
    story = proving(3)
    answers(story, seen)
    story.go()

    assert verdicts(story) == {verdict}
    assert set(story.run.causes.values()) == {verdict.value}
    assert story.classes["done"] == 0
    assert not any(story.run.ledger.permits)
    assert story.run.ledger.used == [0]


def test_a_changed_host_key_is_final_at_once() -> None:
    """Nothing further is sent to an instance that shows another host key."""
    story = proving(3)
    answers(story, LoginSeen(host_key="SHA256:b"), PROVED)
    story.go()

    assert verdicts(story) == {LoginVerdict.HOST_KEY_CHANGED}
    assert sum(isinstance(probe, ProbeLogin) for probe in story.probes) == 3


def test_a_host_key_that_could_not_be_read_is_not_compared() -> None:
    """The journal says so, and the login alone proves the key."""
    story = proving(2)
    answers(story, LoginSeen(A.ACCEPTED, A.REFUSED, "SHA256:b"), host_key="")
    story.go()

    assert {event.why for event in story.events(ev.HostKeyRead)} == {"timeout"}
    assert story.classes["done"] == 2


def test_a_canary_that_refuses_the_key_halts_the_run_at_once() -> None:
    """One instance of the first wave is enough; a resume accepts it and continues."""
    waves = (WaveSpec("canary", WaveKind.AMOUNT, Amount(count=2)), *samples.REST)
    story = proving(6, waves=waves)
    answers(story, LoginSeen(A.REFUSED, A.ACCEPTED, BEFORE))
    story.go()

    assert halt_of(story) == ("login", "R0528", 5)
    assert len(commands(story, RestartCall)) == 2
    assert story.run.phase(0) is Phase.FAILED

    answers(story, PROVED)
    story.resume(pause_ms=MINUTE).go()
    accepted = [event.reason for event in story.events(ev.FailuresAccepted)]
    assert accepted == ["login"]
    assert story.classes["done"] >= 4


def test_without_expect_old_key_refused_the_former_key_is_not_tried() -> None:
    """The plan decides whether the former key matters."""
    story = proving(2, msgspec.structs.replace(SSH, expect_old_key_refused=False))
    answers(story, LoginSeen(A.ACCEPTED, host_key=BEFORE))
    story.go()

    assert story.classes["done"] == 2
    assert not any(one.former_key for one in story.probes if isinstance(one, ProbeLogin))


def test_a_resume_probes_again_and_keeps_the_host_key() -> None:
    """The host key from before the restart is in the journal, so that another process compares."""
    story = proving(2)
    answers(story, LoginSeen(A.UNKNOWN, why="timeout"))
    while Phase.VERIFYING not in {story.run.phase(ordinal) for ordinal in range(2)}:
        story.go(until=story.now + SECOND)
    answers(story, LoginSeen(host_key="SHA256:b"))
    story.resume().go()

    assert LoginVerdict.HOST_KEY_CHANGED in verdicts(story)
    assert story.classes["done"] == 0


ACCESSES = st.sampled_from(A)
KEYS = st.sampled_from(["", BEFORE, "SHA256:b"])


@given(ACCESSES, ACCESSES, KEYS, KEYS, st.sampled_from(["", "GET /"]), st.booleans())
def test_only_whole_evidence_proves_a_login(
    new: KeyAccess,
    former: KeyAccess,
    before: str,
    after: str,
    hook: str,
    expect: bool,  # noqa: FBT001
) -> None:
    """Proved means: new key accepted, former key refused if that is wanted, host key unchanged,
    and every hook passed. And `evolve` agrees with `judge`.
    """
    story = proving(1, msgspec.structs.replace(SSH, expect_old_key_refused=expect))
    story.run.host_keys[0] = before
    event = login_evidence.judge(story.run, 0, LoginSeen(new, former, after, hook), MINUTE)

    assert event is not None
    whole = (
        new is A.ACCEPTED
        and former is not A.ACCEPTED
        and (former is A.REFUSED or not expect)
        and before in ("", after)
        and not hook
    )
    assert (event.verdict is LoginVerdict.PROVED) is whole
    assert (login_evidence.unmet(story.run, event) == "") is whole
