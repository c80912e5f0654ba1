"""The pydantic models of the gates of a spec, and the checks of their values.

Used by `models`. Headers contain references to secrets, never a secret.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from rollout.model import limits, time
from rollout.model.address import is_loopback
from rollout.model.gate import COMPARISON
from rollout.model.phrase import say
from rollout.specfile.fields import Duration, PositiveDuration, Text, fault
from rollout.specfile.form import Form

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_REFERENCE = r"(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"


def _url(text: str) -> str:
    """Return the text if it is a URL of HTTP without a user, a password or a fragment."""
    hint = say("write `https://HOST/PATH`")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise fault("R0133", say("this is not a URL"), hint) from None
    if parts.username is not None or parts.password is not None:
        hint = say("put the credentials in `headers` as `env:NAME` or `file:PATH`")
        raise fault("R0134", say("the URL contains a user or a password"), hint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise fault("R0133", say("this is not a URL of http or https"), hint)
    if re.search(r"[\s\x00-\x1f\x7f]", text):
        raise fault("R0133", say("a URL contains no white space"), hint)
    return text


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if _HEADER.fullmatch(name) is None:
            raise fault(
                "R0133", say("this is not the name of a header"), say("write `Authorization`")
            )
        if re.fullmatch(_REFERENCE, value) is None:
            hint = say("write `env:NAME` for a variable or `file:PATH` for the content of a file")
            message = say("the value of the header `{name}` is no reference to a secret", name=name)
            raise fault("R0134", message, hint, at=(name,))
    return headers


def _jmespath(text: str) -> str:
    import jmespath
    from jmespath.exceptions import ParseError

    try:
        jmespath.compile(text)
    except (ParseError, ValueError) as error:
        offset = getattr(error, "lex_position", None) or 0
        hint = say(
            "an expression is written like `status` or `length(alerts)`: https://jmespath.org"
        )
        raise fault(
            "R0133", say("this is not a JMESPath expression"), hint, offset=offset
        ) from None
    return text


def _comparison(text: str) -> str:
    if re.fullmatch(COMPARISON, text) is None:
        hint = say("write an operator and a number, such as `< 0.01` or `== 0`")
        raise fault("R0133", say("this is not a comparison"), hint)
    return text


def _timeout(text: str) -> str:
    if time.parse_duration(text) > limits.GATE_TIMEOUT_MAX_MS:
        most = time.format_duration(limits.GATE_TIMEOUT_MAX_MS)
        raise fault(
            "R0107", say("the timeout of a gate is at most {most}", most=most), say("write `10s`")
        )
    return text


Url = Annotated[str, AfterValidator(_url), Field(json_schema_extra={"format": "uri"})]
Headers = Annotated[
    dict[str, str],
    AfterValidator(_headers),
    Field(
        json_schema_extra={"additionalProperties": {"type": "string", "pattern": f"^{_REFERENCE}$"}}
    ),
]
Expression = Annotated[str, Field(min_length=1), AfterValidator(_jmespath)]
Comparison = Annotated[
    str, AfterValidator(_comparison), Field(json_schema_extra={"pattern": f"^{COMPARISON}$"})
]
Variable = Annotated[str, Field(pattern=f"^{_VARIABLE}$")]
Scalar = bool | int | float | str


class _GateForm(Form):
    timeout: Annotated[PositiveDuration, AfterValidator(_timeout)] = time.format_duration(
        limits.GATE_TIMEOUT_MS
    )
    """Without an answer after this time the gate is shut; at most 1m."""
    every: Duration = "0s"
    """Interval during a bake, which a shut answer restarts; 0s: it is asked only after the bake."""
    wait_at_most: Duration = time.format_duration(limits.GATE_WAIT_MS)
    """The run halts if the gate does not open within this time after its first shut answer."""


class _FetchForm(_GateForm):
    headers: Headers = {}
    """Headers of the request; each value is `env:NAME` or `file:PATH`, never a secret itself."""

    def check_headers(self, url: str) -> Self:
        """Refuse to send secrets unencrypted to another host."""
        parts = urlsplit(url)
        if self.headers and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            hint = say("write an https URL, or remove `headers`")
            raise fault("R0134", say("headers with secrets would be sent unencrypted"), hint)
        return self


class HttpGateForm(_FetchForm):
    """A gate that an HTTP request opens."""

    http: Url
    """URL to GET. Redirects to other hosts are not followed."""
    expect: Annotated[int, Field(ge=200, le=599)] = 200
    """Status that opens the gate; all others keep it shut."""
    query: Expression = ""
    """JMESPath expression over the JSON body; needs `equals`."""
    equals: Scalar = ""
    """Value of `query` that opens the gate: text, a number, `true` or `false`."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if bool(self.query) is not ("equals" in self.model_fields_set):
            hint = say(
                "`query` selects a value of the body, `equals` is the value that opens the gate"
            )
            raise fault("R0133", say("a gate has both `query` and `equals`, or neither"), hint)
        return self.check_headers(self.http)


class ExecGateForm(_GateForm):
    """A gate that a program opens by exiting with 0."""

    exec: Annotated[list[Text], Field(min_length=1)]
    """Program and arguments, without a shell. It runs in the current directory."""
    env: list[Variable] = []
    """Names of variables that the program gets in addition to PATH, HOME, LANG and TZ."""


class PrometheusGateForm(_FetchForm):
    """A gate that a query of Prometheus opens."""

    prometheus: Url
    """Base URL of the server, without `/api/v1`."""
    query: Text
    """PromQL expression, evaluated at the moment of the request. No data keeps the gate shut."""
    wanted: Annotated[Comparison, Field(alias="is")]
    """Comparison that every series must satisfy, such as `< 0.01`. NaN satisfies none."""

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        return self.check_headers(self.prometheus)


_KINDS = ("http", "exec", "prometheus")


def _kind(value: Any) -> str | None:
    named = [kind for kind in _KINDS if isinstance(value, dict) and kind in value]
    return f"{named[0].capitalize()}Gate" if named else None


GateForm = Annotated[
    Annotated[HttpGateForm, Tag("HttpGate")]
    | Annotated[ExecGateForm, Tag("ExecGate")]
    | Annotated[PrometheusGateForm, Tag("PrometheusGate")],
    Discriminator(
        _kind,
        custom_error_type="R0133",
        custom_error_message="a gate has one of `http`, `exec` and `prometheus`",
        custom_error_context={
            "message": "a gate has one of `http`, `exec` and `prometheus`",
            "help": "write for example `- http: https://HOST/PATH`",
        },
    ),
]

Gates = Annotated[list[GateForm], Field(min_length=1, max_length=limits.GATES_MAX)]
