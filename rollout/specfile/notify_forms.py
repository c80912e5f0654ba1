"""The form of `notify`: who is notified about a run.

Part of the models of a spec. URLs of robots are credentials, so only references to them are read.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from rollout.model.address import is_loopback
from rollout.model.notify import NoticeFormat, NoticeKind, NoticeLang, NoticeReceiver
from rollout.model.phrase import say
from rollout.specfile.fields import fault
from rollout.specfile.form import Form

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00-\x1f\x7f]+")
_ROBOTS = ("dingtalk.com", "feishu.cn", "larksuite.com", "slack.com")
_KINDS = tuple(kind.value for kind in NoticeKind)


def _receiver(text: str) -> str:
    if _REFERENCE.fullmatch(text):
        return text
    hint = say("write `env:NAME` or `file:PATH`, whose value is the URL")
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        raise fault("R0168", say("this is neither a reference nor a URL"), hint) from None
    if parts.scheme not in ("http", "https") or not host:
        raise fault("R0168", say("this is neither a reference nor a URL"), hint)
    if any(host == one or host.endswith(f".{one}") for one in _ROBOTS):
        raise fault("R0168", say("the URL of a robot at {host} is a credential", host=host), hint)
    if parts.query or parts.fragment or parts.username is not None or parts.password is not None:
        raise fault("R0168", say("a URL with parameters or a password may be a credential"), hint)
    if parts.scheme == "http" and not is_loopback(host):
        raise fault("R0168", say("the URL is not encrypted"), say("write `https://`"))
    return text


def _secret(text: str) -> str:
    if text and not _REFERENCE.fullmatch(text):
        hint = say("write `env:NAME` or `file:PATH`: a spec contains no secret")
        raise fault("R0168", say("`secret` is not a reference"), hint)
    return text


class NotifyForm(Form):
    """A chat or a webhook that gets messages about the run."""

    to: Annotated[str, AfterValidator(_receiver), Field(examples=["env:DINGTALK_OPS"])]
    """`env:NAME` or `file:PATH` with the URL as value; or the URL of a webhook without secrets."""
    on: Annotated[
        list[Literal["started", "wave", "gate", "halted", "closed", "*"]], Field(min_length=1)
    ] = ["*"]
    """Kinds of messages: `started`, `wave`, `gate`, `halted`, `closed`, or all of them (`*`)."""
    format: Annotated[NoticeFormat, Field(strict=False)] = NoticeFormat.AUTO
    """Form of the requests; `auto` is guessed from the host of the URL."""
    secret: Annotated[str, AfterValidator(_secret), Field(examples=["env:HOOK_SECRET"])] = ""
    """`env:NAME` or `file:PATH` with the secret that signs the requests."""
    lang: Annotated[NoticeLang, Field(strict=False)] = NoticeLang.EN
    """Language of texts for chats."""

    @model_validator(mode="after")
    def _signable(self) -> Self:
        if self.secret and self.format is NoticeFormat.SLACK:
            hint = say("leave it out: the URL of a Slack webhook is the credential")
            raise fault("R0168", say("Slack verifies no signature"), hint, at=("secret",))
        return self

    def built(self) -> NoticeReceiver:
        """Return the receiver of this form."""
        kinds = _KINDS if "*" in self.on else [kind for kind in _KINDS if kind in self.on]
        return NoticeReceiver(
            self.to, tuple(NoticeKind(kind) for kind in kinds), self.format, self.secret, self.lang
        )
