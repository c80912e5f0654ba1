"""File sources of the inventory: which instances a CSV, JSON or JSONL file names.

Called by `sources`. A file says which instances there are; what they are is asked of the service
afterwards, except with `--offline`, when a row is all there is.
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
from rollout.model.spec import FileSource

STDIN = "-"
"""The path that means the standard input."""

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
    """Add what one file names to `gathered`; what is wrong with rows becomes its problems.

    Relative paths start at `project`; `-` is the standard input. Rows that name no region get the
    source's. With `live` rows only say which instances, since the service is asked for the rest.
    Errors: InventoryError where the file as a whole is refused: unreadable (74); wrong encoding,
    headings, limits, no row at all, changed while read (65).
    """
    if len(source.regions) > 1 and not live:
        hint = "name one region a source, or plan without --offline"
        message = "which of several regions an id is in is not known offline"
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
            hint = "pass --allow-empty if this is intended"
            raise found.refused("R0206", "the inventory names no instance", hint)
        if len(gathered.instances) > limits.INVENTORY_ROWS_MAX:
            raise found.refused("R0207", "more than 10 million instances, the limit")
    gathered.notes.extend(found.notes)
