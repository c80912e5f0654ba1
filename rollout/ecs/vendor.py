"""Keys from everywhere else: CLI profile, credentials.ini, roles, OIDC, URI.

Called by the command line where no keys stand in the environment. The official library is
imported on first use, asked through its synchronous API only (its asynchronous one freezes the
loop), and its errors are told in our words: its tracebacks print whole signed URLs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.ecs.credentials import Credentials, Secret, Source
from rollout.errors import AccessError
from rollout.model.time import MINUTE, Duration, Instant

TOKEN_LIFE_MS: Duration = 10 * MINUTE
"""A token is fetched anew after at most this long; the library itself renews it before its end."""

MODES = frozenset(
    {
        "AK",
        "StsToken",
        "RamRoleArn",
        "EcsRamRole",
        "OIDC",
        "ChainableRamRoleArn",
        "CloudSSO",
        "OAuth",
        "External",
    }
)
"""Modes of a CLI profile that alibabacloud-credentials 1.0.12 reads."""

_PROFILE_VARIABLES = ("ALIBABACLOUD_PROFILE", "ALIBABA_CLOUD_PROFILE", "ALICLOUD_PROFILE")
_NOISY = ("credentials", "darabonba-core", "alibabacloud-credentials")


@dataclass(slots=True)
class VendorSource:
    """One provider of the library, made on first use."""

    name: str
    make: Callable[[Any], Any]
    blocks: bool = True
    _provider: Any = None

    def fetch(self, now: Instant) -> Credentials:
        """Ask the provider. AccessError R0402 where it has no keys."""
        try:
            if self._provider is None:
                self._provider = self.make(_library())
            found = self._provider.get_credentials()
        except Exception as error:  # noqa: BLE001 - the library raises its own and everybody's
            raise AccessError.of(
                "R0402",
                f"{self.name} gave no keys ({type(error).__name__})",
                help="`aliyun sts GetCallerIdentity` with the same source shows more",
            ) from None
        token = found.get_security_token()
        return Credentials(
            found.get_access_key_id(),
            Secret(found.get_access_key_secret()),
            Secret(token) if token else None,
            now,
            now + TOKEN_LIFE_MS if token else 0,
        )


@dataclass(slots=True)
class Chain:
    """Sources in order; the first that gives keys is used from then on."""

    sources: Sequence[Source]
    blocks: bool = True
    _chosen: Source | None = None

    @property
    def name(self) -> str:
        """The source in use; before the first fetch all that will be tried."""
        if self._chosen is not None:
            return self._chosen.name
        return " → ".join(source.name for source in self.sources)

    def fetch(self, now: Instant) -> Credentials:
        """Keys of the chosen source, or of the first that has any. AccessError R0401."""
        if self._chosen is not None:
            return self._chosen.fetch(now)
        tried = []
        for source in self.sources:
            try:
                found = source.fetch(now)
            except AccessError as error:
                tried.append(error.problems[0].message)
            else:
                self._chosen = source
                return found
        raise AccessError.of(
            "R0401",
            "no credentials were found",
            notes=tuple(tried),
            help="set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or run "
            "`aliyun configure`, or name a profile with --profile",
        )


def profile(name: str, environment: Mapping[str, str]) -> Source:
    """The named profile of the aliyun CLI and nothing else.

    Errors: AccessError R0401 where there is no such profile, R0406 for a mode the library lacks.
    """
    path = _home(environment) / ".aliyun" / "config.json"
    mode = _modes(path).get(name)
    if mode is None:
        raise AccessError.of(
            "R0401",
            f"there is no profile {name} in {path}",
            help="`aliyun configure list` shows the profiles there are",
        )
    if mode not in MODES:
        raise AccessError.of(
            "R0406",
            f"profile {name} has mode {mode}, which is not supported",
            help=f"use one of {', '.join(sorted(MODES))}, or keys in the environment",
        )
    if mode == "EcsRamRole":
        return _instance_role(
            _profiles(path)[name].get("ram_role_name"), f"profile {name} ({mode})"
        )
    return VendorSource(
        f"profile {name} ({mode})",
        lambda library: library.CLIProfileCredentialsProvider(
            profile_name=name, profile_file=str(path)
        ),
    )


def default(environment: Mapping[str, str]) -> Source:
    """Every source that is configured, in the order of the official library."""
    home = _home(environment)
    sources: list[Source] = []
    if all(environment.get(name) for name in _OIDC):
        sources.append(_oidc(environment))
    sources += _default_profile(home, environment)
    ini = Path(environment.get("ALIBABA_CLOUD_CREDENTIALS_FILE") or home / _INI)
    if ini.is_file():
        sources.append(
            VendorSource(
                "credentials.ini",
                lambda library: library.ProfileCredentialsProvider(profile_file=str(ini)),
            )
        )
    if environment.get("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "").lower() != "true":
        sources.append(_instance_role(environment.get("ALIBABA_CLOUD_ECS_METADATA"), "ECS role"))
    uri = environment.get("ALIBABA_CLOUD_CREDENTIALS_URI")
    if uri:
        sources.append(
            VendorSource("credentials URI", lambda library: library.URLCredentialsProvider(uri=uri))
        )
    return Chain(tuple(sources))


_INI = Path(".alibabacloud") / "credentials.ini"
_OIDC = (
    "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
    "ALIBABA_CLOUD_ROLE_ARN",
    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
)


def _default_profile(home: Path, environment: Mapping[str, str]) -> list[Source]:
    """The CLI's profile: the one a variable names, else its current one."""
    path = home / ".aliyun" / "config.json"
    if environment.get("ALIBABA_CLOUD_IGNORE_PROFILE", "").lower() == "true" or not path.is_file():
        return []
    named = next((environment[name] for name in _PROFILE_VARIABLES if environment.get(name)), None)
    name = named or str(_config(path).get("current", "default"))
    return [profile(name, environment)]


def _oidc(environment: Mapping[str, str]) -> Source:
    token_file, role, provider = (environment[name] for name in _OIDC)
    session = environment.get("ALIBABA_CLOUD_ROLE_SESSION_NAME") or "rollout"
    return VendorSource(
        "OIDC role",
        lambda library: library.OIDCRoleArnCredentialsProvider(
            role_arn=role,
            oidc_provider_arn=provider,
            oidc_token_file_path=token_file,
            role_session_name=session,
        ),
    )


def _instance_role(role: str | None, name: str) -> Source:
    """The role of the ECS instance we run on; without the library's background thread."""
    return VendorSource(
        name,
        lambda library: library.EcsRamRoleCredentialsProvider(
            role_name=role, async_update_enabled=False
        ),
    )


def _modes(path: Path) -> dict[str, str]:
    return {name: str(one.get("mode", "AK")) for name, one in _profiles(path).items()}


def _profiles(path: Path) -> dict[str, dict[str, Any]]:
    rows = _config(path).get("profiles", [])
    return {str(row["name"]): row for row in rows if isinstance(row, dict) and "name" in row}


def _config(path: Path) -> dict[str, Any]:
    """The CLI's file; empty where there is none. AccessError R0401 where it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise AccessError.of(
            "R0401",
            f"{path} cannot be read ({type(error).__name__})",
            help="repair it with `aliyun configure`",
        ) from None
    return found if isinstance(found, dict) else {}


def _home(environment: Mapping[str, str]) -> Path:
    home = environment.get("HOME")
    return Path(home) if home else Path.home()


def _library() -> Any:
    """The library's providers, with the handlers it installs on import taken away."""
    from alibabacloud_credentials import provider

    for name in _NOISY:
        logging.getLogger(name).handlers.clear()
    return provider
