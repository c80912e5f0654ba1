"""Write plan files atomically, and read them only if their digest matches.

The digest is stored next to `NAME.plan.json` in `NAME.plan.json.sha256`, in the format of
`sha256sum -c`, so that edits of a plan are detected.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

import msgspec

from rollout.app import approval_files, out_file, plan_check
from rollout.errors import IntegrityError, Place, PlanError, UsageError
from rollout.model import plan as plans
from rollout.model.phrase import Wording, say
from rollout.model.plan import Plan

BYTES_MAX = 4 * 1024**3
"""Maximum size of a plan file. A million targets take 135 MB."""


_FIGURES = re.compile(r"[0-9a-f]{64}")


class SavedPlan(NamedTuple):
    """A plan, its bytes, their digest, and the approvals next to its file. A new plan has no
    `path`.
    """

    plan: Plan
    raw: bytes
    digest: str
    notes: tuple[str, ...] = ()
    path: Path | None = None


class _Head(msgspec.Struct):
    """Fields that are read first, to check the format version."""

    format: str = ""
    format_version: str = ""
    tool: str = "an unknown program"


def with_digest(plan: Plan) -> SavedPlan:
    """Return a new plan with its bytes and digest."""
    raw = plans.encode(plan)
    return SavedPlan(plan, raw, plans.digest(raw))


def save_plan(saved: SavedPlan, path: Path) -> None:
    """Write the plan and its digest file atomically. Errors: as `check_out`."""
    check_out(path)
    out_file.write(_sidecar(path), _digest_line(saved.digest, path), say("plan"))
    out_file.write(path, saved.raw, say("plan"))


def check_out(path: Path) -> None:
    """Raise StorageError R0803 if a plan cannot be saved there: as `out_file.check`, or if it would
    replace a file that is not a plan or a digest, or the plan of a run.
    """
    out_file.check(path, say("plan"), _is_plan, say("the file exists and is not a plan"))
    own = say("the file exists and is not the digest of a plan")
    out_file.check(_sidecar(path), say("plan"), _is_digest, own)
    if any(path.absolute().parent.glob("journal-*.jsonl")):
        raise out_file.unsaved(path, say("plan"), say("the directory belongs to a run"))


def is_named(target: str) -> bool:
    """Return whether a target that is a plan file or a run names a plan file, also a missing one:
    the id of a run has neither a dot nor a slash.
    """
    path = Path(target)
    return path.is_file() or bool(path.suffix) or len(path.parts) > 1


def load_plan(path: Path, digest: str | None = None) -> SavedPlan:
    """Return the plan in a file after checking its digest against `digest` or its `.sha256` file.

    Errors: R0320 unreadable, R0321 not a plan of this version, R0901 the digest does not match,
    R0322 the plan contradicts itself, R0708 an approval is unreadable, R0001 `digest` is malformed.
    """
    raw = _read(path)
    _check_version(raw, path)
    _check_digest(raw, path, digest)
    try:
        plan = plans.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _not_a_plan(path, str(error)) from error
    if plans.encode(plan) != raw:
        raise _not_a_plan(path, say("it has fields that this version does not know"))
    plan_check.check(plan, Place(str(path)))
    notes = approval_files.read_notes(path) if plan.approvers() else ()
    return SavedPlan(plan, raw, plans.digest(raw), notes, path)


def _is_plan(path: Path) -> bool:
    """Return whether a file is a plan of any version."""
    with path.open("rb") as file:
        if file.read(1) != b"{" or path.stat().st_size > BYTES_MAX:
            return False
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Head).format == plans.FORMAT
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def _is_digest(path: Path) -> bool:
    with path.open("rb") as file:
        return re.match(rb"[0-9a-f]{64}  ", file.read(66)) is not None


def _read(path: Path) -> bytes:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a FIFO would wait for a writer
            raise _unreadable(path, say("not a regular file"))
        if found.st_size > BYTES_MAX:
            raise _not_a_plan(path, say("it is larger than any plan"))
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error


def _unreadable(path: Path, why: Wording) -> Exception:
    return PlanError.of(
        "R0320",
        say("the plan file cannot be read: {why}", why=why),
        place=Place(str(path)),
        help=say("create one: rollout plan SPEC --out FILE.plan.json"),
    )


def _check_version(raw: bytes, path: Path) -> None:
    try:
        head = msgspec.json.decode(raw, type=_Head)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _not_a_plan(path, str(error)) from error
    if head.format != plans.FORMAT:
        raise _not_a_plan(path, say("its `format` is `{found}`", found=head.format))
    ours, theirs = (v.partition(".")[0] for v in (plans.FORMAT_VERSION, head.format_version))
    if theirs != ours:
        raise PlanError.of(
            "R0321",
            say(
                "plan format {found}; this program reads {ours}.x",
                found=head.format_version or "-",
                ours=ours,
            ),
            place=Place(str(path)),
            help=say(
                "this plan was created by {tool}; use that version, or create a new plan",
                tool=head.tool,
            ),
        )


def _check_digest(raw: bytes, path: Path, digest: str | None) -> None:
    found = plans.digest(raw)
    given = None if digest is None else _given(digest)
    wanted, why = (given, "") if given is not None else _saved_digest(path)
    if wanted == found:
        return
    notes: list[Wording] = [say("digest now   {digest}", digest=found)]
    if given is not None:
        message = say("this is not the plan that --digest names")
        notes.append(say("digest given {digest}", digest=given))
        cure = say("use the file that was reviewed, or create a new plan from its spec")
    elif wanted is not None:
        message = say("the plan was changed after it was created")
        notes.append(say("digest then  {digest}", digest=wanted))
        cure = say("create a new plan from its spec; do not edit plans")
    else:
        message = say(
            "{file} {why}, so an edit of the plan cannot be detected",
            file=_sidecar(path).name,
            why=why,
        )
        cure = say(
            "copy it together with the plan, or pass the digest of `rollout plan` to --digest"
        )
    raise IntegrityError.of("R0901", message, place=Place(str(path)), notes=tuple(notes), help=cure)


def _given(digest: str) -> str:
    """Return the digest in --digest, whose `sha256:` is optional. UsageError R0001 if malformed."""
    figures = digest.lower().removeprefix("sha256:")
    if not _FIGURES.fullmatch(figures):
        raise UsageError.of(
            "R0001",
            say("--digest {digest}: not a digest", digest=digest),
            help=say("pass `sha256:` and 64 hexadecimal digits, as printed by `rollout plan`"),
        )
    return f"sha256:{figures}"


def _digest_line(digest: str, path: Path) -> bytes:
    """Return the line that `sha256sum` prints for the file. It escapes some characters of names."""
    name = os.fsencode(path.name)
    escaped = name.replace(b"\\", rb"\\").replace(b"\n", rb"\n").replace(b"\r", rb"\r")
    mark = b"" if escaped == name else b"\\"
    return b"%s%s  %s\n" % (mark, digest.removeprefix("sha256:").encode(), escaped)


def _saved_digest(path: Path) -> tuple[str | None, Wording]:
    """Return the digest in the plan's `.sha256` file, or None and the reason."""
    try:
        mode = _sidecar(path).stat().st_mode
        if not stat.S_ISREG(mode):  # a FIFO would wait for a writer
            return None, say("is not a regular file")
        parts = _sidecar(path).read_bytes().split()
    except FileNotFoundError:
        return None, say("is missing")
    except OSError as error:
        return None, say("cannot be read ({cause})", cause=error.strerror)
    figures = parts[0].removeprefix(b"\\").decode("ascii", "replace").lower() if parts else ""
    if not _FIGURES.fullmatch(figures):
        return None, say("does not contain a digest")
    return f"sha256:{figures}", ""


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _not_a_plan(path: Path, why: Wording) -> Exception:
    return PlanError.of(
        "R0321",
        say("not a plan: {why}", why=why),
        place=Place(str(path)),
        help=say("create one: rollout plan SPEC --out FILE.plan.json"),
    )
