"""The words for classes, phases, states, waits and next steps of a run, in the current language."""

from __future__ import annotations

from collections.abc import Mapping

from rollout.cli.language import is_english, tr, translated
from rollout.model.phrase import say
from rollout.model.view import Left

CLASSES = ("done", "unverified", "failed", "skipped", "in_doubt", "stranded", "open", "excluded")
"""Each instance of the inventory has exactly one of these classes. A closed run has none open."""

NEXT_STEP = {
    "failed": say("fix the cause, then retry the run after it is closed"),
    "stranded": say(
        "key attached, not in force: restart the instance, or retry the run after it is closed"
    ),
    "in_doubt": say(
        "the restart is not confirmed: resume observes it again; if you know the outcome, "
        "state it with rollout resolve"
    ),
    "skipped": say("not changed: fix the cause, then retry the run after it is closed"),
    "unverified": say("restarted but not proved: check that the new key works"),
}
NEXT_STEP_FOR = {
    "foreign_key": say(
        "another operator attached a third key pair: find out who; resume observes it again"
    ),
    "gone": say("released during the run: nothing to do"),
    "stopped_since_plan": say(
        "stopped by another operator after planning: start it, then retry the run after it is "
        "closed"
    ),
    "stopped_after_attach": say(
        "stopped by another operator after the attach: the key takes effect at the next start"
    ),
    "login_unproven": say(
        "restarted, but no login reached it: check address, port and jump host, then log in"
    ),
    "key_refused": say(
        "it runs and refuses the new key: log in by the console, then retry the run after it is "
        "closed"
    ),
    "former_key_accepted": say(
        "the former key still opens it: remove that key from authorized_keys"
    ),
    "host_key_changed": say(
        "its host key changed with the restart: find out why before you log in to it"
    ),
    "hook_failed": say("it runs, and a check of `verify` failed: read the audit log"),
    "key_pair_changed": say(
        "attached while the key pair had another public key: attach a key pair with a new name"
    ),
}
"""Next steps by reason; they take precedence over the next steps by phase."""
NEXT_STEP_CLOSED = {
    "failed": say("fix the cause, then retry the run"),
    "stranded": say("key attached, not in force: restart the instance, or retry the run"),
    "in_doubt": say(
        "the restart is not confirmed: check the instance, then retry the run with --in-doubt, "
        "which may restart it a second time"
    ),
    "skipped": say("not changed: fix the cause, then retry the run"),
    "foreign_key": say(
        "another operator attached a third key pair: find out who, then retry the run"
    ),
    "stopped_since_plan": say(
        "stopped by another operator after planning: start it, then retry the run"
    ),
    "key_refused": say(
        "it runs and refuses the new key: log in by the console, then retry the run"
    ),
}
"""Next steps that differ once the run is closed: `resume` and `resolve` do nothing then, and
`retry` accepts the run. A plan of the spec is no next step: it would reverse an undo.
"""
NAMES = {
    "done": say("done"),
    "unverified": say("unverified"),
    "restarting": say("restarting"),
    "verifying": say("verifying"),
    "in doubt": say("in doubt"),
    "in_doubt": say("in doubt"),
    "failed": say("failed"),
    "stranded": say("stranded"),
    "skipped": say("skipped"),
    "waiting": say("waiting"),
    "open": say("open"),
    "excluded": say("excluded"),
}
"""Classes and phases of instances, by their names in documents."""
STATES = {
    "running": say("running"),
    "interrupted": say("interrupted"),
    "paused": say("paused"),
    "halted": say("halted"),
    "drained": say("drained"),
    "closed": say("closed"),
    "unreadable": say("unreadable"),
    "open": say("open"),
    "waiting": say("waiting"),
    "aborted": say("aborted"),
    "not started": say("not started"),
}
"""States of runs and waves, by their names in documents."""
_PERMIT = "for a permit of "
_WAITS = {
    "for an earlier wave or cell": say("for an earlier wave or cell"),
    "for a restart call": say("for a restart call"),
    "for an attach": say("for an attach"),
    "for a login that proves the key": say("for a login that proves the key"),
    "for a comparison of the key pair": say("for a comparison of the key pair"),
    "for evidence (keep their permits)": say("for evidence (keep their permits)"),
    "for an operator (held)": say("for an operator (held)"),
}
"""What instances wait for, as the read model of a run words it."""


def classes(counts: Mapping[str, int], down: int) -> str:
    """Return all classes as `437 done + 0 unverified + …`, with line breaks only between them.
    `down` of the failed instances are down, the others serve.
    """
    failed = counts.get("failed", 0)
    split = tr(" ({serve:,} serve, {down:,} down)", serve=failed - down, down=down)
    parts = [
        f"{counts[name]:,} {class_name(name)}{split if failed and name == 'failed' else ''}"
        for name in CLASSES
        if name in counts
    ]
    return " + ".join(part.replace(" ", "\u00a0") for part in parts)


def class_name(name: str) -> str:
    """Return the name of a class or phase for people."""
    return translated(NAMES[name]) if name in NAMES else name.replace("_", " ")


def wait(why: str) -> str:
    """Return what instances wait for, for people. Gates and rates are quoted."""
    if why.startswith(_PERMIT):
        return tr("for a permit of {groups}", groups=why.removeprefix(_PERMIT))
    return translated(_WAITS[why]) if why in _WAITS else why


def state_name(state: str) -> str:
    """Return the state of a run or a wave for people."""
    return translated(STATES[state]) if state in STATES else state


def phase(label: str, *, down: bool) -> str:
    """Return a phase. A failed instance either serves, or is down and keeps its permit."""
    if label != "failed":
        return label if is_english() else class_name(label)
    return tr("failed, down") if down else tr("failed, serves")


def next_step(left: Left) -> str:
    """Return the key of an instance's next step: its reason if it has a step, else its phase."""
    return left.why if left.why in NEXT_STEP_FOR else left.phase
