"""Bakes, gates and pauses: what the next wave waits for, and what operators do about it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.invariant import Bug
from rollout.core.running import gates
from rollout.core.running.view import view
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.event import AnyEvent, OperatorVerb
from rollout.model.spec import WaveGate, WaveKind
from rollout.model.time import HOUR, MINUTE, SECOND
from tests.core import samples
from tests.core.world import Script, World
from tests.fuzz import cases

SECOND_WAVE = msgspec.structs.replace(samples.CANARY, name="early")


def story(
    *,
    bake_ms: int = 0,
    gate: WaveGate = WaveGate.AUTO,
    waves: int = 2,
    script: Script | None = None,
) -> World:
    """A started run of five instances whose waves before the last have this bake and gate."""
    gated = [
        msgspec.structs.replace(wave, bake_ms=bake_ms, gate=gate)
        for wave in (samples.CANARY, SECOND_WAVE)[: waves - 1]
    ]
    rows = samples.fleet(5)
    wanted = samples.capped(2, waves=(*gated, *samples.REST))
    return World(samples.make_plan(rows, wanted), rows, script).start()


def command(
    made: World, word: OperatorVerb, *, full: bool = False, number: str = "1"
) -> ev.OperatorCommand:
    """A command of an operator, sent now."""
    reason = "looks good"
    return ev.OperatorCommand(number, word, samples.ACTOR, made.now, "inbox", reason, full=full)


def operate(made: World, word: OperatorVerb, *, full: bool = False) -> str:
    """Apply a command now; return why it was refused."""
    number = str(len(made.journal))
    return made.decider.operate(command(made, word, full=full, number=number), made.now)


def close_of(made: World, wave: int = 0) -> ev.WaveClosed:
    """The close of a wave."""
    return next(event for event in made.events(ev.WaveClosed) if event.wave == wave)


def to_the_gate(made: World) -> World:
    """Drive the run until its canary is finished."""
    return until_closed(made, 1)


def until_closed(made: World, waves: int) -> World:
    """Drive the run until so many waves are closed, second by second."""
    while made.run.waves_closed < waves:
        made.at(made.now + SECOND, lambda: None)
        made.go(until=made.now + SECOND)
    return made


def order_of(journal: list[AnyEvent], *kinds: type[AnyEvent]) -> list[str]:
    """The names of the events of these kinds, in the order of the journal."""
    return [type(event).__name__ for event in journal if isinstance(event, kinds)]


def test_the_next_wave_starts_when_the_bake_is_over() -> None:
    """The verdict is in the journal at the end of the bake, before the next wave starts."""
    made = story(bake_ms=30 * MINUTE).go()
    made.check_end()

    (opened,) = made.events(ev.GateOpened)
    closed = close_of(made)
    assert opened.at == closed.at + 30 * MINUTE
    kinds = (ev.WaveStarted, ev.WaveClosed, ev.GateOpened)
    assert order_of(made.journal, *kinds) == [
        *("WaveStarted", "WaveClosed", "GateOpened"),
        *("WaveStarted", "WaveClosed"),
    ]
    assert made.classes["done"] == 5


def test_a_run_without_bakes_and_gates_writes_no_verdict() -> None:
    """Journals of plans without gates keep their bytes."""
    made = story().go()

    assert not made.events(ev.GateOpened)
    assert {event.at for event in made.events(ev.WaveClosed)} == {0}


def test_a_bake_is_not_shortened_by_a_resume() -> None:
    """The bake counts from the close of the wave, whichever process observes its end."""
    made = to_the_gate(story(bake_ms=HOUR))
    made.resume(pause_ms=20 * MINUTE).go()

    assert made.events(ev.GateOpened)[0].at == close_of(made).at + HOUR


def test_another_machine_adds_the_possible_difference_of_the_clocks() -> None:
    """Its clock may be ahead of the clock of the machine that closed the wave."""
    made = to_the_gate(story(bake_ms=HOUR))
    assert made.run.gate is not None
    made.run.machine = "another"

    assert made.run.baked_at == close_of(made).at + HOUR + limits.CLOCKS_DIFFER_MS


def test_a_bake_counts_from_the_later_of_both_clocks() -> None:
    """A process whose clock is behind the service's does not start the bake early."""
    made = story(bake_ms=HOUR)
    made.run.service_time = ahead = made.now + 40 * MINUTE
    to_the_gate(made)

    assert close_of(made).at >= ahead


def test_a_manual_gate_waits_for_a_promotion() -> None:
    """Nothing wakes the run; the promotion opens the gate and the verdict names it."""
    made = to_the_gate(story(gate=WaveGate.MANUAL))
    made.turn()
    assert made.wake is None
    assert view(made.run).to_promote
    assert operate(made, OperatorVerb.PROMOTE) == ""
    made.go().check_end()

    (order,) = made.events(ev.OperatorCommand)
    assert [event.order for event in made.events(ev.GateOpened)] == [order.id]
    assert made.classes["done"] == 5


