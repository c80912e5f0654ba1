"""Keys that a command prints: the `process_command` of a CLI profile of mode External.

Called by `profile_modes`. The official library's own provider leaves the command running when the
program ends, and writes the keys it printed back into the CLI's configuration. This one does
neither.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shlex
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from typing import Any, Final

from rollout.ecs import wire
from rollout.errors import AccessError
from rollout.model import secrecy
from rollout.model.phrase import Wording, say
from rollout.model.time import SECOND

TIMEOUT_S: Final = 60.0
"""How long a command may take, as in the official library."""
END_S: Final = 0.5
"""How long commands may take to end on SIGTERM before SIGKILL."""

_LINE_LENGTH_MAX: Final = 200


@dataclass(frozen=True, slots=True, repr=False)
class Printed:
    """Keys that a command printed, with the methods that the official library calls."""

    key_id: str
    secret: str
    token: str | None
    expires_at_s: int | None = None

    def get_access_key_id(self) -> str:
        """Return the AccessKey id."""
        return self.key_id

    def get_access_key_secret(self) -> str:
        """Return the AccessKey secret."""
        return self.secret

    def get_security_token(self) -> str | None:
        """Return the security token; None for long-term keys."""
        return self.token

    def get_expiration(self) -> int | None:
        """Return when the keys expire, in seconds since the epoch; None if that is not known."""
        return self.expires_at_s

    def get_provider_name(self) -> str:
        """Return the name that the library prints."""
        return "external"


@dataclass(frozen=True, slots=True)
class ExternalProvider:
    """Runs the command for each set of keys. It gets no terminal and no input."""

    name: str
    command: str
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    """The environment at the start of the program. `profile_modes` changes the proxies in the
    environment for the library.
    """

    def get_credentials(self) -> Printed:
        """Run the command and read its output. AccessError R0402 with the cause."""
        output = self._output()
        try:
            found = json.loads(output)
        except (ValueError, RecursionError):
            raise self._failed(say("its command printed no JSON")) from None
        if not isinstance(found, dict):
            raise self._failed(say("its command printed no JSON object"))
        return self._printed(found)

    def _printed(self, found: dict[str, Any]) -> Printed:
        names = ("access_key_id", "access_key_secret", "sts_token")
        key_id, secret, token = (str(found.get(name) or "") for name in names)
        needed = names if found.get("mode") == "StsToken" else names[:2]
        missing = [name for name in needed if not found.get(name)]
        if missing:
            raise self._failed(
                say("its command printed no {missing}", missing=" and no ".join(missing))
            )
        expires_at = wire.parse_iso(str(found.get("expiration") or ""))
        return Printed(key_id, secret, token or None, expires_at // SECOND if expires_at else None)

    def _output(self) -> bytes:
        """Return the output. AccessError if the command cannot run, fails or is too slow."""
        try:
            process = _start(shlex.split(self.command), self.environment)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise self._failed(say("its command cannot be run: {why}", why=why)) from None
        try:
            output, complaint = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise self._failed(
                say("its command took more than {seconds:.0f} s", seconds=TIMEOUT_S)
            ) from None
        finally:
            _end(process)
        if process.returncode != 0:
            lines = complaint.decode(errors="replace").strip().splitlines()
            line = f": {secrecy.masked(lines[0])[:_LINE_LENGTH_MAX]}" if lines else ""
            raise self._failed(
                say(
                    "its command ended with exit {exit}{line}",
                    exit=process.returncode,
                    line=line,
                )
            )
        return output

    def _failed(self, why: Wording) -> AccessError:
        return AccessError.of(
            "R0402",
            say("{name} gave no keys: {why}", name=self.name, why=why),
            help=say("run the profile's `process_command` by hand"),
        )


_running: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()
_ending = False


def _start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a command in a new session, so that it can be ended with all its children."""
    if not command:
        raise ValueError("`process_command` is empty")
    with _lock:
        if _ending:
            raise OSError("the program is ending")
        process = subprocess.Popen(  # noqa: S603 - the operator's own configuration
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        _running.add(process)
        return process


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command that may still run, and its children."""
    if process.poll() is None:
        _signal(process, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    with _lock:
        _running.discard(process)


@atexit.register
def end_all() -> None:
    """End all commands that still run, and start no more. Takes at most a second."""
    global _ending  # noqa: PLW0603 - there is one process
    if not _lock.acquire(timeout=END_S):
        return
    try:
        _ending = True
        left = [process for process in _running if process.poll() is None]
        for process in left:
            _signal(process, signal.SIGTERM)
        for process in left:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_S / len(left))
            _signal(process, signal.SIGKILL)
    finally:
        _lock.release()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal the process group that a command leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
