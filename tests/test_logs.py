"""Log lines: their form, and that no secret passes."""

import io
import json
import logging

import pytest
import structlog

from rollout import logs

KEY_ID = "LTAI5tCanaryCanary01"
TOKEN = "planted-token-4711-abcdef"


@pytest.fixture
def stream() -> io.StringIO:
    """A place that log lines go to."""
    return io.StringIO()


def test_a_text_line_has_time_level_name_and_fields(stream: io.StringIO) -> None:
    """People and grep find the same columns in every line."""
    logs.configure(stream)

    structlog.get_logger().warning("run.halted", run="r-1", detail="two words", exit=5)

    at, rest = stream.getvalue().split(" ", 1)
    assert at.endswith("Z") and "T" in at
    assert rest == 'WARN  run.halted       run=r-1 detail="two words" exit=5\n'


def test_a_json_line_is_one_object(stream: io.StringIO) -> None:
    """Collectors read the same facts as JSON, one object a line."""
    logs.configure(stream, form="json")

    structlog.get_logger().info("wave.started", wave="canary", targets=2)

    line = json.loads(stream.getvalue())
    assert line.pop("at").endswith("Z")
    assert line == {"level": "info", "event": "wave.started", "wave": "canary", "targets": 2}


@pytest.mark.parametrize("value", ["\x1b[2J", "two words\u202e", "\x85"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_value_cannot_steer_the_terminal(stream: io.StringIO, form: str, value: str) -> None:
    """Control and bidirectional characters of a value are spelled in both forms."""
    logs.configure(stream, form=form)

    structlog.get_logger().warning("instance.held", reason=value)

    assert stream.getvalue().rstrip("\n").isprintable()


@pytest.mark.parametrize("verbose,seen", [(0, False), (1, True)])
def test_debug_lines_need_verbose(stream: io.StringIO, verbose: int, *, seen: bool) -> None:
    """What only developers want is not in the way."""
    logs.configure(stream, verbose=verbose)

    structlog.get_logger().debug("call.sent")

    assert bool(stream.getvalue()) is seen


@pytest.fixture(autouse=True)
def _loggers_speak() -> None:
    """Other tools of the suite (import-linter) disable every logger that exists by then."""
    logging.disable(logging.NOTSET)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).disabled = False


def test_lines_of_libraries_enter_the_same_stream(stream: io.StringIO) -> None:
    """A library's warning has our form and passes our redaction."""
    logs.configure(stream)

    logging.getLogger("a.library.of.this.test").warning("gone: %s", KEY_ID)

    assert "WARN  library" in stream.getvalue()
    assert KEY_ID not in stream.getvalue()


@pytest.mark.parametrize("verbose,heard", [(0, False), (1, True)])
def test_chatty_libraries_are_heard_on_request(
    stream: io.StringIO, verbose: int, *, heard: bool
) -> None:
    """What we report ourselves is not said twice, unless somebody wants to know."""
    logs.configure(stream, verbose=verbose)

    logging.getLogger("credentials").error("no role")

    assert ("no role" in stream.getvalue()) is heard


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_is_named_without_its_traceback(stream: io.StringIO, form: str) -> None:
    """A traceback never reaches a terminal, and what it would show is redacted."""
    logs.configure(stream, form=form)

    structlog.get_logger().error("call.failed", exc_info=ValueError(f"Signature={TOKEN}"))

    assert "ValueError" in stream.getvalue()
    assert "Traceback" not in stream.getvalue()
    assert TOKEN not in stream.getvalue()


def test_a_closed_stream_stops_nothing() -> None:
    """A terminal that went away never stops a run."""
    stream = io.StringIO()
    logs.configure(stream)
    stream.close()

    structlog.get_logger().info("wave.started")

    assert stream.closed


@pytest.mark.parametrize(
    "text",
    [
        f"id {KEY_ID} was used",
        f"https://sts.example/?AccessKeyId={KEY_ID}&Signature={TOKEN}&x=1",
        f'{{"AccessKeySecret": "{TOKEN}", "SecurityToken":"{TOKEN}"}}',
        f"x-acs-security-token: {TOKEN}",
        f"password={TOKEN}",
        f'secret="two words {TOKEN}"',
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{TOKEN}\n-----END OPENSSH PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{TOKEN}",
        "STS.NUcanaryCANARY12345",
    ],
)
def test_secrets_are_blanked(text: str) -> None:
    """Every shape a secret takes in URLs, headers, JSON and files is blanked."""
    redacted = logs.redact(text)

    assert "***" in redacted
    assert TOKEN not in redacted and KEY_ID not in redacted and "NUcanary" not in redacted


def test_a_known_secret_is_blanked_in_any_surroundings() -> None:
    """A secret that we hold is never printed, whatever stands around it."""
    logs.hide("s3cr3t-of-no-shape")

    assert logs.redact("[s3cr3t-of-no-shape]") == "[***]"


def test_ordinary_words_stay() -> None:
    """Redaction does not eat what operators must read."""
    text = "instance=i-1 key_pair=ops-new request_id=473469C7 signature version 3"

    assert logs.redact(text) == text
