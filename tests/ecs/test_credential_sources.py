"""The choice of credentials: exactly the named source, or an error with the reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rollout.ecs import credential_sources, vendor
from rollout.errors import AccessError, Exit

KEYS = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "env-id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "env-secret"}
OIDC = {
    "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/pod",
    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/ack",
    "ALIBABA_CLOUD_OIDC_TOKEN_FILE": "/nonexistent/token",
}
ROLE = "acs:ram::1:role/ops"
CHAINED = {"mode": "ChainableRamRoleArn", "ram_role_arn": ROLE}
URI = {"ALIBABA_CLOUD_CREDENTIALS_URI": "http://127.0.0.1:1/keys"}
NO_ROLE = {"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}
EXPIRED = {
    "name": "prod",
    "mode": "CloudSSO",
    "cloud_sso_sign_in_url": "https://signin.example/login",
    "access_token": "old-token",
    "cloud_sso_access_token_expire": 1_700_000_000,
    "cloud_sso_account_id": "1",
    "cloud_sso_access_config": "ac-1",
}


def static(name: str) -> dict[str, str]:
    """A profile of mode AK."""
    return {
        "name": name,
        "mode": "AK",
        "access_key_id": f"id-{name}",
        "access_key_secret": f"secret-{name}",
    }


def home(folder: Path, *profiles: Mapping[str, Any], current: object = None) -> dict[str, str]:
    """An environment whose home directory has a configuration of the aliyun CLI."""
    (folder / ".aliyun").mkdir(exist_ok=True)
    text = json.dumps({"current": current, "profiles": list(profiles)})
    (folder / ".aliyun" / "config.json").write_text(text, "utf-8")
    return {"HOME": str(folder)}


def write_ini(folder: Path, *sections: str) -> Path:
    """A credentials file of the SDKs at its usual path."""
    path = folder / ".alibabacloud" / "credentials.ini"
    path.parent.mkdir(exist_ok=True)
    rows = [
        f"[{name}]\ntype = access_key\naccess_key_id = ini-{name}\naccess_key_secret = ini-secret\n"
        for name in sections
    ]
    path.write_text("\n".join(rows), "utf-8")
    return path


def refused(environment: Mapping[str, str], profile: str | None = None) -> AccessError:
    """The error of choosing, or of the first fetch."""
    with pytest.raises(AccessError) as caught:
        credential_sources.choose(environment, profile).fetch(0)
    assert caught.value.exit is Exit.DENIED
    return caught.value


@pytest.mark.parametrize(
    "environment,profile",
    [
        ({}, "prod"),
        ({"ALIBABA_CLOUD_PROFILE": "prod"}, None),
        ({"ALIBABACLOUD_PROFILE": "prod"}, None),
        ({"ALICLOUD_PROFILE": "prod"}, None),
        ({}, None),
        (KEYS, "prod"),
        ({**KEYS, "ALIBABA_CLOUD_PROFILE": "prod"}, None),
        ({**OIDC, **URI, "ALIBABA_CLOUD_PROFILE": "prod"}, None),
        (URI, "prod"),
    ],
)
def test_no_other_identity_replaces_a_named_profile(
    tmp_path: Path, environment: dict[str, str], profile: str | None
) -> None:
    """A named profile that fails ends the command with its cause, whatever else has keys."""
    write_ini(tmp_path, "default")
    configured = home(tmp_path, EXPIRED, static("other"), current="prod")
    error = refused(configured | environment, profile)
    assert error.problems[0].code == "R0402"
    assert "profile prod (CloudSSO)" in str(error)
    assert "expired" in str(error)


@pytest.mark.parametrize(
    "environment,profile,named_by",
    [
        ({}, "gone", "--profile"),
        ({"ALIBABA_CLOUD_PROFILE": "gone", **KEYS}, None, "ALIBABA_CLOUD_PROFILE"),
        ({}, None, "`current`"),
    ],
)
def test_a_missing_profile_says_who_named_it(
    tmp_path: Path, environment: dict[str, str], profile: str | None, named_by: str
) -> None:
    """The error names the profile, the file and the setting that names the profile."""
    error = refused(home(tmp_path, static("one"), current="gone") | environment, profile)
    assert error.problems[0].code == "R0401"
    assert "no profile gone" in str(error)
    assert named_by in str(error) and "config.json" in str(error)


@pytest.mark.parametrize(
    "environment,chosen",
    [
        ({"ALIBABA_CLOUD_PROFILE": "two", **KEYS, **OIDC, **URI}, "profile two (AK)"),
        ({**KEYS, **OIDC, **URI}, "environment"),
        ({**OIDC, **URI}, "OIDC role"),
        ({**KEYS, "ALIBABA_CLOUD_ROLE_ARN": ROLE}, f"environment, role {ROLE}"),
        (URI, "credentials URI"),
        ({"ALIBABA_CLOUD_CREDENTIALS_FILE": "FILE"}, "credentials.ini"),
        ({}, "profile one (AK)"),
        ({"ALIBABA_CLOUD_ECS_METADATA": "role"}, "profile one (AK)"),
        ({"ALIBABA_CLOUD_IGNORE_PROFILE": "TRUE"}, "credentials.ini"),
        ({"ALIBABA_CLOUD_CLI_PROFILE_DISABLED": "true"}, "credentials.ini"),
    ],
)
def test_the_order_of_sources(tmp_path: Path, environment: dict[str, str], chosen: str) -> None:
    """The more explicit setting wins, in the order of docs/cli.md."""
    ini = write_ini(tmp_path, "default")
    configured = home(tmp_path, static("one"), static("two"), current="one")
    given = {key: str(ini) if text == "FILE" else text for key, text in environment.items()}
    assert credential_sources.choose(configured | given).name == chosen


@pytest.mark.parametrize(
    "environment,chosen",
    [({}, "instance role"), ({"ALIBABA_CLOUD_ECS_METADATA": "ops"}, "instance role ops")],
)
def test_the_instance_role_is_for_machines_that_name_nothing_else(
    tmp_path: Path, environment: dict[str, str], chosen: str
) -> None:
    """Without keys, files and profiles the role of the instance is used."""
    assert credential_sources.choose({"HOME": str(tmp_path), **environment}).name == chosen


@pytest.mark.parametrize("current", [None, "", "default"])
def test_a_configuration_without_current_uses_the_default_profile(
    tmp_path: Path, current: object
) -> None:
    """A missing, null or empty `current` means the profile called default, as in the CLI."""
    chosen = credential_sources.choose(home(tmp_path, static("default"), current=current))
    assert chosen.name == "profile default (AK)"


@pytest.mark.parametrize("text", ['{"profiles": null, "current": null}', "{}", '{"profiles": []}'])
def test_an_empty_configuration_names_nothing(tmp_path: Path, text: str) -> None:
    """A configuration without profiles is the same as none."""
    environment = home(tmp_path)
    (tmp_path / ".aliyun" / "config.json").write_text(text, "utf-8")
    assert credential_sources.choose(environment).name == "instance role"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"profiles": 7}', "\ud800"])
def test_an_unreadable_configuration_is_no_empty_one(tmp_path: Path, text: str) -> None:
    """A file that cannot be read may name a profile, so nothing else is used in its place."""
    environment = home(tmp_path)
    raw = text.encode("utf-8", "surrogatepass")
    (tmp_path / ".aliyun" / "config.json").write_bytes(raw)
    assert "cannot be read" in str(refused(environment))


@pytest.mark.parametrize(
    "environment,words",
    [
        (
            {"ALIBABA_CLOUD_ACCESS_KEY_ID": "id"},
            "set without ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        ),
        (
            {"ALIBABA_CLOUD_ACCESS_KEY_SECRET": "secret"},
            "set without ALIBABA_CLOUD_ACCESS_KEY_ID",
        ),
        (
            {"ALIBABA_CLOUD_SECURITY_TOKEN": "token"},
            "without ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        ),
        (
            {"ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/x"},
            "without ALIBABA_CLOUD_OIDC_PROVIDER_ARN, ALIBABA_CLOUD_OIDC_TOKEN_FILE",
        ),
        ({"ALIBABA_CLOUD_OIDC_TOKEN_FILE": "/t"}, "ALIBABA_CLOUD_ROLE_ARN"),
        ({"ALIBABA_CLOUD_CREDENTIALS_FILE": "/nonexistent/ini"}, "/nonexistent/ini"),
        ({"ALIBABA_CLOUD_ECS_METADATA": "ops", **NO_ROLE}, "ALIBABA_CLOUD_ECS_METADATA_DISABLED"),
        (
            {"ALIBABA_CLOUD_PROFILE": "one", "ALIBABA_CLOUD_IGNORE_PROFILE": "true"},
            "ALIBABA_CLOUD_IGNORE_PROFILE",
        ),
        ({"ALIBABA_CLOUD_PROFILE": "one", "ALICLOUD_PROFILE": "two"}, "different profiles"),
        ({**URI, "ALICLOUD_CREDENTIALS_URI": "http://127.0.0.1:2/"}, "different URIs"),
        ({"ALIBABA_CLOUD_ECS_METADATA": "a", "ALICLOUD_ECS_ROLE_NAME": "b"}, "different roles"),
        ({"ALICLOUD_ECS_ROLE_NAME": "ops", **NO_ROLE}, "ALICLOUD_ECS_ROLE_NAME names role ops"),
        ({"ALICLOUD_SHARED_CREDENTIALS_FILE": "/nonexistent/json"}, "/nonexistent/json"),
        ({"ALICLOUD_ASSUME_ROLE_ARN": ROLE}, "access keys in the environment"),
        (
            {"ALIBABACLOUD_OIDC_TOKEN_FILE": "/t", "ALIBABACLOUD_ROLE_ARN": ROLE},
            "without ALIBABACLOUD_OIDC_PROVIDER_ARN",
        ),
        (OIDC | {"ALIBABA_CLOUD_ROLE_SESSION_EXPIRATION": "1h"}, "EXPIRATION is '1h'"),
        (OIDC | {"ALIBABA_CLOUD_ROLE_SESSION_EXPIRATION": "899"}, "at least 900"),
    ],
)
def test_half_a_setting_is_an_error(
    tmp_path: Path, environment: dict[str, str], words: str
) -> None:
    """Incomplete or contradictory variables end the command; the instance role does not step in."""
    (problem,) = refused({"HOME": str(tmp_path), **environment}).problems
    assert words in f"{problem.message} {problem.help}"


def test_a_variable_may_name_a_section_of_the_credentials_file(tmp_path: Path) -> None:
    """The SDKs read ALIBABA_CLOUD_PROFILE as a section of credentials.ini."""
    write_ini(tmp_path, "default", "prod")
    environment = {"HOME": str(tmp_path), "ALIBABA_CLOUD_PROFILE": "prod"}
    assert credential_sources.choose(environment).fetch(0).access_key_id == "ini-prod"


def test_the_source_of_a_chained_profile_must_exist(tmp_path: Path) -> None:
    """A role that is assumed from another profile names the profile that is missing."""
    role = {"name": "role", **CHAINED, "source_profile": "gone"}
    error = refused(home(tmp_path, role), "role")
    assert "no profile gone" in str(error) and "profile role" in str(error)


def test_profiles_in_a_circle_are_an_error(tmp_path: Path) -> None:
    """Two profiles that refer to each other for their keys end with an error, not in a loop."""
    circle = [
        {"name": "a", **CHAINED, "source_profile": "b"},
        {"name": "b", **CHAINED, "source_profile": "a"},
    ]
    assert refused(home(tmp_path, *circle), "a").problems[0].code == "R0407"


def test_the_secrets_of_a_chosen_profile_are_known(tmp_path: Path) -> None:
    """The profile's own secrets, and those of the profiles it depends on, can be blanked."""
    role = {"name": "role", **CHAINED, "source_profile": "one"}
    told: list[str] = []
    credential_sources.choose(
        home(tmp_path, role, static("one"), static("two")), "role", on_secret=told.append
    )
    assert told == ["secret-one"]