def test_a_promotion_does_not_shorten_the_bake() -> None:
    """An operator who promotes during the bake answers the gate, and the bake continues."""
    made = to_the_gate(story(bake_ms=HOUR, gate=WaveGate.MANUAL))
    operate(made, OperatorVerb.PROMOTE)
    made.go()

    assert made.events(ev.GateOpened)[0].at == close_of(made).at + HOUR


def test_a_promotion_answers_one_gate_and_a_full_one_all() -> None:
    """With `--full` the run needs no operator at the gates after it."""
    made = story(gate=WaveGate.MANUAL, waves=3)
    to_the_gate(made)
    operate(made, OperatorVerb.PROMOTE)
    until_closed(made, 2)
    assert gates.unanswered(made.run)

    full = story(gate=WaveGate.MANUAL, waves=3)
    assert operate(full, OperatorVerb.PROMOTE, full=True) == ""
    full.go()
    assert full.run.closed is not None and len(full.events(ev.GateOpened)) == 2


def test_a_full_promotion_extends_one_that_waits_for_the_bake() -> None:
    """It is accepted while a later manual gate is left, and neither of them is accepted twice."""
    made = to_the_gate(story(bake_ms=HOUR, gate=WaveGate.MANUAL, waves=3))
    assert operate(made, OperatorVerb.PROMOTE) == ""
    assert operate(made, OperatorVerb.PROMOTE, full=True) == ""
    assert "no gate waits" in operate(made, OperatorVerb.PROMOTE, full=True)
    assert "no gate waits" in operate(made, OperatorVerb.PROMOTE)
    made.go()
    assert made.run.closed is not None and len(made.events(ev.GateOpened)) == 2

    last = to_the_gate(story(bake_ms=HOUR, gate=WaveGate.MANUAL))
    assert operate(last, OperatorVerb.PROMOTE) == ""
    assert "no gate waits" in operate(last, OperatorVerb.PROMOTE, full=True)


@pytest.mark.parametrize(
    "word, refused",
    [
        (OperatorVerb.PROMOTE, "no gate waits for a promotion"),
        (OperatorVerb.RESUME, "it is not paused"),
    ],
)
def test_an_answer_without_a_question_is_refused(word: OperatorVerb, refused: str) -> None:
    """A promotion before its wave is finished is no answer to a gate that nobody saw."""
    made = story(gate=WaveGate.MANUAL)

    assert refused in operate(made, word)
    assert not made.events(ev.OperatorCommand)


def test_a_promotion_of_a_run_without_manual_gates_is_refused() -> None:
    """Neither form of it has anything to answer."""
    made = story(bake_ms=HOUR)

    assert "no gate waits" in operate(made, OperatorVerb.PROMOTE)
    assert "no gate waits" in operate(made, OperatorVerb.PROMOTE, full=True)


# pause


def test_a_paused_run_begins_nothing_and_settles_what_is_open() -> None:
    """Calls that were sent end and boots are observed; then nothing wakes the run."""
    made = story(script=Script(boot_ms=30 * SECOND))
    while not made.events(ev.Issued):
        made.go(until=made.now + 500)
    assert operate(made, OperatorVerb.PAUSE) == ""
    assert operate(made, OperatorVerb.PAUSE) == "it is paused already"
    before = len(made.events(ev.Issued))
    made.at(made.now + HOUR, lambda: None)
    made.go(until=made.now + 50 * MINUTE)

    assert len(made.events(ev.Issued)) == before
    assert not made.run.open_calls
    assert view(made.run).state == "paused"
    assert view(made.run).reason == "paused by ops: looks good"


@pytest.mark.parametrize("word", [OperatorVerb.PROMOTE, OperatorVerb.RESUME])
def test_an_operator_continues_a_paused_run(word: OperatorVerb) -> None:
    """Either command ends the pause, and the run is finished as without it."""
    made = story()
    operate(made, OperatorVerb.PAUSE)
    made.at(made.now + HOUR, lambda: operate(made, word))
    made.go().check_end()

    assert made.classes["done"] == 5


def test_a_promotion_of_a_paused_run_leaves_the_gate_shut() -> None:
    """One command answers one question: the pause ends, and the gate waits for another one."""
    made = to_the_gate(story(gate=WaveGate.MANUAL))
    operate(made, OperatorVerb.PAUSE)
    operate(made, OperatorVerb.PROMOTE)

    assert made.run.paused is None
    assert gates.unanswered(made.run)


def test_a_gate_stays_shut_in_a_paused_run() -> None:
    """The bake ends during the pause; the next wave starts when the pause ends."""
    made = to_the_gate(story(bake_ms=MINUTE))
    operate(made, OperatorVerb.PAUSE)
    end = made.now + HOUR
    made.at(end, lambda: operate(made, OperatorVerb.RESUME))
    made.go()

    assert made.events(ev.GateOpened)[0].at >= end
    assert made.classes["done"] == 5


