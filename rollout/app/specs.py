"""Read and check specs. Makes no API calls.

Called by `validate` and `schema`. Relative paths in a spec start at the working directory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from rollout import specfile
from rollout.app import windows
from rollout.engines.clock import LoopClock
from rollout.inventory import files, naming, unlisted
from rollout.model.plan import Warn
from rollout.model.spec import FileSource, Spec


def load_spec(path: Path) -> Spec:
    """Return the spec in a YAML file. Errors: SpecError with all problems and their positions."""
    return specfile.load(path, Path.cwd()).spec


def validate(path: Path, *, allow_partial: bool = False) -> tuple[Warn, ...]:
    """Check a spec and its inventory files, except the standard input; return the warnings.

    Errors: SpecError, or InventoryError with the problems of all files.
    """
    loaded = specfile.load(path, Path.cwd())
    named = [
        source
        for source in loaded.spec.inventory
        if isinstance(source, FileSource) and source.path != files.STDIN
    ]
    spec = msgspec.structs.replace(loaded.spec, inventory=tuple(named))
    windows.check_calendars(spec, LoopClock().now())
    read = naming.read_files(spec, Path.cwd(), "", live=True, allow_partial=allow_partial)
    whole = read.whole(matching=False)
    regions = unlisted.named_by(loaded.spec).union(one.region for one in whole.instances.values())
    notes = [*whole.notes, *unlisted.notes(regions)]
    return (*loaded.warnings, *(Warn(code, 0, text) for code, text in notes))


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of specs."""
    return specfile.json_schema()
