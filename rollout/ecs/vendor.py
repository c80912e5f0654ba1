"""Credentials that the official library reads: profiles, roles, files, URI.

Called by `credential_sources`. The library is imported on first use and called through its
synchronous API only (the asynchronous one blocks the event loop). Its errors are converted, because
its tracebacks print whole signed URLs.
"""

from __future__ import annotations

import configparser
import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple

from rollout.ecs import causes, contract, endpoints, profile_modes, proxies
from rollout.ecs.cli_config import CliConfig
from rollout.ecs.credentials import Credentials, KeysUnavailableError, Secret, Source
from rollout.errors import AccessError
from rollout.model import secrecy
from rollout.model.phrase import Wording, say
from rollout.model.time import MINUTE, SECOND, Duration, Instant

TOKEN_LIFE_MS: Duration = 10 * MINUTE
"""Time until a token without an expiry is fetched again."""

SESSION_S: Final = 3600
SESSION_S_MIN: Final = 900
"""Default and least duration of a role's session (`DurationSeconds` of STS AssumeRole)."""

_SEARCHED: Final = (
    "--profile, ALIBABA_CLOUD_PROFILE (ALIBABACLOUD_PROFILE, ALICLOUD_PROFILE): not set",
    "ALIBABA_CLOUD_ACCESS_KEY_ID (ALIBABACLOUD_…, ALICLOUD_…, ALICLOUD_ACCESS_KEY): not set",
    "ALIBABA_CLOUD_ROLE_ARN with its OIDC variables (ALIBABACLOUD_…, ALICLOUD_…): not set",
    "ALIBABA_CLOUD_CREDENTIALS_URI (ALIBABACLOUD_…, ALICLOUD_…): not set",
    "~/.aliyun/config.json: names no profile; ~/.alibabacloud/credentials.ini: not there",
)
STS_REGION_VARIABLE: Final = "ALIBABA_CLOUD_STS_REGION"
STS_VPC_VARIABLE: Final = "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED"
_PROXY_VARIABLES: Final = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy")
_NOISY = ("credentials", "darabonba-core", "alibabacloud-credentials")
_CAUSE_LENGTH_MAX: Final = 200
_HTTP_CODE = re.compile(r"(?:http_?code|status code)[=:]\s*(\d+)", re.IGNORECASE)
_SERVICE_CODE = re.compile(r'"Code"\s*:\s*"([\w.]+)"')
_REPLY = re.compile(r"(?:result|response|token): |\n")
"""In the library's messages, the reply of a service follows this."""
_SIGNING_TIME: Final = "InvalidTimeStamp."
"""Codes of STS for a time outside the 15 minutes in which a signature is valid."""
_TRY_CLI: Final = "`aliyun sts GetCallerIdentity` with the same credentials shows more"
_BEHIND_PROXY: Final = (
    "check for a proxy that replaces certificates: behind a proxy the official library ignores "
    "SSL_CERT_FILE; add the STS host to NO_PROXY, or use keys that need no role"
)
_NETWORK_SIGNS: Final = (
    ("CERTIFICATE_VERIFY_FAILED", "certificate"),
    ("Tunnel connection failed: 407", "proxy_login"),
    ("Tunnel connection failed", "proxy_refused"),
    ("ProxyError", "proxy_unreachable"),
    ("NameResolutionError", "dns"),
    ("SSLError", "tls"),
    ("Connection refused", "refused"),
)
"""Messages of the library's HTTP client (requests, urllib3) for failed connections, in order of
precedence, and the transport's reason for the same."""
_TIMEOUT = re.compile(r"timed? ?out", re.IGNORECASE)
_LOST: Final = "RetryError"
"""What the library calls every failed connection."""
_FINAL: Final = "R0402"
_UNREACHED: Final = "R0410"
_FAILED: Final = "R0411"
"""The codes of a provider's failures. All but the first may not last."""
_BUSY: Final = frozenset({contract.ErrorClass.THROTTLED, contract.ErrorClass.TRANSIENT})


class Failure(NamedTuple):
    """Why a provider gave no keys, what to check, and the error code."""

    cause: Wording
    check: Wording
    code: str


class RoleSession(NamedTuple):
    """The name of a role's session in STS, and how long its keys are valid."""

    name: str
    seconds: int


