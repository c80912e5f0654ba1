"""Refused and lost calls before a run, as errors with a cause and a check."""

import pytest

from rollout import logs
from rollout.ecs import causes, refusal, replies, verdict
from rollout.errors import CODES
from rollout.model.outcome import Refused, RetryClass, Unknown

HTML = Unknown(verdict.PROXY, message="(tried 3 times in 20 s)")


@pytest.mark.parametrize(
    "outcome,code,said,check",
    [
        (
            HTML,
            "R0412",
            "a proxy or gateway answered instead (tried 3 times",
            "check the prox",
        ),
        (Unknown("http_502"), "R0412", "HTTP 502 Bad Gateway without an error of the", "try again"),
        (Unknown("http_599"), "R0412", "HTTP 599 without an error of the API", "try again later"),
        (
            Unknown("ServiceUnavailable", "REQ", message="try later"),
            "R0411",
            "ServiceUnavailable try later",
            "try again later",
        ),
        (
            Refused("tls", RetryClass.UNSENT, "tls: ecs.example.test"),
            "R0410",
            "the TLS handshake failed: ecs.example.test",
            "--endpoint",
        ),
        (Refused("dns", RetryClass.UNSENT), "R0410", "the host name was not found", "resolution"),
        (Refused("breaker_open", RetryClass.UNSENT, "paused"), "R0410", "breaker_open paused", ""),
        (
            Refused("Forbidden.RAM", RetryClass.DENIED, "no", "REQ"),
            "R0403",
            "Forbidden.RAM no",
            "grant ecs:DescribeInstances to",
        ),
    ],
)
def test_an_error_says_what_answered_and_what_to_check(
    outcome: Refused | Unknown, code: str, said: str, check: str
) -> None:
    """Short reasons are spelled out; an error of the service itself never blames a proxy."""
    (problem,) = refusal.explain(outcome, "DescribeInstances", "cn-hangzhou").problems

    assert problem.code == code
    assert problem.message.startswith("DescribeInstances at cn-hangzhou: ")
    assert said in problem.message
    assert check in (problem.help or "")
    assert "proxy" not in (problem.help or "") or "R0412" in code or "R0410" in code


def test_every_reason_of_the_client_is_spelled_out() -> None:
    """No short reason reaches a person, and each leads to an existing code."""
    reasons = {verdict.PROXY, verdict.REDIRECT, replies.DRY_RUN_IGNORED, *causes._CAUSES}
    found = [causes.explain(reason) for reason in reasons]

    assert all(one is not None and one.code in CODES and one.check for one in found)


def test_redaction_leaves_every_reason_readable() -> None:
    """A reason is printed before the host, and no word of it makes the host resemble a secret."""
    lines = [f"{cause.text}: ecs.example:443; {cause.check}" for cause in causes._CAUSES.values()]

    assert [logs.redact(line) for line in lines] == lines
