"""Coverage: rare situations that the simulator must meet, and how often one run met them.

A simulator that never meets a late effect proves nothing about late effects. Over enough seeds each
situation must be counted at least once, or the command fails.
"""

from __future__ import annotations

from collections.abc import Mapping

from rollout.core.running.layout import Layout
from rollout.model import event as ev
from rollout.model.command import ImportKey, RestartCall
from rollout.model.event import AnyEvent
from rollout.model.outcome import Outcome, Refused, RetryClass, Unknown, Unsent
from rollout.model.probe import LoginVerdict
from rollout.sim.world.driver import End
from rollout.sim.world.record import RunRecord
from rollout.sim.world.scenario import ExternalChange, Stop

RARE: tuple[str, ...] = (
    *("late effect", "doubled request", "outcome unknown", "results in part", "throttled"),
    "several keys at one site",
    *("unsent: too late", "unsent: stopped", "unsent: disk", "key pair imported"),
    *("in doubt by a lost answer", "in doubt by silence", "late boot seen", "did not happen"),
    *("retried once", "assumed done", "start time trusted", "start time distrusted", "released"),
    *("bisected batch", "attach refused", "attach given up", "restart refused", "not running"),
    *("booted by others", "many restarted by one call", "conflict", "gone", "locked", "material"),
    *("drift of state", "already attached", "anomaly"),
    *("held: unproven", "held: budget_held", "held: transitional", "held: unseen"),
    *("held: foreign_key", "held: quarantined"),
    *("member down", "member missing", "member up", "member down for long"),
    *("halted: foreign_key", "halted: in_doubt", "halted: key_pair", "halted: disk"),
    *(
        "halted: denied",
        "halted: unknown_code",
        "halted: drift",
        "halted: failures",
        "halted: elsewhere",
        "failures accepted",
        "limit of failures",
        "share of failures",
    ),
    *("crashed", "crashed in a write", "crashed after a sync", "crashed before a call"),
    *("abort", "pause", "promote", "resume", "gate promoted", "gate opened"),
    *("halted: gate", "halted: paused", "halted: login"),
    *("login proved", "login key_refused", "login former_key_accepted"),
    *("login host_key_changed", "login login_unproven", "host key unread"),
    *("gate answered open", "gate answered shut", "gate answered unknown", "halted: gate_shut"),
    *("window closed", "window opened", "halted: window"),
    *("restarted last", "own machine restarted"),
    *("approved", "approval missing", "approval damaged"),
    *("resolve restarted", "resolve untouched", "resolve abandon"),
    *("torn tail", "never began", "drained", "interrupted", "poisoned", "final events"),
    *("lock refused", "second lock refused", "journal refused", "lost the run"),
    *("lock taken over", "lock taken over elsewhere"),
    *("own lease refused", "lease refused", "lease awaited", "lease of another run"),
    *("lease seized", "another run refused", "lease of another run lost", "halted: lease"),
    *("suspended", "paused", "busy", "key changed", "left stopped", "restarted elsewhere"),
    *("resumed three times", "closed", "closed with failures", "wave after wave"),
    *(f"hand {change.value}" for change in ExternalChange),
)
"""All situations, by the name in the table."""


def met(record: RunRecord) -> dict[str, int]:
    """Return how often one run met each situation."""
    counts: dict[str, int] = dict(record.incidents)

    def count(incident: str, by: int = 1) -> None:
        counts[incident] = counts.get(incident, 0) + by

    sites = Layout(record.plan).key_sites.values()
    count("several keys at one site", sum(len(keys) > 1 for keys in sites))
    count("late effect", record.arrivals.late)
    count("doubled request", len(record.arrivals.duplicates))
    intents: dict[int, ev.Issued] = {}
    for line, _ in record.lines:
        for event in line.body:
            if isinstance(event, ev.Issued):
                intents[event.n] = event
            for incident in _incidents(event, intents):
                count(incident)
    for incident in _of_lives(record):
        count(incident)
    commands = [one.command for one in intents.values()]
    restarts = [one.instances for one in commands if isinstance(one, RestartCall)]
    count("restarted last", sum(not record.last.isdisjoint(ids) for ids in restarts))
    return {incident: number for incident, number in counts.items() if number}


def missing(total: Mapping[str, int]) -> list[str]:
    """Return the situations that were never met."""
    return [incident for incident in RARE if not total.get(incident)]


def _incidents(event: AnyEvent, intents: Mapping[int, ev.Issued]) -> list[str]:
    """Return the situations of one journal event."""
    match event:
        case ev.Settled(n=n, outcome=outcome, items=items):
            return [
                *_of_call(intents.get(n)),
                *_of_outcomes(outcome, items),
                *_of_ends(intents.get(n), outcome, items),
            ]
        case ev.Moved(trigger=trigger, evidence=evidence):
            return _MOVES.get((trigger, evidence), []) or _MOVES.get((trigger, ""), [])
        case ev.Held(reason=reason):
            return [f"held: {reason.split()[0].removesuffix(':')}"]
        case ev.Calibrated(moved=moved):
            return ["start time trusted" if moved else "start time distrusted"]
        case ev.Drifted(kind=kind, detail=detail):
            return _DRIFTS.get(kind, []) + (["locked"] if detail.startswith("locked") else [])
        case ev.OperatorCommand(command=command, resolution=resolution):
            return [f"{command.value} {resolution.value}" if resolution else command.value]
        case ev.GateAnswered(answer=answer):
            return [f"gate answered {answer.value}"]
        case ev.GateOpened(order=order):
            return ["gate promoted" if order else "gate opened"]
        case ev.LoginProbed(verdict=verdict):
            return [f"login {verdict}" if verdict is not LoginVerdict.PROVED else "login proved"]
        case ev.HostKeyRead(host_key=""):
            return ["host key unread"]
        case ev.Halted(reason=reason, detail=detail):
            met_limits = (
                ("onFailure.failed is", "limit of failures"),
                ("onFailure.failedPercent is", "share of failures"),
            )
            return [f"halted: {reason}", *(name for text, name in met_limits if text in detail)]
        case ev.MembersDown(evidence=evidence, lasting=lasting):
            down = "member missing" if evidence == "missing" else "member down"
            return ["member down for long" if lasting else down]
        case ev.WaveStarted(wave=wave):
            return ["wave after wave"] if wave else []
        case ev.RunClosed(exit=exit_code):
            return ["closed with failures" if exit_code else "closed"]
        case _:
            return _PLAIN.get(type(event), [])


