"""The hidden ledger returns every effect unchanged, whatever else was written."""

from hypothesis import given
from hypothesis import strategies as st

from rollout.emulator.cloud.ledger import NEVER, Effect, HiddenLedger, LedgerEntry

_small = st.integers(0, 9)
_ONE = st.tuples(st.sampled_from(Effect), _small, st.sampled_from(["a", "b"]), _small)
_WRITES = st.lists(
    st.tuples(_ONE, st.lists(st.tuples(_small, _small), max_size=4), st.booleans(), _small)
)


@given(_WRITES)
def test_each_entry_is_read_as_it_was_written(
    writes: list[tuple[tuple[Effect, int, str, int], list[tuple[int, int]], bool, int]],
) -> None:
    """Single effects and batches, an empty one too, stand in the order of their writing."""
    ledger = HiddenLedger("i-{}".format, "key-{}".format, "call-{}".format)
    expected = []
    for (effect, at, region, request), pairs, single, until in writes:
        ordinals, keys = [o for o, _ in pairs], [k for _, k in pairs]
        if single:
            ledger.write(effect, at, region, request, ordinal=until, key=until, until=until)
        else:
            ledger.write_all(effect, at, region, request, ordinals, keys)
        seen = [(until, until, until)] if single else [(o, k, 0) for o, k in pairs]
        expected += [
            LedgerEntry(
                at,
                end or None,
                effect.name.lower(),
                region,
                f"i-{o}",
                f"key-{k}",
                f"call-{request}",
            )
            for o, k, end in seen
        ]
    assert len(ledger) == len(expected)
    assert list(ledger) == expected
    assert list(ledger.since(1)) == expected[1:]


def test_what_never_ends_and_what_has_no_instance_are_none() -> None:
    """The marks of the columns do not come out as numbers."""
    ledger = HiddenLedger("i-{}".format, "key-{}".format, "call-{}".format)
    ledger.write(Effect.IMPORT, 1, "a", 1, key=1)
    ledger.write(Effect.REBOOT, 1, "a", 1, ordinal=0, until=NEVER)
    assert [(entry.instance, entry.until) for entry in ledger] == [(None, None), ("i-0", None)]
