"""The modes of a profile of the aliyun CLI: the fields of each, and the provider of the official
library that gets its keys.

Called by `vendor` and `credential_sources`. Sources: of modes and fields, `config/profile.go` of
aliyun/aliyun-cli; of providers, alibabacloud-credentials 1.0.12. The library reads such profiles
itself, but starts a thread for each instance role, ignores some fields and lacks some modes.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from rollout.ecs.cli_config import CliConfig
from rollout.ecs.external import ExternalProvider

SESSION: Final = "rollout"
"""Name of a role's session where the profile names none. ActionTrail shows it."""

Make = Callable[[Any, CliConfig, str], Any]
"""Makes a provider from the library, the configuration and the name of a profile."""


class Mode(NamedTuple):
    """One mode. `fields` must have a value. Without `make` the mode is not supported, and
    `way_out` says what to use.
    """

    fields: tuple[str, ...] = ()
    make: Make | None = None
    way_out: str = ""


def provider(library: Any, config: CliConfig, name: str) -> Any:
    """Return the provider of a profile whose mode is supported, and of all it depends on."""
    make = MODES[config.mode(name)].make
    assert make is not None  # noqa: S101 - checked when the profile was chosen
    return make(library, config, name)


def missing(config: CliConfig, name: str) -> list[str]:
    """Return the fields that a profile of a known mode lacks."""
    return [field for field in MODES[config.mode(name)].fields if not config.text(name, field)]


def instance_role(library: Any, role: str | None) -> Any:
    """Return the provider for the role of this ECS instance, without a background thread."""
    return library.EcsRamRoleCredentialsProvider(role_name=role, async_update_enabled=False)


def _keys(library: Any, config: CliConfig, name: str) -> Any:
    return library.StaticAKCredentialsProvider(
        access_key_id=config.text(name, "access_key_id"),
        access_key_secret=config.text(name, "access_key_secret"),
    )


def _token(library: Any, config: CliConfig, name: str) -> Any:
    return library.StaticSTSCredentialsProvider(
        access_key_id=config.text(name, "access_key_id"),
        access_key_secret=config.text(name, "access_key_secret"),
        security_token=config.text(name, "sts_token"),
    )


def _role_of_keys(library: Any, config: CliConfig, name: str) -> Any:
    """The role is assumed with the keys of the profile, which may be those of another role."""
    keys = _token if config.text(name, "sts_token") else _keys
    return _role(library, config, name, keys(library, config, name))


def _role_of_instance(library: Any, config: CliConfig, name: str) -> Any:
    keys = instance_role(library, config.text(name, "ram_role_name") or None)
    return _role(library, config, name, keys)


def _role_of_profile(library: Any, config: CliConfig, name: str) -> Any:
    source = config.text(name, "source_profile")
    return _role(library, config, name, provider(library, config, source))


def _role(library: Any, config: CliConfig, name: str, keys: Any) -> Any:
    """Return the provider that assumes the profile's role with the keys of another provider."""
    row = config.profiles[name]
    return library.RamRoleArnCredentialsProvider(
        credentials_provider=keys,
        role_arn=config.text(name, "ram_role_arn"),
        role_session_name=config.text(name, "ram_session_name") or SESSION,
        duration_seconds=row.get("expired_seconds") or None,
        policy=row.get("policy"),
        external_id=row.get("external_id"),
        **_sts(config, name),
    )


def _oidc(library: Any, config: CliConfig, name: str) -> Any:
    """The library's own reader looks for the session's name where the CLI does not write it."""
    row = config.profiles[name]
    return library.OIDCRoleArnCredentialsProvider(
        role_arn=config.text(name, "ram_role_arn"),
        oidc_provider_arn=config.text(name, "oidc_provider_arn"),
        oidc_token_file_path=config.text(name, "oidc_token_file"),
        role_session_name=config.text(name, "ram_session_name") or SESSION,
        duration_seconds=row.get("expired_seconds") or None,
        policy=row.get("policy"),
        **_sts(config, name),
    )


def _key_file(library: Any, config: CliConfig, name: str) -> Any:
    return library.RsaKeyPairCredentialsProvider(
        public_key_id=config.text(name, "key_pair_name"),
        private_key_file=config.text(name, "private_key"),
        duration_seconds=config.profiles[name].get("expired_seconds") or None,
        **_sts(config, name),
    )


def _cloud_sso(library: Any, config: CliConfig, name: str) -> Any:
    row = config.profiles[name]
    return library.CloudSSOCredentialsProvider(
        sign_in_url=config.text(name, "cloud_sso_sign_in_url"),
        account_id=config.text(name, "cloud_sso_account_id"),
        access_config=config.text(name, "cloud_sso_access_config"),
        access_token=config.text(name, "access_token"),
        access_token_expire=row.get("cloud_sso_access_token_expire") or 0,
    )


def _own_reader(library: Any, config: CliConfig, name: str) -> Any:
    """The library reads the profile itself, and writes renewed tokens back to the file."""
    return library.CLIProfileCredentialsProvider(profile_name=name, profile_file=str(config.path))


def _command(_: Any, config: CliConfig, name: str) -> Any:
    return ExternalProvider(f"profile {name} (External)", config.text(name, "process_command"))


def _sts(config: CliConfig, name: str) -> dict[str, Any]:
    row = config.profiles[name]
    return {"sts_region_id": row.get("sts_region"), "enable_vpc": row.get("enable_vpc")}


_KEYS: Final = ("access_key_id", "access_key_secret")
_SSO: Final = ("cloud_sso_sign_in_url", "cloud_sso_account_id", "cloud_sso_access_config")

MODES: Final = MappingProxyType(
    {
        "AK": Mode(_KEYS, _keys),
        "StsToken": Mode((*_KEYS, "sts_token"), _token),
        "RamRoleArn": Mode((*_KEYS, "ram_role_arn"), _role_of_keys),
        "EcsRamRole": Mode((), lambda library, config, name: instance_role(
            library, config.text(name, "ram_role_name") or None)),
        "RsaKeyPair": Mode(("private_key", "key_pair_name"), _key_file),
        "RamRoleArnWithRoleName": Mode(("ram_role_arn",), _role_of_instance),
        "ChainableRamRoleArn": Mode(("source_profile", "ram_role_arn"), _role_of_profile),
        "External": Mode(("process_command",), _command),
        "CredentialsURI": Mode(("credentials_uri",), lambda library, config, name: (
            library.URLCredentialsProvider(uri=config.text(name, "credentials_uri")))),
        "OIDC": Mode(("oidc_provider_arn", "oidc_token_file", "ram_role_arn"), _oidc),
        "CloudSSO": Mode(_SSO, _cloud_sso),
        "OAuth": Mode(("oauth_site_type",), _own_reader),
        "BearerToken": Mode(
            way_out="ECS accepts signed calls only: log in with `aliyun configure --mode OAuth` or "
            "`--mode CloudSSO`, or use a role"
        ),
        "Anonymous": Mode(
            way_out="ECS accepts no calls without an identity: use a profile with keys or a role"
        ),
    }
)  # fmt: skip
"""All modes that the CLI knows, by the name that the CLI writes. It accepts any case."""