_PLAIN: dict[type, list[str]] = {
    ev.Released: ["released"],
    ev.Approved: ["approved"],
    ev.WindowClosed: ["window closed"],
    ev.WindowOpened: ["window opened"],
    ev.FailuresAccepted: ["failures accepted"],
    ev.Split: ["bisected batch"],
    ev.Anomaly: ["anomaly"],
    ev.KeyChanged: ["key changed"],
    ev.ForeignRestart: ["restarted elsewhere"],
    ev.MembersUp: ["member up"],
    ev.TornTail: ["torn tail"],
}
_TRIGGER = ev.Trigger
_MOVES: dict[tuple[ev.Trigger, str], list[str]] = {
    (_TRIGGER.DOUBTED, ""): ["in doubt by silence"],
    (_TRIGGER.OBSERVED_UNTOUCHED, ""): ["did not happen"],
    (_TRIGGER.RETRIED, ""): ["retried once"],
    (_TRIGGER.LEFT_STOPPED, ""): ["left stopped"],
    (_TRIGGER.ASSUMED, ""): ["assumed done"],
    (_TRIGGER.TIMED_OUT, ""): ["not running"],
    (_TRIGGER.GAVE_UP, ""): ["attach given up"],
    (_TRIGGER.DROPPED, "gone"): ["gone"],
    (_TRIGGER.OBSERVED_BOOTED, "foreign_restart"): ["booted by others"],
    (_TRIGGER.OBSERVED_BOOTED, "start_time"): ["late boot seen"],
}
_DRIFTS = {
    ev.DriftKind.CONFLICT: ["conflict"],
    ev.DriftKind.MATERIAL: ["material"],
    ev.DriftKind.STATE: ["drift of state"],
    ev.DriftKind.BENIGN: ["already attached"],
    ev.DriftKind.ELSEWHERE: ["already attached"],
}


def _of_call(issued: ev.Issued | None) -> list[str]:
    if issued is None:
        return []
    match issued.command:
        case ImportKey():
            return ["key pair imported"]
        case RestartCall(ordinals=ordinals) if len(ordinals) > 1:
            return ["many restarted by one call"]
        case _:
            return []


def _of_outcomes(whole: Outcome, items: tuple[tuple[int, Outcome], ...]) -> list[str]:
    incidents = ["results in part"] if items else []
    for outcome in (whole, *(outcome for _, outcome in items)):
        match outcome:
            case Unknown():
                incidents.append("outcome unknown")
            case Refused(retry=RetryClass.THROTTLED):
                incidents.append("throttled")
            case Refused(retry=RetryClass.STATE):
                incidents.append("busy")
            case Refused(retry=RetryClass.UNSENT, code=code):
                incidents.append(_UNSENT.get(code, "unsent: stopped"))
            case _:
                pass
    return incidents


def _of_ends(
    issued: ev.Issued | None, whole: Outcome, items: tuple[tuple[int, Outcome], ...]
) -> list[str]:
    """Return situations in the results of the instances of attaches and restarts."""
    if issued is None or isinstance(issued.command, ImportKey):
        return []
    restart, others, incidents = isinstance(issued.command, RestartCall), dict(items), []
    for ordinal in issued.command.ordinals:
        match others.get(ordinal, whole):
            case Refused(retry=RetryClass.THROTTLED | RetryClass.UNSENT):
                pass
            case Refused():
                incidents.append("restart refused" if restart else "attach refused")
            case Unknown() if restart:
                incidents.append("in doubt by a lost answer")
            case _:
                pass
    return incidents


_UNSENT: dict[str, str] = {Unsent.EXPIRED: "unsent: too late", Unsent.DISK: "unsent: disk"}


def _of_lives(record: RunRecord) -> list[str]:
    """Return situations in the ends of processes and in the results of instances."""
    incidents = []
    for life in record.processes:
        if life.end is End.CRASHED:
            incidents += ["crashed", *_DEATHS.get(life.died_at, [])]
        if life.end is End.POISONED:
            incidents.append("poisoned")
        if life.drained is not None and life.end is End.STOPPED:
            incidents.append("drained")
    stops = [stopping.stop for stopping in record.scenario.stops[: len(record.processes)]]
    if Stop.INTERRUPT in stops:
        incidents.append("interrupted")
    if len(record.processes) > 3:
        incidents.append("resumed three times")
    return incidents


_DEATHS = {
    "before write": ["crashed in a write"],
    "half written": ["crashed in a write"],
    "written": ["crashed in a write"],
    "synced": ["crashed after a sync"],
    "before a call leaves": ["crashed before a call"],
}
