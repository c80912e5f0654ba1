"""Every mode of a profile of the aliyun CLI: its keys, or the reason and the way out."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rollout.ecs import cli_config, credential_sources, profile_modes, vendor
from rollout.ecs.external import ExternalProvider
from rollout.errors import AccessError, Exit

FUTURE = 4_000_000_000
KEYS = {"access_key_id": "id", "access_key_secret": "secret"}
ROLE = {"ram_role_arn": "acs:ram::1:role/ops"}
STATIC = ("StaticAKCredentialsProvider", KEYS)
STATIC_STS = ("StaticSTSCredentialsProvider", KEYS | {"security_token": "token"})
INSTANCE = (
    "EcsRamRoleCredentialsProvider",
    {"role_name": "ecs-role", "async_update_enabled": False},
)
NO_STS = {"sts_region_id": None, "enable_vpc": None}


def assumed(keys: object, **changes: object) -> tuple[str, dict[str, object]]:
    """The provider that assumes the role with other keys."""
    usual = {
        "credentials_provider": keys,
        "role_arn": ROLE["ram_role_arn"],
        "role_session_name": "rollout",
        "duration_seconds": None,
        "policy": None,
        "external_id": None,
    }
    return "RamRoleArnCredentialsProvider", usual | NO_STS | changes


CLOUD_SSO = {
    "cloud_sso_sign_in_url": "https://signin.example/login",
    "cloud_sso_account_id": "1",
    "cloud_sso_access_config": "ac-1",
    "access_token": "token",
    "cloud_sso_access_token_expire": FUTURE,
}
OIDC = ROLE | {"oidc_provider_arn": "acs:ram::1:oidc-provider/ack", "oidc_token_file": "/t"}

PROFILES: list[tuple[str, dict[str, Any], tuple[str, dict[str, Any]]]] = [
    ("AK", KEYS, STATIC),
    ("StsToken", KEYS | {"sts_token": "token"}, STATIC_STS),
    ("RamRoleArn", KEYS | ROLE, assumed(STATIC)),
    ("RamRoleArn", KEYS | ROLE | {"sts_token": "token"}, assumed(STATIC_STS)),
    (
        "RamRoleArn",
        KEYS
        | ROLE
        | {
            "ram_session_name": "ci",
            "expired_seconds": 900,
            "external_id": "partner",
            "sts_region": "cn-beijing",
            "enable_vpc": True,
        },
        assumed(
            STATIC,
            role_session_name="ci",
            duration_seconds=900,
            external_id="partner",
            sts_region_id="cn-beijing",
            enable_vpc=True,
        ),
    ),
    ("EcsRamRole", {"ram_role_name": "ecs-role"}, INSTANCE),
    ("EcsRamRole", {}, (INSTANCE[0], INSTANCE[1] | {"role_name": None})),
    ("RamRoleArnWithRoleName", ROLE | {"ram_role_name": "ecs-role"}, assumed(INSTANCE)),
    (
        "RsaKeyPair",
        {"private_key": "key.pem", "key_pair_name": "pair"},
        (
            "RsaKeyPairCredentialsProvider",
            {"public_key_id": "pair", "private_key_file": "key.pem", "duration_seconds": None}
            | NO_STS,
        ),
    ),
    ("ChainableRamRoleArn", ROLE | {"source_profile": "source"}, assumed(STATIC)),
    (
        "CredentialsURI",
        {"credentials_uri": "http://127.0.0.1:1/keys"},
        ("URLCredentialsProvider", {"uri": "http://127.0.0.1:1/keys"}),
    ),
    (
        "OIDC",
        OIDC | {"ram_session_name": "ci"},
        (
            "OIDCRoleArnCredentialsProvider",
            {
                "role_arn": ROLE["ram_role_arn"],
                "oidc_provider_arn": OIDC["oidc_provider_arn"],
                "oidc_token_file_path": "/t",
                "role_session_name": "ci",
                "duration_seconds": None,
                "policy": None,
            }
            | NO_STS,
        ),
    ),
    (
        "CloudSSO",
        CLOUD_SSO,
        (
            "CloudSSOCredentialsProvider",
            {
                "sign_in_url": CLOUD_SSO["cloud_sso_sign_in_url"],
                "account_id": "1",
                "access_config": "ac-1",
                "access_token": "token",
                "access_token_expire": FUTURE,
            },
        ),
    ),
    ("OAuth", {"oauth_site_type": "CN"}, ("CLIProfileCredentialsProvider", {})),
]


class Library:
    """A library whose providers are their names and arguments."""

    def __getattr__(self, name: str) -> Any:
        return lambda **given: (name, given)


def config_of(
    folder: Path, mode: str, fields: Mapping[str, Any], **more: Any
) -> cli_config.CliConfig:
    """A configuration with the profiles `one` and `source`."""
    (folder / ".aliyun").mkdir(exist_ok=True)
    path = folder / ".aliyun" / "config.json"
    one = {"name": "one", "mode": mode, **fields, **more}
    source = {"name": "source", "mode": "AK", **KEYS}
    path.write_text(json.dumps({"current": "one", "profiles": [one, source]}), "utf-8")
    return cli_config.read(path)


def test_the_table_has_every_mode_of_the_cli() -> None:
    """A mode is supported or has a way out, and each has a test here."""
    assert tuple(profile_modes.MODES) == cli_config.MODES
    for mode in profile_modes.MODES.values():
        assert (mode.make is None) is bool(mode.way_out)
    supported = {name for name, mode in profile_modes.MODES.items() if mode.make is not None}
    assert supported == {mode for mode, _, _ in PROFILES} | {"External"}


@pytest.mark.parametrize("mode,fields,made", PROFILES)
def test_each_mode_has_its_provider(
    tmp_path: Path, mode: str, fields: dict[str, Any], made: tuple[str, dict[str, Any]]
) -> None:
    """The fields of the profile reach the provider of the official library."""
    config = config_of(tmp_path, mode, fields)
    name, given = profile_modes.provider(Library(), config, "one")

    assert (name, given) == made or (name == made[0] and mode == "OAuth")
    assert profile_modes.missing(config, "one") == []


def test_a_command_is_run_by_our_own_provider(tmp_path: Path) -> None:
    """The library's provider of mode External writes the printed keys into the CLI's file."""
    config = config_of(tmp_path, "External", {"process_command": "print-keys"})

    assert isinstance(profile_modes.provider(Library(), config, "one"), ExternalProvider)


@pytest.mark.parametrize("mode,fields,made", PROFILES)
def test_the_library_accepts_the_arguments(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    fields: dict[str, Any],
    made: tuple[str, object],
) -> None:
    """The real library makes each provider, calls nothing and starts no thread."""
    monkeypatch.chdir(tmp_path)
    Path("key.pem").write_text("not a real key")
    config = config_of(tmp_path, mode, fields)
    threads = threading.active_count()
    provider = profile_modes.provider(vendor._library(), config, "one")

    assert type(provider).__name__ == made[0]
    assert threading.active_count() == threads


@pytest.mark.parametrize("mode,fields,made", PROFILES)
def test_a_field_that_is_missing_is_named(
    tmp_path: Path, mode: str, fields: dict[str, Any], made: object
) -> None:
    """An incomplete profile is R0407 when it is chosen, before the library is imported; the fix is
    the CLI's command for this mode.
    """
    for field in profile_modes.MODES[mode].fields:
        config_of(tmp_path, mode, {name: fields[name] for name in fields if name != field})
        with pytest.raises(AccessError, match=field) as caught:
            credential_sources.choose({"HOME": str(tmp_path)})
        (problem,) = caught.value.problems
        assert (problem.code, caught.value.exit) == ("R0407", Exit.DENIED)
        assert f"--profile one --mode {mode}" in str(problem.help)


@pytest.mark.parametrize(
    "mode,cure", [("BearerToken", "OAuth"), ("Anonymous", "role"), ("Unheard", "CloudSSO, OAuth")]
)
def test_an_unsupported_mode_has_a_way_out(tmp_path: Path, mode: str, cure: str) -> None:
    """R0406 names the mode and what to use instead of it."""
    config_of(tmp_path, mode, {"bearer_token": "token"})
    with pytest.raises(AccessError, match=mode) as caught:
        credential_sources.choose({"HOME": str(tmp_path)})

    assert caught.value.problems[0].code == "R0406"
    assert cure in str(caught.value.problems[0].help)


def test_an_unsupported_mode_at_the_end_of_a_chain_is_found(tmp_path: Path) -> None:
    """A role cannot be assumed with a bearer token."""
    config = config_of(tmp_path, "ChainableRamRoleArn", ROLE | {"source_profile": "source"})
    text = config.path.read_text().replace('"mode": "AK"', '"mode": "BearerToken"')
    config.path.write_text(text)

    with pytest.raises(AccessError, match="profile source has mode BearerToken"):
        credential_sources.choose({"HOME": str(tmp_path)})


def test_a_role_is_assumed_from_a_role(tmp_path: Path) -> None:
    """A chain of three profiles: keys, a role, and a role of another account."""
    (tmp_path / ".aliyun").mkdir()
    path = tmp_path / ".aliyun" / "config.json"
    profiles = [
        {"name": "keys", "mode": "AK", **KEYS},
        {"name": "hub", "mode": "ChainableRamRoleArn", "source_profile": "keys", **ROLE},
        {
            "name": "spoke",
            "mode": "ChainableRamRoleArn",
            "source_profile": "hub",
            "ram_role_arn": "acs:ram::2:role/ops",
        },
    ]
    path.write_text(json.dumps({"profiles": profiles}))

    made = profile_modes.provider(Library(), cli_config.read(path), "spoke")
    assert made == assumed(assumed(STATIC), role_arn="acs:ram::2:role/ops")
    source = credential_sources.choose({"HOME": str(tmp_path)}, "spoke")
    assert source.name == "profile spoke (ChainableRamRoleArn)"


@pytest.mark.parametrize(
    "mode,fields,recognized",
    [
        ("ak", KEYS, "AK"),
        ("STSTOKEN", KEYS, "StsToken"),
        ("ramRoleArnWithRoleName", {}, "RamRoleArnWithRoleName"),
        ("", {}, "AK"),
        ("", KEYS, "AK"),
        ("", KEYS | {"sts_token": "token"} | ROLE, "StsToken"),
        ("", KEYS | ROLE, "RamRoleArn"),
        ("", {"private_key": "k", "key_pair_name": "p"}, "RsaKeyPair"),
        ("", {"ram_role_name": "ecs-role"}, "EcsRamRole"),
        ("", {"process_command": "c"}, "External"),
        ("", OIDC, "OIDC"),
        ("", CLOUD_SSO, "CloudSSO"),
        ("", {"bearer_token": "t"}, "BearerToken"),
    ],
)
def test_a_mode_is_read_as_the_cli_reads_it(
    tmp_path: Path, mode: str, fields: dict[str, Any], recognized: str
) -> None:
    """In any case; without a mode, by the fields of the profile."""
    assert config_of(tmp_path, mode, fields).mode("one") == recognized
