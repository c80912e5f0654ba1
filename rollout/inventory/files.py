"""Read the instances that a file source names: CSV, JSON, JSONL or a list of ids.

Called by `naming`. The state of the instances is read from the service later, except with
`--offline`, when the rows must contain it.
"""

from __future__ import annotations

from pathlib import Path

from rollout.errors import InventoryError, Place
from rollout.inventory.documents import read_json, read_jsonl
from rollout.inventory.gathered import Gathered
from rollout.inventory.idlist import read_ids
from rollout.inventory.reading import opened
from rollout.inventory.rows import Maker
from rollout.inventory.table import read_csv
from rollout.model import limits
from rollout.model.phrase import say
from rollout.model.spec import FileSource

STDIN = "-"
"""The path of the standard input."""

_READERS = {"json": read_json, "jsonl": read_jsonl}


def read(
    source: FileSource,
    gathered: Gathered,
    *,
    account: str,
    project: Path,
    live: bool = False,
    allow_empty: bool = False,
) -> None:
    """Add the instances of one file to `gathered`, and the problems of its rows.

    Relative paths start at `project`; `-` is the standard input. Rows without a region get the
    region of the source. With `live`, rows only name instances.
    Errors: InventoryError if the whole file is refused: unreadable (74); wrong encoding or
    headings, over a limit, no row, changed while it was read (65).
    """
    if len(source.regions) > 1 and not live:
        hint = say("name one region per source, or plan without --offline")
        message = say(
            "offline, the region of an id must be known, but the source names several regions"
        )
        raise InventoryError.of("R0204", message, place=Place(source.path), help=hint)
    region = source.regions[0] if source.regions else source.region
    maker = Maker(account, region, live=live)
    path = None if source.path == STDIN else project / source.path
    with opened(path, source.path) as found:
        if source.format == "csv":
            count = read_csv(found, maker, gathered, source.columns)
        elif source.format == "ids":
            count = read_ids(found, maker, gathered, source.regions)
        else:
            count = _READERS[source.format](found, maker, gathered)
        if not count and not gathered.problems and not allow_empty:
            hint = say("pass --allow-empty if this is intended")
            raise found.refused("R0206", say("the inventory names no instance"), hint)
        if len(gathered.instances) > limits.INVENTORY_ROWS_MAX:
            raise found.refused("R0207", say("more than 10 million instances, the limit"))
    gathered.notes.extend(found.notes)