@pytest.mark.parametrize(
    "environment,name",
    [
        ({"ALIBABACLOUD_ACCESS_KEY_ID": "old", "ALIBABACLOUD_ACCESS_KEY_SECRET": "s"}, "old"),
        ({"ALICLOUD_ACCESS_KEY_ID": "old", "ALICLOUD_ACCESS_KEY_SECRET": "s"}, "old"),
        ({"ALICLOUD_ACCESS_KEY": "old", "ALICLOUD_SECRET_KEY": "s"}, "old"),
        (KEYS | {"ALICLOUD_ACCESS_KEY": "old", "ALICLOUD_SECRET_KEY": "s"}, "env-id"),
    ],
)
def test_variables_of_older_tools_are_used_and_named(
    tmp_path: Path, environment: dict[str, str], name: str
) -> None:
    """Terraform's and older variables count after the present ones; the source names them."""
    source = credential_sources.choose({"HOME": str(tmp_path), **environment})

    assert source.fetch(0).access_key_id == name
    assert source.name == (
        "environment" if name == "env-id" else f"environment ({next(iter(environment))})"
    )


@pytest.mark.parametrize(
    "environment,name",
    [
        (URI, "credentials URI"),
        ({"ALIBABACLOUD_CREDENTIALS_URI": "u"}, "credentials URI (ALIBABACLOUD_CREDENTIALS_URI)"),
        ({"ALICLOUD_CREDENTIALS_URI": "u"}, "credentials URI (ALICLOUD_CREDENTIALS_URI)"),
        ({"ALICLOUD_ECS_ROLE_NAME": "ops"}, "instance role ops (ALICLOUD_ECS_ROLE_NAME)"),
        (OIDC, "OIDC role"),
        (
            {key.replace("BA_CLOUD", "BACLOUD"): text for key, text in OIDC.items()},
            "OIDC role (ALIBABACLOUD_ROLE_ARN)",
        ),
        (
            {key.replace("ALIBABA_", "ALI"): text for key, text in OIDC.items()},
            "OIDC role (ALICLOUD_ROLE_ARN)",
        ),
        (
            {
                "ALICLOUD_ACCESS_KEY": "id",
                "ALICLOUD_SECRET_KEY": "secret",
                "ALICLOUD_ASSUME_ROLE_ARN": ROLE,
            },
            f"environment (ALICLOUD_ACCESS_KEY), role {ROLE}",
        ),
    ],
)
def test_every_kind_of_source_has_its_older_names(
    tmp_path: Path, environment: dict[str, str], name: str
) -> None:
    """A role, a URI and an instance role are found under each prefix; the source names it."""
    assert credential_sources.choose({"HOME": str(tmp_path), **environment}).name == name


