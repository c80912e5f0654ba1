"""Every line follows from the one before, and a turn is whole."""

import hashlib
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.invariant import Bug
from rollout.journal.chain import GENESIS, Chain, Head, parse_head
from rollout.journal.record import Line, LineError
from rollout.model import limits
from rollout.model.event import Anomaly, AnyEvent, Moved, Trigger
from tests.journal import samples

STARTED: list[AnyEvent] = [samples.started()]


def lines_of(*turns: list[AnyEvent]) -> list[bytes]:
    """The lines that these turns come to."""
    chain, buffer = Chain(), bytearray()
    for number, events in enumerate(turns):
        chain.extend(buffer, events, samples.NOW + number)
    return bytes(buffer).split(b"\n")[:-1]


def followed(lines: list[bytes]) -> list[Line]:
    """The same lines, checked and decoded."""
    chain = Chain()
    return [chain.follow(line) for line in lines]


def test_a_line_can_be_checked_with_common_tools() -> None:
    """Fixed key order, one JSON object a line, `prev` = sha256 of the line's bytes before it."""
    first, second = lines_of(STARTED, samples.turn(1))

    assert list(json.loads(second)) == ["seq", "at", "prev", "body"]
    assert json.loads(first)["prev"] == GENESIS
    assert json.loads(second)["prev"] == hashlib.sha256(first).hexdigest()
    assert [event["type"] for event in json.loads(second)["body"]] == ["Issued", "Settled", "Moved"]


def test_a_known_secret_is_in_no_line() -> None:
    """Secrets of the process are blanked by value before the digest is made, and the line stays
    readable."""
    chain, buffer = Chain(), bytearray()
    chain.known.learn('planted/"token"+2')

    chain.extend(buffer, [Anomaly(1, 'the planted/"token"+2 of planted%2F%22token%22%2B2')], 0)

    line = Chain().follow(bytes(buffer[:-1]))
    assert line.body == (Anomaly(1, "the *** of ***"),)


def test_what_was_written_is_read_back() -> None:
    """Reading gives the same events in the same order, with sequence numbers from 1."""
    turns = [STARTED, samples.turn(1), samples.turn(2)]

    lines = followed(lines_of(*turns))

    assert [list(line.body) for line in lines] == turns
    assert [(line.seq, line.at - samples.NOW) for line in lines] == [(1, 0), (2, 1), (3, 2)]


def test_a_long_turn_takes_several_lines() -> None:
    """No line passes the limit, and the order of the events is kept."""
    turn: list[AnyEvent] = [Anomaly(number, "x" * 20_000) for number in range(10)]

    lines = lines_of(turn)

    assert len(lines) == 5
    assert max(map(len, lines)) <= limits.LINE_BYTES_MAX
    assert [event for line in followed(lines) for event in line.body] == turn


def test_an_event_about_many_instances_is_split() -> None:
    """A million ordinals do not fit a line: several events say the same."""
    ordinals = tuple(range(1_000_000, 1_050_000))

    turn: list[AnyEvent] = [Moved(Trigger.CLOSED, ordinals, "closed"), Anomaly(1, "after")]

    lines = lines_of(turn)

    told = [event for line in followed(lines) for event in line.body]
    assert max(map(len, lines)) <= limits.LINE_BYTES_MAX
    assert told[-1] == Anomaly(1, "after")
    assert ordinals == tuple(n for e in told if isinstance(e, Moved) for n in e.ordinals)


def test_a_turn_that_cannot_be_written_leaves_no_trace() -> None:
    """A refused turn changes neither the buffer nor the chain: what follows is still sound."""
    chain, buffer = Chain(), bytearray()
    chain.extend(buffer, [samples.started()], samples.NOW)
    before = bytes(buffer), chain.seq, chain.head

    with pytest.raises(Bug):
        chain.extend(buffer, [*samples.turn(1), Anomaly(1, "x" * 70_000)], samples.NOW)

    assert (bytes(buffer), chain.seq, chain.head) == before


def test_nothing_happened_is_no_line() -> None:
    """An empty turn is not written."""
    assert lines_of([]) == []


@pytest.mark.parametrize("order", [[1], [0, 2], [0, 1, 1], [0, 2, 1]])
def test_lines_only_follow_in_order(order: list[int]) -> None:
    """A line that is missing, doubled or moved is found."""
    lines = lines_of(STARTED, samples.turn(1), samples.turn(2))

    with pytest.raises(LineError) as caught:
        followed([lines[index] for index in order])

    assert caught.value.code == "R0903"


@given(st.data())
def test_any_edit_of_a_line_is_found(data: st.DataObject) -> None:
    """If any bytes of a line are replaced, the next line does not follow."""
    lines = lines_of(STARTED, *(samples.turn(number) for number in range(1, 6)))
    index = data.draw(st.integers(0, len(lines) - 2))
    line = lines[index]
    start = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(start, min(len(line), start + 40)))
    put = data.draw(st.binary(max_size=40).filter(lambda put: put != line[start:end]))
    lines[index] = line[:start] + put + line[end:]

    with pytest.raises(LineError):
        followed(lines)


def test_every_flip_of_a_single_byte_is_found_by_the_next_line() -> None:
    """P13: whichever byte of a journal of 200 lines changes, it or the line after it is refused."""
    lines = lines_of(STARTED, *(samples.turn(number) for number in range(1, 201)))
    chain = Chain()
    for line, after in pairwise(lines):
        flipped = bytearray(line)
        for position, byte in enumerate(line):
            flipped[position] = byte ^ (1 << position % 8)
            assert refused(Chain(chain.seq, chain.head), bytes(flipped), after)
            flipped[position] = byte
        chain.follow(line)


def refused(chain: Chain, line: bytes, after: bytes) -> bool:
    """Whether one of the two does not follow."""
    try:
        chain.follow(line)
        chain.follow(after)
    except LineError:
        return True
    return False


@given(st.integers(1, 10**18 - 1), st.binary(min_size=32, max_size=32))
def test_a_head_is_read_as_it_is_printed(seq: int, digest: bytes) -> None:
    """What `apply` prints is what `--head` takes, in capitals too."""
    head = Head(seq, digest.hex())

    assert parse_head(str(head)) == head
    assert parse_head(f"{seq}:{digest.hex().upper()}") == head


NO_HEADS = ("", "1", f"0:{GENESIS}", f"1:{GENESIS[:-1]}", f"1:{GENESIS[:-1]}g", f"1:{GENESIS}\n")


@pytest.mark.parametrize("text", [*NO_HEADS, f"\u0663:{GENESIS}"])
def test_what_is_no_head_is_refused(text: str) -> None:
    """A head cut short would vouch for less than it seems to."""
    with pytest.raises(ValueError, match="SEQ:HASH"):
        parse_head(text)
