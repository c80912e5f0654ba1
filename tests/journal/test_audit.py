"""Who did what to which instance, when, and why: from the journal's lines alone."""

from pathlib import Path

from rollout.journal import audit, writer
from rollout.journal.record import Line
from rollout.model import event as ev
from rollout.model.command import ImportKey
from rollout.model.event import Trigger
from rollout.model.outcome import Done, Refused, RetryClass, Unknown
from tests.journal import samples, stories
from tests.journal.samples import NOW
from tests.journal.stories import SITE, Story

REFUSED = Refused("InvalidInstance.Locked", RetryClass.FACT, "The instance is locked.", "REQ-1", 7)


def lines(tmp_path: Path, story: Story) -> list[Line]:
    """The journal's lines of a story."""
    return list(writer.read(story.write(tmp_path)))


def mixed() -> Story:
    """A batch of two of which one is refused, and a restart whose answer is lost."""
    story = Story().open_wave(0).attach(0, 1)
    story.add(ev.Settled(1, NOW, Done("REQ-0", NOW), ((1, REFUSED),)))
    story.move(Trigger.SEEN_ATTACHED, 0)
    story.restart(0).settle(Unknown("timeout")).resume()
    story.add(ev.Settled(2, NOW, Done("REQ-9", NOW)))
    return story.add(
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


def test_one_life_is_told_with_its_request_ids(tmp_path: Path) -> None:
    """What was asked, what was seen before, how it ended for this very instance, and by whom."""
    story = mixed()

    told = audit.life(story.plan, lines(tmp_path, story), "i-00000001")

    calls = [entry for entry in told if entry.call]
    assert [(entry.event, entry.action) for entry in calls] == [
        ("Issued", "AttachKeyPair"),
        ("Settled", "AttachKeyPair"),
    ]
    assert "seen before: Running since 2026-11-22T" in calls[0].text
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
    story = mixed()

    told = audit.life(story.plan, lines(tmp_path, story), "i-00000002")

    assert [entry.event for entry in told] == [
        *("RunStarted", "KeyReady", "Resumed", "TornTail", "Drained", "Halted"),
    ]


def test_a_life_says_why_it_moved(tmp_path: Path) -> None:
    """Evidence, doubt and release are told with their reasons, in the epoch they fell in."""
    story = mixed()

    told = audit.life(story.plan, lines(tmp_path, story), "i-00000000")

    texts = {entry.event: (entry.text, entry.epoch) for entry in told}
    assert texts["Moved"] == ("seen_attached: status", 1)
    assert texts["Settled"] == ("may have happened: timeout", 1)
    assert texts["Held"] == ("unproven", 2)
    assert texts["Released"] == ("start_time_trusted", 2)
    assert texts["Drifted"] == ("benign: Running", 2)
    assert texts["Split"] == ("a refused batch is halved", 2)


def test_who_is_no_target_has_no_life(tmp_path: Path) -> None:
    """Excluded and unknown instances: the caller looks for the reason in the plan."""
    story = mixed()

    assert audit.life(story.plan, lines(tmp_path, story), "i-windows1") == []


def test_the_whole_run_is_told(tmp_path: Path) -> None:
    """One entry an event, named by line and place, in order."""
    story = stories.whole()
    story.events[4:4] = [
        ev.Issued(0, ImportKey(*SITE), NOW),
        ev.Settled(0, NOW, Done("REQ-2", NOW)),
    ]

    told = list(audit.entries(story.plan, lines(tmp_path, story)))

    assert [entry.id for entry in told] == [f"{n}-1" for n in range(1, len(story.events) + 1)]
    assert all(entry.text and entry.actor and entry.epoch == 1 for entry in told)
    imported = [entry for entry in told if entry.action == "ImportKeyPair"]
    assert imported[1].request_id == "REQ-2"
    assert told[-1].text == "5 done, 2 excluded"


def test_endings_of_a_batch_are_counted(tmp_path: Path) -> None:
    """A batch that ended in several ways says how many ended how; a late ending is told as such."""
    story = mixed()

    told = list(audit.entries(story.plan, lines(tmp_path, story)))

    assert [entry.text for entry in told if entry.event == "Settled"] == [
        "1 done, 1 refused",
        "may have happened: timeout",
        "call 2 was answered late; it changed nothing",
    ]


def test_a_run_is_tallied(tmp_path: Path) -> None:
    """Calls by action, endings by instance, events by type."""
    tally = audit.tally(lines(tmp_path, mixed()))

    assert tally.calls == {"AttachKeyPair": 1, "RebootInstance": 1}
    assert tally.outcomes == {"done": 1, "refused": 1, "unknown": 1}
    assert tally.events["Settled"] == 3 and list(tally.events) == sorted(tally.events)
