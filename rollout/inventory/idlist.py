"""Read lists of instance ids, one per line.

Called by `files`. `rollout plan -o ids`, `jq -r` and many scripts print such lists.
"""

from __future__ import annotations

import io

from rollout.inventory import cells
from rollout.inventory.gathered import Gathered
from rollout.inventory.reading import Input
from rollout.inventory.rows import Maker, RowError
from rollout.model import secrecy
from rollout.model.phrase import say


def read_ids(source: Input, maker: Maker, gathered: Gathered, regions: tuple[str, ...] = ()) -> int:
    """Add the ids of a list, and return their number. Empty lines and `#` comments are skipped.

    With several `regions`, each instance is in one of them. The first is the region of the maker.
    """
    count, number = 0, 0
    for block in source.blocks(cr=True):
        for line in io.StringIO(block.decode(), newline=""):
            number += 1
            text = cells.clean(line)
            if not text or text.startswith("#"):
                continue
            count += 1
            try:
                if secrecy.find(text) is not None:
                    raise RowError("R0112", say("this is a private key or an AccessKey"))
                one = maker.named(text)
                if len(regions) > 1:
                    gathered.add_in_one_of(one, regions)
                else:
                    gathered.add(one)
            except RowError as error:
                gathered.report(source.place(number), error)
    return count