def test_terraform_may_have_the_configuration_elsewhere(tmp_path: Path) -> None:
    """ALICLOUD_SHARED_CREDENTIALS_FILE is a configuration of the aliyun CLI at another path."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    home(elsewhere, static("ops"))
    environment = {
        "HOME": str(tmp_path),
        "ALICLOUD_PROFILE": "ops",
        "ALICLOUD_SHARED_CREDENTIALS_FILE": str(elsewhere / ".aliyun" / "config.json"),
    }

    assert credential_sources.choose(environment).fetch(0).access_key_id == "id-ops"


@dataclass
class Library:
    """Records the arguments of the official library's providers."""

    made: dict[str, Any] = field(default_factory=dict)

    def _make(self, **settings: Any) -> Library:
        self.made = settings
        return self

    OIDCRoleArnCredentialsProvider = RamRoleArnCredentialsProvider = _make

    def get_credentials(self) -> StaticCredentials:
        return StaticCredentials("sts-id", "sts-secret", "sts-token")


class StaticCredentials(NamedTuple):
    """Keys as a provider of the library returns them."""

    key_id: str
    secret: str
    token: str

    def get_access_key_id(self) -> str:
        return self.key_id

    def get_access_key_secret(self) -> str:
        return self.secret

    def get_security_token(self) -> str:
        return self.token

    def get_expiration(self) -> int | None:
        return None