@dataclass(slots=True)
class VendorSource:
    """One provider of the library, created on first use."""

    name: str
    make: Callable[[Any], Any]
    blocks: bool = True
    _provider: Any = None

    def fetch(self, now: Instant) -> Credentials:
        """Return the provider's keys.

        Errors, with the cause: KeysUnavailableError R0410 if the provider cannot reach its service,
        and R0411 if that service has failed or is busy; AccessError R0402 for all others.
        """
        try:
            if self._provider is None:
                self._provider = self.make(_library())
            with _our_proxies():
                found = self._provider.get_credentials()
        except AccessError:
            raise
        except Exception as error:  # noqa: BLE001 - the library raises its own errors and any other
            why = _failure(error)
            kind = AccessError if why.code == _FINAL else KeysUnavailableError
            raise kind.of(
                why.code,
                say("{name} gave no keys: {cause}", name=self.name, cause=why.cause),
                help=why.check,
            ) from None
        token = found.get_security_token()
        return Credentials(
            found.get_access_key_id() or "",
            Secret(found.get_access_key_secret() or ""),
            Secret(token) if token else None,
            now,
            _expiry(found, now),
        )


@dataclass(slots=True)
class LastResort:
    """The instance role if nothing is named; most machines have none, so its error is our own."""

    source: Source
    blocks: bool = True

    @property
    def name(self) -> str:
        """The name of the source itself."""
        return self.source.name

    def fetch(self, now: Instant) -> Credentials:
        """Return the source's keys. AccessError R0401 where it has none."""
        try:
            return self.source.fetch(now)
        except AccessError as error:
            raise nothing_found(error.problems[0].message) from None


def use_sts(endpoint: str) -> None:
    """Let roles get their keys from this STS endpoint, if it is one of a region, unless a variable
    or the profile names another. Call it before the first fetch: the library reads the variables
    when it is imported.
    """
    region, vpc = endpoints.sts_region(endpoint)
    if region:
        os.environ.setdefault(STS_REGION_VARIABLE, region)
        os.environ.setdefault(STS_VPC_VARIABLE, str(vpc).lower())


def nothing_found(why: Wording) -> AccessError:
    """Return the error for an environment that names no credentials."""
    return AccessError.of(
        "R0401",
        say("no credentials were found"),
        notes=(*_SEARCHED, why),
        help=say(
            "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or run "
            "`aliyun configure`, or name a profile with --profile"
        ),
    )


def cli_profile(config: CliConfig, name: str) -> Source:
    """Return the source of a CLI profile that exists, with all profiles it depends on."""
    return VendorSource(
        f"profile {name} ({config.mode(name)})",
        lambda library: profile_modes.provider(library, config, name),
    )


def oidc_role(name: str, role: str, provider: str, token_file: str, session: RoleSession) -> Source:
    """Return the source that exchanges a Kubernetes service account token for a role."""
    return VendorSource(
        name,
        lambda library: library.OIDCRoleArnCredentialsProvider(
            role_arn=role,
            oidc_provider_arn=provider,
            oidc_token_file_path=token_file,
            role_session_name=session.name,
            duration_seconds=session.seconds,
        ),
    )


def assumed_role(role: str, keys: Source, session: RoleSession) -> Source:
    """Return the source that assumes a role with other keys."""

    def make(library: Any) -> Any:
        own = keys.fetch(0)
        return library.RamRoleArnCredentialsProvider(
            access_key_id=own.access_key_id,
            access_key_secret=own.secret.reveal(),
            security_token=own.token.reveal() if own.token is not None else None,
            role_arn=role,
            role_session_name=session.name,
            duration_seconds=session.seconds,
        )

    return VendorSource(f"{keys.name}, role {role}", make)


def credentials_uri(name: str, uri: str) -> Source:
    """Return the source that reads keys from a URI."""
    return VendorSource(name, lambda library: library.URLCredentialsProvider(uri=uri))


def ini_section(path: Path, section: str) -> Source:
    """Return the source of one section of an SDK credentials file."""
    name = "credentials.ini" if section == "default" else f"credentials.ini [{section}]"
    return VendorSource(
        name,
        lambda library: library.ProfileCredentialsProvider(
            profile_file=str(path), profile_name=section
        ),
    )


