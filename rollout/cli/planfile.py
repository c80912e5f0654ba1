"""Plan files: written whole or not at all, read only when they are what was written.

Beside `NAME.plan.json` lies `NAME.plan.json.sha256`, which `sha256sum -c` reads: the plan's bytes
are its digest's only source, so without a second file an edit by hand could not be seen.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

import msgspec

from rollout.cli import outfile, plancheck
from rollout.errors import IntegrityError, Place, PlanError, UsageError
from rollout.model import plan as plans
from rollout.model.plan import Plan

BYTES_MAX = 4 * 1024**3
"""A million targets are 135 MB; what is larger is no plan."""


_FIGURES = re.compile(r"[0-9a-f]{64}")


class Saved(NamedTuple):
    """A plan with its bytes and their digest."""

    plan: Plan
    raw: bytes
    digest: str


class _Head(msgspec.Struct):
    """What must be understood before anything else is read."""

    format: str = ""
    format_version: str = ""
    tool: str = "an unknown program"


def of(plan: Plan) -> Saved:
    """A plan just made, with its bytes and digest."""
    raw = plans.encode(plan)
    return Saved(plan, raw, plans.digest(raw))


def save(saved: Saved, path: Path) -> None:
    """Write plan and digest file; StorageError R0803 with nothing half-written."""
    outfile.check(path, "plan")
    outfile.write(_sidecar(path), _digest_line(saved.digest, path), "plan")
    outfile.write(path, saved.raw, "plan")


def load(path: Path, digest: str | None = None) -> Saved:
    """The plan in a file, when its digest is the one given or the one saved beside it.

    Errors: R0320 unreadable, R0321 not a plan of this version, R0901 changed since it was
    written or not the one given, R0322 contradicts itself, R0001 no digest given.
    """
    raw = _read(path)
    _check_version(raw, path)
    _check_digest(raw, path, digest)
    try:
        plan = plans.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _not_a_plan(path, str(error)) from error
    if plans.encode(plan) != raw:
        raise _not_a_plan(path, "it has fields that this version does not know")
    plancheck.check(plan, Place(str(path)))
    return Saved(plan, raw, plans.digest(raw))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > BYTES_MAX:
            raise _not_a_plan(path, "it is larger than any plan")
        return path.read_bytes()
    except OSError as error:
        raise PlanError.of(
            "R0320",
            f"the plan file cannot be read: {error.strerror}",
            place=Place(str(path)),
            help="make one: rollout plan SPEC --out FILE.plan.json",
        ) from error


def _check_version(raw: bytes, path: Path) -> None:
    try:
        head = msgspec.json.decode(raw, type=_Head)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _not_a_plan(path, str(error)) from error
    if head.format != plans.FORMAT:
        raise _not_a_plan(path, f"its `format` is `{head.format}`")
    ours, theirs = (v.partition(".")[0] for v in (plans.FORMAT_VERSION, head.format_version))
    if theirs != ours:
        raise PlanError.of(
            "R0321",
            f"plan format {head.format_version or 'missing'}; this program reads {ours}.x",
            place=Place(str(path)),
            help=f"it was made by {head.tool}: use that version, or make a new plan",
        )


def _check_digest(raw: bytes, path: Path, digest: str | None) -> None:
    found = plans.digest(raw)
    given = None if digest is None else _given(digest)
    wanted, why = (given, "") if given is not None else _saved_digest(path)
    if wanted == found:
        return
    notes = [f"digest now   {found}"]
    if given is not None:
        message = "this is not the plan that --digest names"
        notes.append(f"digest given {given}")
        cure = "ask for the file that was reviewed, or make a new plan from its spec"
    elif wanted is not None:
        message = "the plan was changed after it was made"
        notes.append(f"digest made  {wanted}")
        cure = "make a new plan from its spec; a plan is never edited"
    else:
        message = f"{_sidecar(path).name} {why}, so an edit of the plan could not be seen"
        cure = "copy it along with the plan, or pass --digest with what `rollout plan` printed"
    raise IntegrityError.of("R0901", message, place=Place(str(path)), notes=tuple(notes), help=cure)


def _given(digest: str) -> str:
    """What --digest says, with or without `sha256:`; UsageError R0001 where that is no digest."""
    figures = digest.lower().removeprefix("sha256:")
    if not _FIGURES.fullmatch(figures):
        raise UsageError.of(
            "R0001",
            f"--digest {digest}: no digest",
            help="give `sha256:` and 64 figures, as `rollout plan` prints them",
        )
    return f"sha256:{figures}"


def _digest_line(digest: str, path: Path) -> bytes:
    """The line that `sha256sum` prints for the file, which marks names with odd characters."""
    name = os.fsencode(path.name)
    escaped = name.replace(b"\\", rb"\\").replace(b"\n", rb"\n").replace(b"\r", rb"\r")
    mark = b"" if escaped == name else b"\\"
    return b"%s%s  %s\n" % (mark, digest.removeprefix("sha256:").encode(), escaped)


def _saved_digest(path: Path) -> tuple[str | None, str]:
    """The digest beside the plan; without one, why there is none."""
    try:
        mode = _sidecar(path).stat().st_mode
        if not stat.S_ISREG(mode):  # a FIFO would wait for a writer
            return None, "is not a regular file"
        words = _sidecar(path).read_bytes().split()
    except FileNotFoundError:
        return None, "is missing"
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    figures = words[0].removeprefix(b"\\").decode("ascii", "replace").lower() if words else ""
    if not _FIGURES.fullmatch(figures):
        return None, "holds no digest"
    return f"sha256:{figures}", ""


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _not_a_plan(path: Path, why: str) -> Exception:
    return PlanError.of(
        "R0321",
        f"not a plan: {why}",
        place=Place(str(path)),
        help="make one: rollout plan SPEC --out FILE.plan.json",
    )