@pytest.mark.parametrize(
    "environment,made",
    [
        (
            OIDC
            | {
                "ALIBABA_CLOUD_ROLE_SESSION_NAME": "ci",
                "ALIBABA_CLOUD_ROLE_SESSION_EXPIRATION": "900",
            },
            {
                "role_arn": "acs:ram::1:role/pod",
                "oidc_provider_arn": "acs:ram::1:oidc-provider/ack",
                "oidc_token_file_path": "/nonexistent/token",
                "role_session_name": "ci",
                "duration_seconds": 900,
            },
        ),
        (
            KEYS
            | {
                "ALICLOUD_ASSUME_ROLE_ARN": ROLE,
                "ALICLOUD_ASSUME_ROLE_SESSION_EXPIRATION": "1800",
            },
            {
                "access_key_id": "env-id",
                "access_key_secret": "env-secret",
                "security_token": None,
                "role_arn": ROLE,
                "role_session_name": "rollout",
                "duration_seconds": 1800,
            },
        ),
    ],
)
def test_a_role_is_assumed_as_the_variables_say(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    made: dict[str, object],
) -> None:
    """Role, session name and duration reach the library, with the keys or the token file."""
    library = Library()
    monkeypatch.setattr(vendor, "_library", lambda: library)
    source = credential_sources.choose({"HOME": str(tmp_path), **environment})

    assert source.fetch(0).access_key_id == "sts-id"
    assert library.made == made


def test_names_of_two_tools_are_never_mixed(tmp_path: Path) -> None:
    """The id of one set and the secret of another are not one pair of keys."""
    mixed = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "id", "ALICLOUD_SECRET_KEY": "secret"}

    assert "without ALIBABA_CLOUD_ACCESS_KEY_SECRET" in str(
        refused({"HOME": str(tmp_path), **mixed})
    )


def test_nothing_at_all_says_what_to_set(tmp_path: Path) -> None:
    """Without any source the error lists the ways to name one."""
    error = refused({"HOME": str(tmp_path), **NO_ROLE})
    assert error.problems[0].code == "R0401"
    assert "aliyun configure" in str(error.problems[0].help)
    notes = "\n".join(map(str, error.problems[0].notes))
    for name in ("ALICLOUD_ACCESS_KEY", "ALIBABA_CLOUD_CREDENTIALS_URI", "credentials.ini"):
        assert name in notes


def test_no_home_directory_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without HOME and without a passwd entry has no configuration files."""

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    assert refused(NO_ROLE).problems[0].code == "R0401"
