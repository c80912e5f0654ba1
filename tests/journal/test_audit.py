"""Who did what to which instance, when, and why: from the journal's lines alone."""

from pathlib import Path

from rollout.journal import audit, writer
from rollout.journal.record import Line
from rollout.model import event as ev
from rollout.model.command import ImportKey
from rollout.model.event import Trigger
from rollout.model.outcome import Done, Refused, RetryClass, Unknown
from rollout.model.probe import KeyAccess, LoginVerdict
from tests.journal import example_runs, samples
from tests.journal.example_runs import SITE, ExampleRun
from tests.journal.samples import NOW

REFUSED = Refused("InvalidInstance.Locked", RetryClass.FACT, "The instance is locked.", "REQ-1", 7)


def lines(tmp_path: Path, example: ExampleRun) -> list[Line]:
    """The journal's lines of a example."""
    return list(writer.read(example.write(tmp_path)))


def mixed() -> ExampleRun:
    """A batch of two of which one is refused, and a restart whose answer is lost."""
    example = ExampleRun().open_wave(0).attach(0, 1)
    example.add(ev.Settled(1, NOW, Done("REQ-0", NOW), ((1, REFUSED),)))
    example.move(Trigger.OBSERVED_ATTACHED, 0)
    example.restart(0).settle(Unknown("timeout")).resume()
    example.add(ev.Settled(2, NOW, Done("REQ-9", NOW)))
    return example.add(
        ev.Anomaly(2, "an extra item"),
        ev.Held((0,), "unproven"),
        ev.Released((0,), "start_time_trusted"),
        ev.Drifted(ev.DriftKind.BENIGN, (0,), "Running"),
        ev.Split((0,)),
        ev.Calibrated(*SITE, "img-1", 2, 1),
        ev.TornTail(7, "0" * 64),
        ev.Drained("SIGTERM", "li.wei"),
        samples.HALTED,
    )


def test_the_history_of_an_instance_has_request_ids(tmp_path: Path) -> None:
    """Call, observation before it, outcome for this instance, and operator."""
    example = mixed()

    told = audit.life(example.plan, lines(tmp_path, example), "i-00000001")

    calls = [entry for entry in told if entry.call]
    assert [(entry.event, entry.action) for entry in calls] == [
        ("Issued", "AttachKeyPair"),
        ("Settled", "AttachKeyPair"),
    ]
    assert "observed before: Running since 2026-11-22T" in calls[0].text
    assert "key pair ops-2026q3" in calls[0].text and calls[0].instances == ("i-00000001",)
    ended = calls[1]
    assert (ended.outcome, ended.code, ended.request_id, ended.api_time) == (
        "refused",
        "InvalidInstance.Locked",
        "REQ-1",
        7,
    )
    assert ended.actor == "li.wei on ops-1 as acs:ram::1:user/li.wei"
    assert [entry.event for entry in told if not entry.instances] == [
        *("RunStarted", "WaveStarted", "CellOpened", "KeyReady"),
        *("Resumed", "TornTail", "Drained", "Halted"),
    ]


def test_a_life_is_its_own(tmp_path: Path) -> None:
    """An instance of a later wave has no part in the canary's calls, waves and cells."""
    example = mixed()

    told = audit.life(example.plan, lines(tmp_path, example), "i-00000002")

    assert [entry.event for entry in told] == [
        *("RunStarted", "KeyReady", "Resumed", "TornTail", "Drained", "Halted"),
    ]


def test_a_life_says_why_it_moved(tmp_path: Path) -> None:
    """Evidence, doubt and release are shown with their reasons and their epoch."""
    example = mixed()

    told = audit.life(example.plan, lines(tmp_path, example), "i-00000000")

    texts = {entry.event: (entry.text, entry.epoch) for entry in told}
    assert texts["Moved"] == ("observed_attached: status", 1)
    assert texts["Settled"] == ("unknown, may have been executed: timeout", 1)
    assert texts["Held"] == ("unproven", 2)
    assert texts["Released"] == ("start_time_trusted", 2)
    assert texts["Drifted"] == ("benign: Running", 2)
    assert texts["Split"] == ("a refused batch is divided into halves", 2)


def test_who_is_no_target_has_no_life(tmp_path: Path) -> None:
    """Excluded and unknown instances: the caller looks for the reason in the plan."""
    example = mixed()

    assert audit.life(example.plan, lines(tmp_path, example), "i-windows1") == []


def test_the_whole_run_is_listed(tmp_path: Path) -> None:
    """One entry an event, named by line and place, in order."""
    example = example_runs.whole()
    example.events[4:4] = [
        ev.Issued(0, ImportKey(*SITE), NOW),
        ev.Settled(0, NOW, Done("REQ-2", NOW)),
    ]

    told = list(audit.entries(example.plan, lines(tmp_path, example)))

    assert [entry.id for entry in told] == [f"{n}-1" for n in range(1, len(example.events) + 1)]
    assert all(entry.text and entry.actor and entry.epoch == 1 for entry in told)
    imported = [entry for entry in told if entry.action == "ImportKeyPair"]
    assert imported[1].request_id == "REQ-2"
    assert told[-1].text == "5 done, 2 excluded"


def test_endings_of_a_batch_are_counted(tmp_path: Path) -> None:
    """A batch with several outcomes counts each of them; a late reply is shown as late."""
    example = mixed()

    told = list(audit.entries(example.plan, lines(tmp_path, example)))

    assert [entry.text for entry in told if entry.event == "Settled"] == [
        "1 done, 1 refused",
        "unknown, may have been executed: timeout",
        "call 2 had a late reply, which was ignored",
    ]


def test_a_run_is_tallied(tmp_path: Path) -> None:
    """Calls by action, endings by instance, events by type."""
    tally = audit.tally(lines(tmp_path, mixed()))

    assert tally.calls == {"AttachKeyPair": 1, "RebootInstance": 1}
    assert tally.outcomes == {"done": 1, "refused": 1, "unknown": 1}
    assert tally.events["Settled"] == 3 and list(tally.events) == sorted(tally.events)


def test_a_failure_says_whether_the_instance_serves(tmp_path: Path) -> None:
    """A timeout leaves it down with its permit; a refused login or an attach that was given up
    leaves an instance that serves.
    """
    example = (
        ExampleRun()
        .open_wave(0)
        .add(
            ev.Moved(Trigger.TIMED_OUT, (0,), "not_running"),
            ev.Moved(Trigger.GAVE_UP, (1,), "attempts"),
            ev.LoginProbed(1, LoginVerdict.KEY_REFUSED, KeyAccess.REFUSED),
            ev.LoginProbed(1, LoginVerdict.PROVED, KeyAccess.ACCEPTED),
        )
    )
    found = [one.text for one in audit.entries(example.plan, lines(tmp_path, example))][-4:]

    assert found[0] == "timed_out: not_running; failed, down: its permit is kept"
    assert found[1] == "gave_up: attempts; failed, serves"
    assert found[2] == "login failed: new key refused; failed, serves"
    assert "serves" not in found[3]
