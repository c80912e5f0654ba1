"""Write log lines to stderr as text or JSON, without secrets. The journal is the audit log.

Configured once by `cli.main`; `logger` returns the logger of other modules. Error messages and
crash files are redacted here too.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import MutableMapping
from typing import Any, NamedTuple, TextIO

from rollout.model.known_secrets import KnownSecrets
from rollout.model.printable import escaped, escaped_json

Event = MutableMapping[str, Any]

KNOWN = KnownSecrets()
"""Secrets of this process. Credential sources add them; all text is written without them."""

_NAME_WIDTH = 16
_MUTED = ("credentials",)
"""Libraries that log what this program reports itself; logged with --verbose only."""

_NAMED = re.compile(
    r"(?i)\b((?:access_?key_?(?:id|secret)|security_?token|secret|password|signature|credential"
    r'|authorization|x-acs-security-token|x-acs-accesskey-id)"?\s*[=:]\s*)("[^"]*"|[^\s"&,;})\]]+)'
)
_SHAPED = re.compile(
    r"\bLTAI[A-Za-z0-9]{8,}|\bSTS\.[A-Za-z0-9]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)


def hide(secret: str) -> None:
    """Remove this secret from all text from now on, in every encoding."""
    KNOWN.learn(secret)


def redact(text: str) -> str:
    """Return the text without known secrets, values of secret fields, and strings like keys."""
    return _SHAPED.sub("***", _NAMED.sub(r"\1***", KNOWN.blank(text)))


class _Settings(NamedTuple):
    """The stream and form of log lines, until the first line needs them."""

    stream: TextIO | None
    form: str
    verbose: int


class _LogFile:
    """The file that receives every line as well, if there is one."""

    stream: TextIO | None = None

    def write(self, line: str) -> None:
        """Write a line. After the first error the file is given up, with a warning on stderr."""
        if self.stream is None:
            return
        try:
            self.stream.write(line + "\n")
            self.stream.flush()
        except (OSError, ValueError) as error:
            self.stream = None
            say("log.file_lost", "warning", cause=str(error))


_FILE = _LogFile()

_settings: list[_Settings] = []
"""The settings that structlog does not have yet: its import takes a fifth of a command's start."""


def configure(stream: TextIO | None, *, form: str = "text", verbose: int = 0) -> None:
    """Send all log lines to `stream`. `verbose` 1 adds our debug lines, 2 those of libraries."""
    _settings[:] = [_Settings(stream, form, verbose)]
    root = logging.getLogger()
    root.handlers = [_Foreign(() if verbose else _MUTED)]
    root.setLevel(logging.DEBUG if verbose > 1 else logging.WARNING)


def copy_to(stream: TextIO | None) -> None:
    """Write all lines to this stream as well, in the same form; None ends that."""
    _FILE.stream = stream


def logger() -> Any:
    """Return the logger of this program, with the last settings of `configure`."""
    import structlog

    if _settings:
        stream, form, verbose = _settings.pop()
        processors: list[Any] = [
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%SZ", utc=True, key="at"),
            _name_exception,
            _as_json if form == "json" else _as_text,
            _redacted,
        ]
        structlog.configure(
            processors=processors,
            wrapper_class=structlog.make_filtering_bound_logger(
                logging.DEBUG if verbose else logging.INFO
            ),
            logger_factory=lambda *_: _Writer(stream),
            cache_logger_on_first_use=False,
        )
    return structlog.get_logger()


def say(event: str, level: str = "info", **fields: object) -> None:
    """Write one log line."""
    getattr(logger(), level)(event, **fields)


def keep(event: str, level: str = "info", **fields: object) -> None:
    """Write a line to the log file only, because stderr shows the same in another form."""
    if _FILE.stream is None:
        return
    import structlog

    logger()  # applies the settings
    getattr(structlog.wrap_logger(_Writer(None)), level)(event, **fields)


class _Writer:
    """Writes lines to the log file, and to the stream until it is closed: logs must not stop a
    run.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        _FILE.write(line)
        if self._stream is None:
            return
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None

    debug = info = warning = error = critical = msg


class _Foreign(logging.Handler):
    """Writes the lines of libraries to the same stream, except those of `muted` libraries."""

    def __init__(self, muted: tuple[str, ...]) -> None:
        super().__init__()
        self._muted = muted

    def emit(self, record: logging.LogRecord) -> None:
        if record.name in self._muted:
            return
        logger().log(record.levelno, "library", logger=record.name, message=record.getMessage())


def _name_exception(_logger: object, _method: str, event: Event) -> Event:
    """Replace an exception by its type and message, so that no traceback is printed."""
    raised = event.pop("exc_info", None)
    if isinstance(raised, BaseException):
        event["exception"] = f"{type(raised).__name__}: {raised}"
    return event


def _as_text(_logger: object, _method: str, event: Event) -> str:
    at, level, name = event.pop("at"), event.pop("level"), event.pop("event")
    level = {"warning": "WARN"}.get(level, level.upper())
    fields = " ".join(f"{key}={_quoted(value)}" for key, value in event.items())
    return f"{at} {level:<5} {name:<{_NAME_WIDTH}} {fields}".rstrip()


def _quoted(value: object) -> str:
    text = str(value)
    quoted = re.search(r'[\s"=]|^$', text) is not None
    return escaped(json.dumps(text, ensure_ascii=False) if quoted else text)


def _as_json(_logger: object, _method: str, event: Event) -> str:
    ordered = {"at": event.pop("at"), "level": event.pop("level"), "event": event.pop("event")}
    return escaped_json(json.dumps(ordered | dict(event), ensure_ascii=False, default=str))


def _redacted(_logger: object, _method: str, line: str) -> str:
    return redact(line)
