"""What single events say in the audit log, as text. Pure; called by `audit`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rollout.model import event as ev
from rollout.model import time as times
from rollout.model.event import Actor
from rollout.model.instance import Status
from rollout.model.observation import Observed
from rollout.model.outcome import Done, Outcome, Refused, Unknown, api_time_of
from rollout.model.probe import KeyAccess, LoginVerdict
from rollout.model.time import Instant


def login_text(event: ev.HostKeyRead | ev.LoginProbed, known: str) -> str:
    """Return what a probe observed, in words. `known` is the host key before the restart."""
    if isinstance(event, ev.HostKeyRead):
        return (event.host_key and f"host key before the restart: {event.host_key}") or (
            f"host key unknown before the restart: {event.why}"
        )
    parts = [f"{name} {access.value}" for name, access in _accesses(event)]
    if event.verdict is LoginVerdict.HOST_KEY_CHANGED:
        parts.append(f"host key changed to {event.host_key}: no key was tried on it")
    elif event.host_key:
        parts.append("host key unchanged" if event.host_key == known else "host key not compared")
    head = _VERDICTS[event.verdict]
    detail = f" ({event.detail})" if event.detail else ""
    split = "" if event.verdict is LoginVerdict.PROVED else _SERVES
    return f"{head}: {', '.join(parts) or 'all hooks passed'}{detail}{split}"


def down_text(event: ev.MembersDown) -> str:
    """Return what a census found of members that are down, in words."""
    if event.lasting:
        return "down for ten minutes: instances do not wait for its permits any longer"
    return f"down without this run ({event.evidence}): takes a permit of each of its groups"


def _accesses(event: ev.LoginProbed) -> Iterator[tuple[str, KeyAccess]]:
    """Yield the keys that were tried, by name."""
    for name, access in (("new key", event.new_key), ("former key", event.former_key)):
        if access is not KeyAccess.UNTRIED:
            yield name, access


_SERVES = "; failed, serves"
SERVES_OR_DOWN = {
    ev.Trigger.TIMED_OUT: "; failed, down: its permit is kept",
    ev.Trigger.GAVE_UP: _SERVES,
}
"""Whether an instance that fails by this trigger serves or is down."""

_VERDICTS = {
    LoginVerdict.PROVED: "login proven",
    LoginVerdict.UNPROVED: "login not proven",
    LoginVerdict.KEY_REFUSED: "login failed",
    LoginVerdict.FORMER_KEY_ACCEPTED: "login failed",
    LoginVerdict.HOST_KEY_CHANGED: "login not tried",
    LoginVerdict.HOOK_FAILED: "check failed",
}


def actor_text(actor: Actor) -> str:
    """Return who an actor is: user, machine and, where known, cloud identity."""
    identity = f" as {actor.arn}" if actor.arn else ""
    return f"{actor.user} on {actor.machine}{identity}"


def comment_of(note: str) -> str:
    """Return the comment of an approval as text, empty if it has none."""
    found = re.search(r"^comment (.+)$", note, re.MULTILINE)
    return f": {found[1]}" if found else ""


def observation_text(observed: Observed) -> str:
    """Return the observation before an intent as text."""
    key = observed.key_pair or "none"
    since = ""
    if observed.started_at and observed.status is Status.RUNNING:
        since = f" since {times.format_instant(observed.started_at)}"
    return f"; observed before: {observed.status.value}{since}, key pair {key}"


def outcome_name(outcome: Outcome) -> str:
    """Return the name of an outcome in the audit log."""
    return type(outcome).__name__.lower()


def ending_fields(outcome: Outcome, at: Instant) -> dict[str, object]:
    """Return an outcome, received at an instant, as fields of an entry."""
    fields = {
        "outcome": outcome_name(outcome),
        "request_id": outcome.request_id,
        "api_time": api_time_of(outcome, at),
    }
    match outcome:
        case Done():
            return {**fields, "text": "done"}
        case Refused():
            return {**fields, "code": outcome.code, "text": outcome.message or outcome.code}
        case Unknown():
            return {
                **fields,
                "code": outcome.why,
                "text": f"unknown, may have been executed: {outcome.why}",
            }


def lease_text(event: ev.Leased) -> str:
    """Return which lease a process took, and from which one."""
    taken = f", taken over from {event.former}" if event.former else ""
    return f"lease of {event.region} in account {event.account}, epoch {event.epoch}{taken}"
