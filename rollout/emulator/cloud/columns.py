"""Read many positions of a column at once.

Used where a call reads the same column for fifty instances: `operator.itemgetter` takes a third of
the time of single reads.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter

Reader = Callable[[Sequence[int]], Sequence[int]]
"""Return the values of a column at fixed positions, in their order."""


def reader(places: Sequence[int]) -> Reader:
    """Return a reader of any column at `places`, of which there may be none."""
    if len(places) > 1:  # an itemgetter of one item returns no tuple
        return itemgetter(*places)
    return lambda column: [column[place] for place in places]
