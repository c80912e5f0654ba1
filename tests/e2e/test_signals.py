"""Ctrl-C and SIGTERM at any time end the command soon, with its exit code and no lost effect."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.stage import ROLLOUT, Stage, stage
from tests.processes import ends

SOON_S = 3.0
"""The program promises two seconds; the third is for a busy machine."""
CASES = 5
FLEET = "- {{ count: 6, tags: {{ case: signal-{number} }} }}\n"
EXITS = {signal.SIGINT: 130, signal.SIGTERM: 143}
NOISE = ("Traceback", "never retrieved", "Exception ignored")
"""Output of the interpreter and asyncio for an exception that nothing catches."""
LATEST_S = 2.0
"""Commands with these small fleets take one to three seconds."""


def test_signals_at_twenty_random_times(tmp_path: Path) -> None:
    """plan, apply, resume and status end soon with 130 or 143 and no traceback; the interrupted run
    is resumed, and each instance is restarted once.
    """
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("".join(FLEET.format(number=number) for number in range(CASES)))
    options = ("--fleet", str(fleet), "--boot-time", "300ms")
    with stage(tmp_path, size=None, options=options) as shared, ThreadPoolExecutor(CASES) as pool:
        failures = list(pool.map(lambda number: _one_case(shared, number), range(CASES)))
    assert failures == [""] * CASES


def _one_case(shared: Stage, number: int) -> str:
    """Interrupt four commands, then finish. Return the errors."""
    name = f"signal-{number}"
    made = shared.beside(shared.folder / name)
    made.write_spec(name, max_down="3", case=name)
    wrong = _interrupted(made, number, "plan", f"{name}.yaml")
    planned = made.run("plan", f"{name}.yaml", "--out", "case.plan.json")
    wrong += "" if planned.returncode == 0 else planned.stderr
    for words in (("apply", "case.plan.json"), ("resume", "--last"), ("status",)):
        wrong += _interrupted(made, number, *words)
    ended = made.run("resume", "--last")
    if "no run" in ended.stderr and not made.restarts().keys() & made.targets("case.plan.json"):
        ended = made.run("apply", "case.plan.json", "--no-input")
    wrong += "" if ended.returncode == 0 else ended.stderr
    return wrong + made.wrong("case.plan.json", down_max=3)


def _interrupted(made: Stage, number: int, *words: str) -> str:
    """Send a signal at a random time. Return what is wrong with the end of the command."""
    which = signal.SIGINT if number % 2 else signal.SIGTERM
    process = made.begin(*words)
    _wait_until_caught(process.pid)
    time.sleep(_draw(f"{number} {words[0]}") * LATEST_S)
    return _ends_soon(process, which, done=(0, 3, 64))


def _ends_soon(
    process: subprocess.Popen[str], which: signal.Signals, done: tuple[int, ...] = ()
) -> str:
    """Signal a process. Return an empty string if it ends soon and correctly. With `done` it may
    have ended before the signal.
    """
    ended_before = process.poll() is not None
    process.send_signal(which)
    sent = time.monotonic()
    try:
        out, err = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        return f"{process.args!r}: still there\n"
    took = time.monotonic() - sent
    codes = done if ended_before else (*done, EXITS[which])
    noise = [word for word in NOISE if word in err]
    if process.returncode in codes and took < SOON_S and not noise:
        return ""
    return f"{process.args!r}: exit {process.returncode} after {took:.1f} s\n{out}{err}\n"


def _wait_until_caught(pid: int) -> None:
    """Return once the process handles SIGTERM; before that the interpreter is still starting."""
    bit = 1 << (signal.SIGTERM - 1)
    with contextlib.suppress(OSError):
        while True:
            rows = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
            caught = next((row for row in rows if row.startswith("SigCgt:")), "SigCgt: ffff")
            if int(caught.split()[1], 16) & bit:
                return
            time.sleep(0.01)


def _draw(text: str) -> float:
    """Return a number in [0, 1) that depends on the text alone."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def test_a_signal_ends_a_command_that_hangs(tmp_path: Path) -> None:
    """With a command that prints keys, a silent credential server, a silent STS or silent name
    servers, `plan` ends soon after either signal, and so does the command.
    """
    with _silent_server() as url, ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(_hanging, tmp_path / f"{name}-{which.name}", name, which, url)
            for name in ("command", "credentials", "sts", "names")
            for which in EXITS
        ]
        assert "".join(job.result() for job in jobs) == ""


def _hanging(folder: Path, name: str, which: signal.Signals, url: str) -> str:
    """Run one command that hangs. Return the errors."""
    folder.mkdir()
    made = Stage(folder, url)
    made.write_spec("hang")
    child = folder / "child"
    launcher: tuple[str, ...] = ROLLOUT
    environment = made.environment() | {"HOME": str(folder)}
    if name == "sts":
        environment["ROLLOUT_EMULATOR"] = "1"
    else:
        del environment["ROLLOUT_EMULATOR"], environment["ROLLOUT_ENDPOINT"]
    if name == "command":
        words = ["sh", "-c", f"sleep 90 & echo $! > {child}; wait"]
        profile = {"name": "x", "mode": "External", "process_command": shlex.join(words)}
        (folder / ".aliyun").mkdir()
        text = json.dumps({"current": "x", "profiles": [profile]})
        (folder / ".aliyun" / "config.json").write_text(text, "utf-8")
    if name == "credentials":
        environment["ALIBABA_CLOUD_CREDENTIALS_URI"] = f"{url}/keys"
    if name == "names":
        environment["ALIBABA_CLOUD_ACCESS_KEY_ID"] = "id"
        environment["ALIBABA_CLOUD_ACCESS_KEY_SECRET"] = "secret"
        launcher = (sys.executable, str(Path(__file__).with_name("slow_names.py")))
    process = subprocess.Popen(
        [*launcher, "plan", "hang.yaml"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_until_caught(process.pid)
    patience = time.monotonic() + 10
    while name == "command" and not child.exists() and time.monotonic() < patience:
        time.sleep(0.02)
    time.sleep(1.5)
    wrong = _ends_soon(process, which)
    if name == "command" and not ends(int(child.read_text("utf-8"))):
        wrong += "the command that prints keys is still there\n"
    return wrong


@contextlib.contextmanager
def _silent_server() -> Iterator[str]:
    """Yield a server that accepts connections and sends nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
