"""The project directory of `rollout demo`, and the promises that its emulator's ledger proves.

Called by `demo`. The program's own journal takes no part: the emulator's hidden ledger records
every effect independently.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from rollout.app import shipped
from rollout.errors import StorageError
from rollout.journal.disk import make_private
from rollout.model.limits import ATTACH_IDS_MAX
from rollout.model.phrase import Phrase, say
from rollout.model.plan import Plan
from rollout.model.spec import FLEET

SPEC = "plans/quickstart.yaml"
KEY = "plans/keys/quickstart.pub"
RESTARTS = ("reboot", "start")


class EffectLine(msgspec.Struct, frozen=True):
    """One line of `/_admin/ledger`: an effect on one instance. Times are UTC milliseconds."""

    at: int
    effect: str
    region: str = ""
    instance: str | None = None
    key_pair: str | None = None
    request_id: str = ""
    until: int | None = None


class InstanceLine(msgspec.Struct, frozen=True):
    """One line of `/_admin/instances`."""

    instance: str
    os_type: str
    key_in_force: str | None


class Finding(NamedTuple):
    """A promise of the program, whether it holds, and the figure that proves it."""

    holds: bool
    text: Phrase


def judge(
    plan: Plan, effects: Sequence[EffectLine], instances: Sequence[InstanceLine]
) -> list[Finding]:
    """Check every promise that the ledger can prove."""
    windows = {one.instance for one in instances if one.os_type.lower() == "windows"}
    in_force = {one.instance: one.key_in_force for one in instances}
    attached = [effect for effect in effects if effect.effect == "attach"]
    restarts = Counter(effect.instance for effect in effects if effect.effect in RESTARTS)
    targets = list(plan.targets())
    touched = {effect.instance for effect in attached} | restarts.keys()
    hit = sum(effect.instance in windows for effect in attached)
    largest = max(Counter(effect.request_id for effect in attached).values(), default=0)
    twice = sum(number > 1 for number in restarts.values())
    peak = most_down(effect for effect in effects if effect.effect == "reboot")
    cap = min((group.cap for group in plan.groups if group.key == FLEET), default=0)
    done = sum(in_force.get(one.instance) == plan.keys[one.key].name for one in targets)
    strangers = len(touched.difference(one.instance for one in targets))
    return [
        Finding(hit == 0, say("{number} Windows instances attached", number=hit)),
        Finding(
            largest <= ATTACH_IDS_MAX,
            say("at most {largest} ids in one AttachKeyPair call", largest=largest),
        ),
        Finding(twice == 0, say("{number} instances restarted twice", number=twice)),
        Finding(
            peak <= cap,
            say("at most {peak} down at once, of {allowed} allowed", peak=peak, allowed=cap),
        ),
        Finding(
            strangers == 0,
            say("{number} instances changed that are not in the plan", number=strangers),
        ),
        Finding(
            done == len(targets),
            say(
                "{done:,} of {targets:,} targets have the key in force",
                done=done,
                targets=len(targets),
            ),
        ),
    ]


def most_down(restarts: Iterable[EffectLine]) -> int:
    """Return the maximum number of instances restarting at the same time."""
    changes: list[tuple[int, int]] = []
    for restart in restarts:
        changes.append((restart.at, 1))
        if restart.until is not None:
            changes.append((restart.until, -1))
    down = most = 0
    for _, change in sorted(changes):
        down += change
        most = max(most, down)
    return most


def lay_out(folder: Path) -> None:
    """Create a project directory with copies of the quickstart spec and its key."""
    try:
        make_private(folder.parent)
        folder.mkdir(mode=0o700)
        for name in (SPEC, KEY):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shipped.find(name), target)
    except OSError as error:
        message = say(
            "the demo cannot be set up in {folder}: {cause}",
            folder=folder,
            cause=error.strerror or error,
        )
        cure = say("name another --runs-dir, or free disk space")
        raise StorageError.of("R0802", message, help=cure) from error
