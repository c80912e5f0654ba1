"""File sources of the inventory: which instances a CSV, JSON or JSONL file names.

Called by `sources`. A file says which instances there are; what they are is asked of the service
afterwards, except with `--offline`, when a row is all there is.
"""

from __future__ import annotations

from pathlib import Path

from rollout.inventory.documents import read_json, read_jsonl
from rollout.inventory.gathered import Gathered
from rollout.inventory.reading import opened
from rollout.inventory.rows import Maker
from rollout.inventory.table import read_csv
from rollout.model import limits
from rollout.model.spec import FileSource


def read(
    source: FileSource,
    gathered: Gathered,
    *,
    account: str,
    project: Path,
    allow_empty: bool = False,
) -> None:
    """Add what one file names to `gathered`; what is wrong with rows becomes its problems.

    Relative paths start at `project`. Rows that name no region get the source's.
    Errors: InventoryError where the file as a whole is refused: unreadable (74); wrong encoding,
    headings, limits, no row at all, changed while read (65).
    """
    maker = Maker(account, source.region)
    with opened(project / source.path, source.path) as found:
        if source.format == "csv":
            count = read_csv(found, maker, gathered, source.columns)
        else:
            count = (read_json if source.format == "json" else read_jsonl)(found, maker, gathered)
        if not count and not gathered.problems and not allow_empty:
            hint = "pass --allow-empty if that is meant"
            raise found.refused("R0206", "the inventory names no instance", hint)
        if len(gathered.instances) > limits.INVENTORY_ROWS_MAX:
            raise found.refused("R0207", "more than 10 million instances, the limit")
    gathered.notes.extend(found.notes)
