"""The form of `verify`: how logins prove that the new key is in force.

Part of the models of a spec. Holds references to identities, never keys.
"""

from __future__ import annotations

import re
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from rollout.model import limits, time, verify
from rollout.model.phrase import say
from rollout.specfile.fields import PositiveDuration, Text, fault
from rollout.specfile.form import Form

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_IDENTITY = r"^(agent|file:.+)$"
_VIA = r"^([A-Za-z_][A-Za-z0-9_.-]{0,31}@)?[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:[1-9]\d{0,4})?$"
_TIMEOUT = time.format_duration(limits.LOGIN_TIMEOUT_MS)


def _user(text: str) -> str:
    if not _USER.fullmatch(text):
        raise fault(
            "R0145",
            say("`{text}` cannot be a login user", text=text[:80]),
            say("write `root` or `ecs-user`"),
        )
    return text


def _identity(text: str) -> str:
    if not re.fullmatch(_IDENTITY, text):
        hint = say("write `agent`, or `file:` and the path of a private key")
        raise fault("R0145", say("`{text}` does not name an identity", text=text[:80]), hint)
    return text


def _via(text: str) -> str:
    if text and not re.fullmatch(_VIA, text):
        hint = say("write `host`, `user@host` or `user@host:port`")
        raise fault("R0145", say("`{text}` does not name a jump host", text=text[:80]), hint)
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        hint = say("write a URL such as `https://health.internal/{{instance}}`")
        raise fault("R0145", say("`{text}` is not an http or https URL", text=text[:80]), hint)
    if parts.password is not None:
        hint = say("a plan holds no secret: let the service accept requests without one")
        raise fault("R0145", say("a URL with a password"), hint)
    return text


class SshForm(Form):
    """A login by SSH to each instance after its restart."""

    user: Annotated[str, AfterValidator(_user), Field(examples=["root", "ecs-user"])]
    """Login user of the instances."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 22
    """Port of the SSH server."""
    identity: Annotated[
        str, AfterValidator(_identity), Field(json_schema_extra={"pattern": _IDENTITY})
    ] = verify.AGENT
    """Where the private half of the new key is: `agent`, or `file:PATH`. It is never stored."""
    via: Annotated[str, AfterValidator(_via), Field(examples=["ops@bastion.prod:22"])] = ""
    """Jump host to the instances, as `[user@]host[:port]`."""
    expect_old_key_refused: bool = True
    """Whether the former key must be refused. It must be in the SSH agent."""
    timeout: PositiveDuration = _TIMEOUT
    """How long after its boot an instance may take until the login succeeds."""
    address: Annotated[verify.AddressKind, Field(strict=False)] = verify.AddressKind.PRIVATE
    """Address to connect to: `private`, or `public` (an elastic address counts as public)."""


class HttpForm(Form):
    """An HTTP request about each instance after its restart."""

    url: Annotated[str, AfterValidator(_url)]
    """URL of a GET request; `{instance}` and `{address}` in it are replaced."""
    expect: Annotated[int, Field(ge=100, le=599)] = 200
    """Status that the reply must have."""
    timeout: PositiveDuration = _TIMEOUT
    """How long after its boot an instance may take until the reply is as expected."""


class CommandForm(Form):
    """A program on this machine that checks each instance after its restart."""

    argv: Annotated[list[Text], Field(min_length=1)]
    """Program and arguments; `{instance}` and `{address}` are replaced. No shell is involved."""
    timeout: PositiveDuration = _TIMEOUT
    """How long after its boot an instance may take until the program exits with 0."""


class VerifyForm(Form):
    """Probes that each instance must pass after its restart, in addition to the API's evidence."""

    ssh: SshForm = SshForm(user="unset")
    """A login with the new key."""
    http: Annotated[list[HttpForm], Field(min_length=1)] = []
    """HTTP requests about each instance."""
    command: Annotated[list[CommandForm], Field(min_length=1)] = []
    """Programs that check each instance."""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            hint = say("write `ssh`, `http` or `command`, or leave out `verify`")
            raise fault("R0105", say("`verify` has no probe"), hint)
        return self

    def built(self) -> verify.Verify:
        """Return the probes of this form."""
        return verify.Verify(
            _ssh(self.ssh) if "ssh" in self.model_fields_set else None,
            tuple(
                verify.HttpHook(one.url, one.expect, time.parse_duration(one.timeout))
                for one in self.http
            ),
            tuple(
                verify.CommandHook(tuple(one.argv), time.parse_duration(one.timeout))
                for one in self.command
            ),
        )


def _ssh(form: SshForm) -> verify.SshLogin:
    return verify.SshLogin(
        user=form.user,
        port=form.port,
        identity=form.identity,
        via=form.via,
        expect_old_key_refused=form.expect_old_key_refused,
        timeout_ms=time.parse_duration(form.timeout),
        address=form.address,
    )
