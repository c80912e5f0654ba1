"""`rollout abort` and `rollout resolve` up to the point where they need the service."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from rollout.app import operate
from rollout.cli import main
from rollout.core.running.operators import refused_text
from rollout.errors import Exit
from rollout.journal.directory import DirectoryRun
from rollout.journal.inbox import Inbox
from rollout.journal.locks import lock
from rollout.journal.record import Line
from rollout.journal.verify import verify
from rollout.model import event as ev
from rollout.model.outcome import Unknown
from tests.journal import example_runs, samples

RUN = example_runs.ExampleRun().run
OWNER = lock.Owner("ops-1", 4711, samples.NOW, RUN, 1)
STUCK = "i-00000001"
WORDS = ("resolve", RUN, "--instance", STUCK, "--reason", "uptime")


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that halted after its canary: one instance done, one in doubt and held."""
    monkeypatch.chdir(tmp_path)
    example = example_runs.ExampleRun().open_wave(0).rotated(0).attached(1).restart(1)
    example.settle(Unknown("timeout")).add(ev.Held((1,), "unproven")).close_wave(0)
    example.add(ev.Halted("failures", "R0504", 5, f"1 of 2 instances of wave canary: {STUCK}"))
    return example.write(tmp_path / "runs")


def test_a_statement_is_journaled_without_any_api_call(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run stays open, its journal is sound, and the next command is printed."""
    assert main.main([*WORDS, "--restarted"]) == Exit.DONE
    assert f"resume: rollout resume {RUN}" in capsys.readouterr().err

    checked = verify(DirectoryRun(run_dir))
    assert checked.exit is Exit.DONE, checked.problems
    assert checked.classes["unverified"] == 1
    main.main(["audit", "show", RUN])
    assert "resolve restarted: uptime" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "words, code, text",
    [
        ((*WORDS, "--restarted", "--abandon"), Exit.USAGE, "state one of"),
        (WORDS, Exit.USAGE, "state one of"),
        (("resolve", RUN, "--instance", "i-x", "--reason", "y", "--abandon"), 6, "not a target"),
        (("abort", RUN), Exit.CONFIRM, "add --confirm example"),
        (("abort", RUN, "--confirm", "production"), Exit.CONFIRM, "was not aborted"),
        (("abort", "r-nothing", "--confirm", "example"), Exit.USAGE, "error[R0003]"),
    ],
)
def test_what_is_refused_changes_nothing(
    run_dir: Path,
    words: tuple[str, ...],
    code: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Code, reason and fix are printed, and no line is added to the journal."""
    before = (run_dir / "journal-000001.jsonl").read_bytes()
    assert main.main(list(words)) == code

    assert text in " ".join(capsys.readouterr().err.split())
    assert (run_dir / "journal-000001.jsonl").read_bytes() == before


def test_a_run_that_no_process_drives_is_paused_and_promoted_in_its_journal(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are journaled with their reasons, and the journal stays sound."""
    assert main.main(["pause", RUN, "--reason", "incident"]) == Exit.DONE
    assert "Paused" in capsys.readouterr().err
    assert main.main(["pause", RUN]) == Exit.CONFLICT
    assert "it is paused already" in " ".join(capsys.readouterr().err.split())
    assert main.main(["resume", "--last"]) == Exit.HALTED
    assert "error[R0507]" in capsys.readouterr().err

    assert main.main(["promote", RUN, "--reason", "over"]) == Exit.DONE
    assert f"resume: rollout resume {RUN}" in capsys.readouterr().err
    assert main.main(["promote", RUN]) == Exit.CONFLICT
    assert "no gate waits for a promotion" in " ".join(capsys.readouterr().err.split())
    assert verify(DirectoryRun(run_dir)).exit is Exit.DONE
    main.main(["audit", "show", RUN])
    told = " ".join(capsys.readouterr().out.split())
    assert "commanded pause: incident" in told and "commanded promote: over" in told


def test_a_closed_run_needs_no_abort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with the run's own exit code, and asks for nothing."""
    monkeypatch.chdir(tmp_path)
    example_runs.whole().write(tmp_path / "runs")

    assert main.main(["abort", RUN]) == Exit.DONE


def test_a_process_that_does_not_react_is_named(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stopped process takes nothing: R0505 names it, and the command waits in its inbox."""
    monkeypatch.setattr(operate, "TAKEN_WITHIN_S", 0.2)
    with lock.take_run(run_dir, OWNER):
        assert main.main([*WORDS, "--restarted"]) == Exit.HALTED

    told = capsys.readouterr().err
    assert "error[R0505]" in told
    assert "process 4711 on ops-1" in told
    assert [order.reason for order in Inbox(run_dir).take()] == ["uptime"]


def test_an_interrupted_command_names_the_file_that_waits(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C does not take the command back: the operator learns how to withdraw it."""
    interrupt = threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT))
    with lock.take_run(run_dir, OWNER):
        interrupt.start()
        assert main.main(["pause", RUN]) == Exit.INTERRUPTED

    (waiting,) = (run_dir / "inbox").glob("*.json")
    told = capsys.readouterr().err
    assert "still in its inbox" in told and waiting.name in told


def test_a_process_that_refuses_the_command_is_believed(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command was taken and is not in the journal: R0608."""
    inbox, ended = Inbox(run_dir), threading.Event()

    def drive() -> None:
        while not ended.is_set():
            for order in inbox.take():
                inbox.done(order)
            time.sleep(0.05)

    process = threading.Thread(target=drive)
    process.start()
    try:
        with lock.take_run(run_dir, OWNER):
            assert main.main([*WORDS, "--restarted"]) == Exit.CONFLICT
    finally:
        ended.set()
        process.join()

    assert "error[R0608]" in capsys.readouterr().err


def test_a_waiting_command_is_applied_before_a_later_one(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No process drives the run: the pause in the inbox was given first, so another pause is
    refused, and the journal has the first one.
    """
    first = ev.OperatorCommand("1", ev.OperatorVerb.PAUSE, samples.ACTOR, samples.NOW, "inbox")
    DirectoryRun(run_dir).send(first)

    assert main.main(["pause", RUN]) == Exit.CONFLICT

    assert "it is paused already" in capsys.readouterr().err
    assert Inbox(run_dir).take() == []
    folded = [one for line in DirectoryRun(run_dir).read() for one in line.body]
    assert first in folded and not verify(DirectoryRun(run_dir)).problems
    assert main.main(["promote", RUN]) == Exit.DONE


def test_the_reason_of_a_refusal_is_the_last_one_of_the_journal() -> None:
    """The message gives the reason, which the process wrote to the journal."""
    order = ev.OperatorCommand("1", ev.OperatorVerb.PAUSE, samples.ACTOR, samples.NOW, "inbox")
    texts = [refused_text(ev.OperatorVerb.PAUSE, f"reason {number}") for number in (1, 2)]
    texts.append(refused_text(ev.OperatorVerb.ABORT, "another command"))
    lines = [Line(1, 0, "", (ev.Anomaly(0, text),)) for text in texts]

    assert operate._refusal(iter(lines), order) == "reason 2"
    assert operate._refusal(iter(()), order) == "its process refused it"
    assert operate._refusal(iter([*lines, Line(2, 0, "", (order,))]), order) == ""


def test_a_command_whose_receiver_died_is_applied_by_its_sender(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ended between the command and its reaction: nothing is left in the inbox."""
    held = lock.take_run(run_dir, OWNER)
    monkeypatch.setattr(operate, "POLL_S", 0.05)
    timer = threading.Timer(0.3, held.release)
    timer.start()
    assert main.main([*WORDS, "--restarted"]) == Exit.DONE
    timer.join()

    assert not Inbox(run_dir).take()
    assert verify(DirectoryRun(run_dir)).classes["unverified"] == 1


@pytest.mark.parametrize(
    "halted",
    [
        None,
        ev.Halted("foreign_key", "R0605", 6, "wave canary"),
        ev.Halted("elsewhere", "R0610", 6, "6 of 12 instances of wave canary"),
        ev.Halted("drift", "R0607", 6, "6 of 12 targets of wave canary"),
    ],
)
def test_an_unattended_resume_decides_nothing(
    run_dir: Path, halted: ev.Halted | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--last` is what schedulers run: it passes over no failures, conflicts, drift or other run.
    It changes nothing and says who must decide, exit 5.
    """
    if halted is not None:
        shutil.rmtree(run_dir)
        example_runs.ExampleRun().open_wave(0).add(halted).write(run_dir.parent)
    before = (run_dir / "journal-000001.jsonl").read_bytes()
    assert main.main(["resume", "--last"]) == Exit.HALTED

    told = " ".join(capsys.readouterr().err.split())
    assert "error[R0506]" in told
    assert f"rollout resume {RUN}" in told
    assert f"rollout abort {RUN}" in told
    assert (run_dir / "journal-000001.jsonl").read_bytes() == before


@pytest.mark.parametrize("words", [("abort", RUN, "--confirm", "example"), ("resume", RUN)])
def test_a_run_that_closes_while_a_command_waits_for_it_is_shown_as_closed(
    words: tuple[str, ...],
    run_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its process closed it after it was read, for example during the prompt: nothing is written,
    no service is called, and the exit code is the run's.
    """
    shutil.rmtree(run_dir)
    example = example_runs.whole()
    example.write(run_dir.parent)
    monkeypatch.setattr("rollout.app.runs.closed_result", lambda _: None)
    before = (run_dir / "journal-000001.jsonl").read_bytes()
    assert main.main(list(words)) == Exit.DONE

    assert RUN in capsys.readouterr().out
    assert (run_dir / "journal-000001.jsonl").read_bytes() == before


def test_a_promotion_while_a_wave_is_in_progress_names_where_to_look(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The help says that no gate is reached yet, and which command shows when one is."""
    assert main.main(["promote", RUN]) == Exit.CONFLICT

    told = " ".join(capsys.readouterr().err.split())
    assert (
        "no gate is reached while a wave is in progress" in told
        and f"`rollout status {RUN}` shows" in told
    )
    assert main.main(["resolve", RUN, "--instance", "i-none", "--reason", "x", "--abandon"]) == 6
    assert "in progress" not in capsys.readouterr().err