def has_section(path: Path, section: str) -> bool:
    """Return whether an SDK credentials file has this section; False where it cannot be read."""
    parser = configparser.ConfigParser()
    try:
        return bool(parser.read(path, encoding="utf-8")) and parser.has_section(section)
    except (OSError, ValueError, configparser.Error):
        return False


def instance_role(name: str, role: str) -> Source:
    """Return the source of the instance's role; `role` is empty where none is named."""
    source = VendorSource(name, lambda library: profile_modes.instance_role(library, role or None))
    return source if role else LastResort(source)


def _expiry(found: Any, now: Instant) -> Instant:
    """Return when a provider's keys expire; 0 if they do not. The library counts in seconds."""
    seconds = found.get_expiration()
    if seconds:
        return int(seconds) * SECOND
    return now + TOKEN_LIFE_MS if found.get_security_token() else 0


def _failure(error: Exception) -> Failure:
    """Return why a provider failed, in one line, what to check, and the error code. Only the
    library's own messages are repeated, without the replies in them; other errors contain whole
    signed URLs.
    """
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename} cannot be read ({error.strerror})"
        return Failure(text, "check the path", _FINAL)
    text, kind = str(error), type(error).__name__
    http, service = _HTTP_CODE.search(text), _SERVICE_CODE.search(text)
    if http is not None:
        return _reply(int(http[1]), service[1] if service is not None else "")
    if kind in ("CredentialException", "ValueError"):
        message = secrecy.masked(_REPLY.split(text)[0].strip())[:_CAUSE_LENGTH_MAX]
        return Failure(message, _TRY_CLI, _FINAL)
    reason = next((reason for sign, reason in _NETWORK_SIGNS if sign in text), "")
    known = causes.explain(reason)
    if known is not None:
        text = f"calling the credential service: {known.text}"
        if reason == "certificate":
            return Failure(text, _BEHIND_PROXY, _FINAL)
        return Failure(text, known.check, _UNREACHED)
    if _TIMEOUT.search(text):
        return Failure(f"no reply in time ({kind})", _TRY_CLI, _UNREACHED)
    return Failure(kind, _TRY_CLI, _UNREACHED if kind == _LOST else _FINAL)


def _reply(status: int, code: str) -> Failure:
    """Return what an error reply of the credential service means."""
    if code.startswith(_SIGNING_TIME):
        cause = say(
            "the credential service refused the signing time (HTTP {status} {code}): this "
            "machine's clock is wrong",
            status=status,
            code=code,
        )
        check = say("set this machine's clock (NTP): the official library signs with its time")
        return Failure(cause, check, _FINAL)
    text = f"the credential service returned HTTP {status} {code}".rstrip()
    busy = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    if busy or contract.error_class(code) in _BUSY:
        return Failure(text, _TRY_CLI, _FAILED)
    return Failure(text, _TRY_CLI, _FINAL)


@contextlib.contextmanager
def _our_proxies() -> Iterator[None]:
    """Let the library use the same proxies as the transport.

    It reads HTTP_PROXY and HTTPS_PROXY at each call, but not NO_PROXY. Its plain http calls are for
    this machine and its metadata service, which no proxy reaches.
    """
    former = {name: os.environ.pop(name) for name in _PROXY_VARIABLES if name in os.environ}
    try:
        if proxies.read(former | os.environ).to(_sts_host()) is not None:
            os.environ["HTTPS_PROXY"] = proxies.chosen(former | os.environ)
        yield
    finally:
        os.environ.pop("HTTPS_PROXY", None)
        os.environ.update(former)


def _sts_host() -> str:
    """Return the host where the library calls STS, unless a profile names another region."""
    kind = "sts-vpc" if os.environ.get(STS_VPC_VARIABLE, "").lower() == "true" else "sts"
    region = os.environ.get(STS_REGION_VARIABLE)
    return f"{kind}.{region}.{endpoints.DOMAIN}" if region else f"sts.{endpoints.DOMAIN}"


def _library() -> Any:
    """Import the library's providers and remove the handlers that it installs."""
    from alibabacloud_credentials import provider

    for name in _NOISY:
        logging.getLogger(name).handlers.clear()
    return provider
