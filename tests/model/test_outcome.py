"""Outcomes in the journal: shorter, without loss."""

from hypothesis import given
from hypothesis import strategies as st

from rollout.model.outcome import Done, Unknown, api_time_of, shortened
from rollout.model.time import MINUTE, SECOND
from tests.core.samples import NOW


@given(at=st.integers(NOW, NOW + MINUTE), seconds=st.integers(-3, 3))
def test_a_shortened_reply_keeps_the_time_of_the_service(at: int, seconds: int) -> None:
    """The service's time can be read back, whether or not it is the second of our own clock; it is
    written only where it is another one.
    """
    done = Done("r-1", (at // SECOND + seconds) * SECOND)

    short = shortened(done, at)

    assert api_time_of(short, at) == done.api_time
    assert (short == Done("r-1")) is (seconds == 0)


def test_a_lost_reply_has_no_time_of_the_service() -> None:
    """Where no reply came, none is made up."""
    lost = Unknown("timeout")

    assert shortened(lost, NOW) == lost
    assert api_time_of(lost, NOW) == 0
