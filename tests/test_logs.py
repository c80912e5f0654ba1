"""Log lines have a fixed format and contain no secret."""

import io
import json
import logging

import pytest

from rollout import logs

KEY_ID = "LTAI5tCanaryCanary01"
TOKEN = "planted-token-4711-abcdef"


@pytest.fixture
def stream() -> io.StringIO:
    """Yield a stream that receives log lines."""
    return io.StringIO()


def test_a_text_line_has_time_level_name_and_fields(stream: io.StringIO) -> None:
    """A text line has time, level, logger name and fields in fixed columns."""
    logs.configure(stream)

    logs.logger().warning("run.halted", run="r-1", detail="two words", exit=5)

    at, rest = stream.getvalue().split(" ", 1)
    assert at.endswith("Z") and "T" in at
    assert rest == 'WARN  run.halted       run=r-1 detail="two words" exit=5\n'


def test_a_json_line_is_one_object(stream: io.StringIO) -> None:
    """With the JSON format each line is one object with the same facts."""
    logs.configure(stream, form="json")

    logs.logger().info("wave.started", wave="canary", targets=2)

    line = json.loads(stream.getvalue())
    assert line.pop("at").endswith("Z")
    assert line == {"level": "info", "event": "wave.started", "wave": "canary", "targets": 2}


@pytest.mark.parametrize("value", ["\x1b[2J", "two words\u202e", "\x85"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_control_characters_of_a_value_are_escaped(
    stream: io.StringIO, form: str, value: str
) -> None:
    """Control and bidirectional characters of a value are escaped in both formats."""
    logs.configure(stream, form=form)

    logs.logger().warning("instance.held", reason=value)

    assert stream.getvalue().rstrip("\n").isprintable()


@pytest.mark.parametrize("verbose,shown", [(0, False), (1, True)])
def test_debug_lines_need_verbose(stream: io.StringIO, verbose: int, *, shown: bool) -> None:
    """Debug lines appear only with --verbose."""
    logs.configure(stream, verbose=verbose)

    logs.logger().debug("call.sent")

    assert bool(stream.getvalue()) is shown


@pytest.fixture(autouse=True)
def _enabled_loggers() -> None:
    """Enable the loggers again: other tools of the test suite (import-linter) disable existing
    loggers.
    """
    logging.disable(logging.NOTSET)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).disabled = False


def test_lines_of_libraries_are_formatted_and_redacted(stream: io.StringIO) -> None:
    """A library's warning is formatted and redacted like a line of the program."""
    logs.configure(stream)

    logging.getLogger("a.library.of.this.test").warning("gone: %s", KEY_ID)

    assert "WARN  library" in stream.getvalue()
    assert KEY_ID not in stream.getvalue()


@pytest.mark.parametrize("verbose,shown", [(0, False), (1, True)])
def test_libraries_are_logged_on_request(stream: io.StringIO, verbose: int, *, shown: bool) -> None:
    """Libraries that repeat the program's own messages are logged only with -vv."""
    logs.configure(stream, verbose=verbose)

    logging.getLogger("credentials").error("no role")

    assert ("no role" in stream.getvalue()) is shown


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_is_named_without_its_traceback(stream: io.StringIO, form: str) -> None:
    """An exception is logged without its traceback, and its message is redacted."""
    logs.configure(stream, form=form)

    logs.logger().error("call.failed", exc_info=ValueError(f"Signature={TOKEN}"))

    assert "ValueError" in stream.getvalue()
    assert "Traceback" not in stream.getvalue()
    assert TOKEN not in stream.getvalue()


def test_a_closed_stream_does_not_stop_the_program() -> None:
    """A closed terminal does not stop a run."""
    stream = io.StringIO()
    logs.configure(stream)
    stream.close()

    logs.logger().info("wave.started")

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
def test_secrets_are_redacted(text: str) -> None:
    """Secrets are redacted in the forms in which URLs, headers, JSON and files contain them."""
    redacted = logs.redact(text)

    assert "***" in redacted
    assert TOKEN not in redacted and KEY_ID not in redacted and "NUcanary" not in redacted


def test_a_known_secret_is_redacted_in_any_context() -> None:
    """The current secret is redacted in any context."""
    logs.hide("s3cr3t-of-no-shape")

    assert logs.redact("[s3cr3t-of-no-shape]") == "[***]"


def test_other_text_is_unchanged() -> None:
    """Redaction leaves text unchanged that is not a secret."""
    text = "instance=i-1 key_pair=ops-new request_id=473469C7 signature version 3"

    assert logs.redact(text) == text