def test_a_pause_outlasts_its_process() -> None:
    """A crash and a resume by a scheduler do not continue what an operator paused."""
    made = story()
    operate(made, OperatorVerb.PAUSE)
    made.resume()
    made.turn()

    assert made.run.paused is not None
    assert not made.events(ev.Issued)


@pytest.mark.parametrize(
    "word, reason, code",
    [(OperatorVerb.PAUSE, "paused", "R0509"), (None, "gate", "R0508")],
)
def test_a_process_that_does_not_wait_halts_with_exit_5(
    word: OperatorVerb | None, reason: str, code: str
) -> None:
    """The halt says what the run waits for; the answer and a resume continue the run."""
    made = story(gate=WaveGate.MANUAL, bake_ms=HOUR if word is None else 0)
    made.decider.waits = False
    if word is not None:
        operate(made, word)
    made.go()
    halt = made.run.halted
    assert halt is not None
    assert (halt.reason, halt.code, halt.exit) == (reason, code, 5)
    assert made.run.paused is not None or view(made.run).to_promote

    assert operate(made, OperatorVerb.PROMOTE, full=True) == ""
    made.resume().go().check_end()
    assert made.classes["done"] == 5


def test_a_process_that_does_not_wait_finishes_what_is_open_first() -> None:
    """The halt comes when no boot is observed any more."""
    made = story(script=Script(boot_ms=30 * SECOND))
    made.decider.waits = False
    while not made.run.restarting:
        made.go(until=made.now + 500)
    operate(made, OperatorVerb.PAUSE)
    made.go()

    assert made.classes["done"] >= 1
    assert made.run.halted is not None and not made.run.restarting


@cases(40)
@given(
    pause_s=st.integers(0, 120),
    lasts_s=st.integers(0, 600),
    bake_s=st.sampled_from([0, 1, 90]),
    manual=st.booleans(),
    seed=st.integers(0, 50),
)
def test_nothing_begins_before_its_time(
    pause_s: int, lasts_s: int, bake_s: int, *, manual: bool, seed: int
) -> None:
    """Whenever operators pause and promote: no call in a pause, and none before a gate opens."""
    gate = WaveGate.MANUAL if manual else WaveGate.AUTO
    made = story(bake_ms=bake_s * SECOND, gate=gate, script=Script(boot_ms=(1 + seed) * SECOND))
    pause_at = made.now + pause_s * SECOND
    made.at(pause_at, lambda: operate(made, OperatorVerb.PAUSE))
    made.at(pause_at + lasts_s * SECOND, lambda: operate(made, OperatorVerb.RESUME))
    for minutes in range(1, 40):
        made.at(made.now + minutes * MINUTE, lambda: operate(made, OperatorVerb.PROMOTE))
    made.go().check_end()

    paused = False
    for event in made.journal:
        if isinstance(event, ev.OperatorCommand):
            paused = event.command is OperatorVerb.PAUSE
        assert not (paused and isinstance(event, ev.Issued | ev.WaveStarted | ev.CellOpened))
    if bake_s or manual:
        assert made.events(ev.GateOpened)[0].at >= close_of(made).at + bake_s * SECOND
    assert made.run.closed is not None


# the state refuses what the decision avoids


def test_the_state_refuses_a_wave_before_its_gate() -> None:
    """`evolve` checks again that the gate is open, that its bake is over and who promoted it."""
    made = to_the_gate(story(bake_ms=HOUR, gate=WaveGate.MANUAL))
    for event, rule in (
        (ev.WaveStarted(1, "all"), "I-34"),
        (ev.GateOpened(0, made.now), "I-35"),
        (ev.GateOpened(0, made.now + 2 * HOUR), "I-34"),
    ):
        with pytest.raises(Bug, match=rule):
            made.decider.put(event, made.now)


def test_the_state_refuses_an_intent_in_a_paused_run() -> None:
    """A pause binds every later intent, cell and wave."""
    made = story()
    while not made.events(ev.Issued):
        made.go(until=made.now + 500)
    issued = made.events(ev.Issued)[0]
    fresh = story()
    operate(fresh, OperatorVerb.PAUSE)

    with pytest.raises(Bug, match="I-66"):
        fresh.decider.put(issued, fresh.now)
    with pytest.raises(Bug, match="I-66"):
        fresh.decider.put(ev.WaveStarted(0, "canary"), fresh.now)


def test_the_last_wave_of_a_plan_has_no_gate() -> None:
    """Where an empty rest is left out, the wave before it is the last, and nothing follows it."""
    whole = msgspec.structs.replace(
        samples.CANARY, amount=None, kind=WaveKind.REST, bake_ms=HOUR, gate=WaveGate.MANUAL
    )
    plan = samples.make_plan(samples.fleet(3), samples.spec(waves=(whole, *samples.REST)))

    assert [wave.gated for wave in plan.waves] == [False]
