"""Keys that a command prints: accepted output, errors, and no command that keeps running."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rollout.ecs import external
from rollout.ecs.external import ExternalProvider
from rollout.errors import AccessError
from tests.processes import ends

KEYS = {"mode": "StsToken", "access_key_id": "id-1", "access_key_secret": "s-1", "sts_token": "t-1"}


def prints(text: str, *, exit_code: int = 0, complaint: str = "") -> ExternalProvider:
    """A provider whose command prints this."""
    script = f"import sys; print({text!r}); sys.stderr.write({complaint!r}); sys.exit({exit_code})"
    return ExternalProvider("profile x (External)", shlex.join([sys.executable, "-c", script]))


def test_the_printed_keys_are_used() -> None:
    """Id, secret and token of the command's JSON are the keys."""
    found = prints(json.dumps(KEYS)).get_credentials()
    assert found.get_access_key_id() == "id-1"
    assert found.get_access_key_secret() == "s-1"
    assert found.get_security_token() == "t-1"
    assert found.get_expiration() is None
    assert "s-1" not in repr(found)


@pytest.mark.parametrize(
    "text,expected",
    [("2026-01-02T03:04:05Z", 1_767_323_045), ("", None), ("soon", None), (7, None)],
)
def test_the_printed_expiry_is_used(text: object, expected: int | None) -> None:
    """`expiration` of the output is the expiry in seconds; an unreadable one is none."""
    found = prints(json.dumps({**KEYS, "expiration": text})).get_credentials()
    assert found.get_expiration() == expected


@pytest.mark.parametrize(
    "provider,words",
    [
        (prints("hunter2"), "printed no JSON"),
        (prints("[]"), "no JSON object"),
        (prints('{"access_key_id": "x"}'), "no access_key_secret"),
        (prints(json.dumps({**KEYS, "sts_token": ""})), "no sts_token"),
        (prints("", exit_code=3, complaint="login expired\nmore"), "exit 3: login expired"),
        (prints("", exit_code=3), "exit 3"),
        (ExternalProvider("profile x (External)", "/nonexistent/command"), "No such file"),
        (ExternalProvider("profile x (External)", ""), "`process_command` is empty"),
        (ExternalProvider("profile x (External)", "echo 'open"), "No closing quotation"),
    ],
)
def test_a_failing_command_is_reported_with_its_cause(
    provider: ExternalProvider, words: str
) -> None:
    """The error names the cause and repeats none of the command's output."""
    with pytest.raises(AccessError) as caught:
        provider.get_credentials()
    assert words in str(caught.value)
    assert caught.value.problems[0].code == "R0402"
    assert "hunter2" not in str(caught.value)


def test_a_slow_command_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time a command is killed, and so are the processes that it started."""
    monkeypatch.setattr(external, "TIMEOUT_S", 0.5)
    child = tmp_path / "child"
    script = f"sleep 60 & echo $! > {child}; wait"
    with pytest.raises(AccessError, match="more than"):
        ExternalProvider("profile x", shlex.join(["sh", "-c", script])).get_credentials()
    assert ends(int(child.read_text("utf-8")))


def test_the_end_of_the_program_ends_the_command(tmp_path: Path) -> None:
    """A program that ends while a thread waits for a command leaves no process behind."""
    child = tmp_path / "child"
    command = shlex.join(["sh", "-c", f"sleep 60 & echo $! > {child}; wait"])
    program = (
        "import pathlib, threading, time\n"
        "from rollout.ecs.external import ExternalProvider\n"
        f"fetch = ExternalProvider('x', {command!r}).get_credentials\n"
        "threading.Thread(target=fetch, daemon=True).start()\n"
        f"while not pathlib.Path({str(child)!r}).exists(): time.sleep(0.02)\n"
    )
    root = str(Path(__file__).parents[2])
    subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": root},
        check=True,
        timeout=20,
    )
    assert ends(int(child.read_text("utf-8")))
