"""The questions of gates: when they are asked, and which answers open the gate."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.invariant import Bug
from rollout.core.running import gate_queries, gates
from rollout.core.running.arrivals import ObservationEnded
from rollout.core.running.view import view
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import QueryGate
from rollout.model.event import OperatorVerb
from rollout.model.gate import ExecGate, GateAnswer, GateReply, HttpGate
from rollout.model.outcome import Unknown
from rollout.model.spec import WaveGate
from rollout.model.time import HOUR, MINUTE, SECOND, Duration, Instant
from tests.core import samples
from tests.core.running.test_gates import close_of, operate, order_of, to_the_gate
from tests.core.world import World

OPEN, SHUT, UNKNOWN = GateAnswer.OPEN, GateAnswer.SHUT, GateAnswer.UNKNOWN
BAKE = 10 * MINUTE
ALERTS = HttpGate(url="https://alerts.internal/firing", expect=204)
CHECK = ExecGate(argv=("check",))


def story(*questions: HttpGate | ExecGate, bake_ms: Duration = 0) -> World:
    """A run whose canary is finished and whose gate asks these questions."""
    rows = samples.fleet(5)
    canary = msgspec.structs.replace(samples.CANARY, bake_ms=bake_ms)
    wanted = samples.capped(2, waves=(canary, *samples.REST), gates=questions)
    return to_the_gate(World(samples.make_plan(rows, wanted), rows).start())


def every(question: HttpGate | ExecGate, every_ms: Duration) -> HttpGate | ExecGate:
    """The question, asked during the bake too."""
    return msgspec.structs.replace(question, every_ms=every_ms)


def answers(made: World, *replies: GateAnswer, after_ms: Duration = SECOND) -> list[Instant]:
    """Answer the next questions; return when they were asked."""
    asked = []
    for answer in replies:
        query = next_query(made)
        asked.append(made.now)
        made.now += after_ms
        made.decider.observation_ended(query, GateReply(answer, "told"), asked[-1], made.now)
    return asked


def next_query(made: World) -> QueryGate:
    """Advance to the next question."""
    made.turn()
    while not made.queries:
        assert made.wake is not None and made.wake > made.now, "nothing is asked any more"
        made.now = made.wake
        made.turn()
    return made.queries.pop(0)


def all_open(made: World) -> None:
    """Answer every question with open until the gate opens."""
    while not opened(made):
        answers(made, OPEN)


def halts(made: World) -> str:
    """Take a turn; return the code of the halt, empty without one."""
    made.turn()
    return made.run.halted.code if made.run.halted is not None else ""


def opened(made: World) -> bool:
    """Take a turn; return whether the verdict is in the journal."""
    made.turn()
    return bool(made.events(ev.GateOpened))


def test_the_next_wave_starts_after_the_answer() -> None:
    """The question is asked when the bake is over; its answer and the verdict come first."""
    made = story(ALERTS, bake_ms=BAKE)
    (asked,) = answers(made, OPEN)
    assert asked == close_of(made).at + BAKE
    assert opened(made)
    kinds = (ev.GateAnswered, ev.GateOpened, ev.WaveStarted)
    assert order_of(made.journal, *kinds) == [
        *("WaveStarted", "GateAnswered", "GateOpened", "WaveStarted")
    ]


@pytest.mark.parametrize("answer", [SHUT, UNKNOWN])
def test_a_gate_that_is_not_open_is_asked_again_every_minute(answer: GateAnswer) -> None:
    """Both keep it shut; the state says which answer, and when it is asked again."""
    made = story(ALERTS)
    first, second = answers(made, answer, OPEN, after_ms=2 * SECOND)
    assert second == first + 2 * SECOND + limits.GATE_AGAIN_MS
    assert opened(made)


def test_a_lost_reply_is_unknown() -> None:
    """An engine without an answer keeps the gate shut."""
    made = story(ALERTS)
    query = next_query(made)
    made.decider.observation_ended(query, Unknown("timeout"), made.now, made.now + SECOND)
    assert [event.answer for event in made.events(ev.GateAnswered)] == [UNKNOWN]
    assert not opened(made)


def test_all_questions_must_be_open_at_the_same_time() -> None:
    """One open answer of two opens nothing; while one is shut the other is asked again too."""
    made = story(ALERTS, CHECK)
    made.turn()
    asked, made.queries = made.queries, []
    assert asked == [QueryGate(0, 0), QueryGate(0, 1)]
    for query, answer in zip(asked, (OPEN, SHUT), strict=True):
        made.decider.observation_ended(query, GateReply(answer, ""), made.now, made.now)
    assert not opened(made)
    made.now += limits.GATE_AGAIN_MS
    made.turn()
    assert len(made.queries) == 2


def test_an_old_answer_opens_nothing() -> None:
    """A process that was suspended for longer than an answer counts asks again."""
    made = story(ALERTS)
    query = next_query(made)
    asked, made.now = made.now, made.now + limits.GATE_AGE_MAX_MS + 1
    made.decider.observation_ended(query, GateReply(OPEN, ""), asked, made.now)
    assert not opened(made)
    answers(made, OPEN)
    assert opened(made)


def test_a_shut_answer_during_the_bake_restarts_it() -> None:
    """The next wave starts a whole bake after the last answer that was not open."""
    made = story(every(ALERTS, MINUTE), bake_ms=BAKE)
    asked = answers(made, OPEN, OPEN, UNKNOWN)
    all_open(made)
    restarted = asked[2] + SECOND
    assert asked[0] == close_of(made).at + MINUTE
    verdict = made.events(ev.GateOpened)[0]
    assert verdict.at >= restarted + BAKE


def test_a_gate_that_stays_shut_halts_the_run_and_a_resume_asks_again() -> None:
    """After `waitAtMost`, with exit 5; the time counts again after the resume."""
    made = story(msgspec.structs.replace(ALERTS, wait_ms=3 * MINUTE))
    answers(made, *[SHUT] * 3)
    assert not halts(made)
    answers(made, SHUT)
    assert halts(made) and made.run.halted is not None
    assert (made.run.halted.code, made.run.halted.exit) == ("R0522", 5)
    assert "https://alerts.internal/firing: told (shut)" in made.run.halted.detail

    made.resume()
    answers(made, SHUT, OPEN)
    assert opened(made)


def test_the_last_question_is_asked_when_the_wait_ends() -> None:
    """A `waitAtMost` shorter than a minute halts the run after that time, not after a minute."""
    made = story(msgspec.structs.replace(ALERTS, wait_ms=20 * SECOND))
    first, second = answers(made, SHUT, SHUT)

    assert second == first + SECOND + 20 * SECOND
    assert halts(made) == "R0522"


def test_a_gate_that_opens_at_the_end_of_the_wait_opens_the_wave() -> None:
    """The answer to the last question counts."""
    made = story(msgspec.structs.replace(ALERTS, wait_ms=20 * SECOND))
    answers(made, SHUT, OPEN)

    assert opened(made)


def test_a_run_that_asks_nothing_does_not_say_when_it_asks_again() -> None:
    """A halted or paused run, and a question that is overdue, show the answer only."""
    made = story(msgspec.structs.replace(ALERTS, wait_ms=3 * MINUTE))
    answers(made, SHUT)
    answer = "for http https://alerts.internal/firing: told (shut)"
    assert gates.text(made.run, 0, made.now + HOUR) == answer
    operate(made, OperatorVerb.PAUSE)
    assert gates.text(made.run, 0, made.now) == answer
    operate(made, OperatorVerb.RESUME)
    answers(made, *[SHUT] * 3)
    assert halts(made) == "R0522"
    assert gates.text(made.run, 0, made.now) == answer


def test_a_restarted_bake_is_no_patience() -> None:
    """A bake longer than `waitAtMost` that is restarted once does not halt the run."""
    question = msgspec.structs.replace(ALERTS, every_ms=MINUTE, wait_ms=2 * MINUTE)
    made = story(question, bake_ms=BAKE)
    answers(made, SHUT)
    all_open(made)
    assert made.run.halted is None


def test_a_process_that_may_not_wait_halts_at_the_first_shut_answer() -> None:
    """With --no-wait; a shut answer during the bake only restarts it."""
    made = story(every(ALERTS, MINUTE), bake_ms=2 * MINUTE)
    made.decider.waits = False
    answers(made, SHUT)
    assert not halts(made)
    answers(made, OPEN, SHUT)
    assert halts(made) == "R0522"


def test_a_promotion_opens_a_shut_gate_if_it_has_a_reason() -> None:
    """It is refused before an answer; the verdict has the id of the command."""
    made = story(ALERTS)
    assert "no gate waits" in operate(made, OperatorVerb.PROMOTE)
    answers(made, SHUT)
    order = ev.OperatorCommand("9", OperatorVerb.PROMOTE, samples.ACTOR, made.now, "inbox")
    assert "--reason is required" in gates.refusal(made.run, order)
    assert operate(made, OperatorVerb.PROMOTE) == ""
    assert opened(made)
    (command,) = made.events(ev.OperatorCommand)
    assert made.events(ev.GateOpened)[0].order == command.id


def test_a_promotion_ends_a_restarted_bake() -> None:
    """Despite the answers the bake counts from the close of the wave again."""
    made = story(every(ALERTS, MINUTE), bake_ms=BAKE)
    answers(made, OPEN, SHUT)
    assert made.run.baked_at == made.now + BAKE
    operate(made, OperatorVerb.PROMOTE)
    margin = limits.CLOCKS_DIFFER_MS
    assert made.run.baked_at == close_of(made).at + BAKE + margin
    made.go().check_end()
    assert made.classes["done"] == 5


def test_a_full_promotion_does_not_open_later_gates_that_ask() -> None:
    """It answers manual gates; other systems are still asked."""
    rows = samples.fleet(5)
    waves = [msgspec.structs.replace(samples.CANARY, name=name) for name in ("one", "two")]
    wanted = samples.capped(2, waves=(*waves, *samples.REST), gates=(ALERTS,))
    made = to_the_gate(World(samples.make_plan(rows, wanted), rows).start())
    answers(made, SHUT)
    assert operate(made, OperatorVerb.PROMOTE, full=True) == ""
    assert opened(made)
    while made.run.waves_closed < 2:
        made.at(made.now + SECOND, lambda: None)
        made.go(until=made.now + SECOND)
    assert next_query(made) == QueryGate(1, 0)


def test_nothing_is_asked_in_a_pause_and_late_answers_change_nothing() -> None:
    """An answer to the question of a former gate is dropped."""
    made = story(ALERTS)
    query = next_query(made)
    operate(made, OperatorVerb.PAUSE)
    made.decider.observation_ended(query, GateReply(OPEN, ""), made.now, made.now)
    assert not opened(made) and made.decider.turn(made.now + HOUR).observations == ()
    operate(made, OperatorVerb.RESUME)
    assert opened(made)
    before = len(made.journal)
    made.decider.observation_ended(query, GateReply(SHUT, ""), made.now, made.now)
    assert len(made.journal) == before


def test_a_manual_gate_asks_nothing() -> None:
    """`gates` belong to waves with `gate: auto`; the last wave asks nothing either."""
    rows = samples.fleet(5)
    canary = msgspec.structs.replace(samples.CANARY, gate=WaveGate.MANUAL)
    plan = samples.make_plan(rows, samples.capped(2, waves=(canary, *samples.REST), gates=(CHECK,)))
    assert [wave.gates for wave in plan.waves] == [(), ()]
    assert plan.questions() == ()


def test_the_state_says_what_the_gate_waits_for() -> None:
    """Before the answer the question, after it the answer and the next time."""
    made = story(ALERTS, bake_ms=BAKE)
    baked = close_of(made).at + BAKE
    assert gates.text(made.run, 0, made.now).startswith("until ")
    assert gates.text(made.run, 0, baked) == "for http https://alerts.internal/firing"
    answers(made, SHUT)
    text = gates.text(made.run, 0, made.now)
    assert text.startswith("for http https://alerts.internal/firing: told (shut), asked again at ")
    shown = view(made.run, made.now)
    assert shown.shut and text in shown.waiting


def test_a_verdict_without_answers_is_a_bug() -> None:
    """The state refuses it, whoever writes it (I-34)."""
    made = story(ALERTS)
    with pytest.raises(Bug, match="I-34"):
        made.decider.put(ev.GateOpened(0, made.now), made.now)


@given(
    replies=st.lists(
        st.tuples(st.sampled_from([OPEN, OPEN, SHUT, UNKNOWN]), st.integers(0, 90)), max_size=25
    ),
    every_ms=st.sampled_from([0, MINUTE, 5 * MINUTE]),
    bake_ms=st.sampled_from([0, 3 * MINUTE, BAKE]),
    count=st.integers(1, 3),
)
def test_no_verdict_without_recent_open_answers(
    replies: list[tuple[GateAnswer, int]], every_ms: Duration, bake_ms: Duration, count: int
) -> None:
    """Whatever is answered and however late: at the verdict each question has an open answer from
    after the bake, and no answer during the last bake was anything else.
    """
    made = story(*[every(ALERTS, every_ms)] * count, bake_ms=bake_ms)
    in_flight: list[ObservationEnded] = []
    for answer, after in replies:
        made.turn()
        if made.events(ev.GateOpened) or made.run.stopping:
            break
        reply = GateReply(answer, "drawn")
        in_flight += [ObservationEnded(query, reply, made.now) for query in made.queries]
        made.queries.clear()
        if in_flight:
            made.now += after * SECOND
            one = in_flight.pop(0)
            made.decider.observation_ended(one.observation, one.reply, one.sent_at, made.now)
        elif made.wake is not None:
            made.now = max(made.now, made.wake)
    for verdict in made.events(ev.GateOpened):
        given_before = made.events(ev.GateAnswered)
        for index in range(count):
            last = [one for one in given_before if one.gate == index][-1]
            assert last.answer is OPEN
            assert verdict.at - limits.GATE_AGE_MAX_MS <= last.asked
            assert last.asked >= close_of(made).at + bake_ms
        doubts = [one for one in given_before if one.answer is not OPEN]
        planned = close_of(made).at + bake_ms
        assert all(verdict.at >= one.at + bake_ms for one in doubts if one.asked < planned)


def test_questions_in_flight_are_not_asked_twice() -> None:
    """The next turn waits for the answer."""
    made = story(ALERTS)
    query = next_query(made)
    turn = made.decider.turn(made.now + HOUR)
    assert turn.observations == () and turn.wake is None
    assert gate_queries.due(made.run, {query: None}, made.now + HOUR) == []
