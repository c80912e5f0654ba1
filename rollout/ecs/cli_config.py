"""Reader of the aliyun CLI's configuration file, `~/.aliyun/config.json`.

Called by `credential_sources`. Reads names and settings; it neither writes the file nor uses a key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rollout.errors import AccessError
from rollout.model.phrase import Wording, say

FOLDER: Final = ".aliyun"
"""The directory of the CLI's files in a home directory."""
PROFILE_VARIABLES: Final = ("ALIBABACLOUD_PROFILE", "ALIBABA_CLOUD_PROFILE", "ALICLOUD_PROFILE")
FILE_VARIABLE: Final = "ALICLOUD_SHARED_CREDENTIALS_FILE"
"""A variable of Terraform's provider that may name another file."""

MODES: Final = (
    "AK",
    "StsToken",
    "RamRoleArn",
    "EcsRamRole",
    "RsaKeyPair",
    "RamRoleArnWithRoleName",
    "ChainableRamRoleArn",
    "External",
    "CredentialsURI",
    "OIDC",
    "CloudSSO",
    "OAuth",
    "BearerToken",
    "Anonymous",
)
"""The modes of profiles, as the CLI writes them."""

_KEYS: Final = ("access_key_id", "access_key_secret")
_RECOGNIZED: Final = (
    ("StsToken", (*_KEYS, "sts_token")),
    ("RamRoleArn", (*_KEYS, "ram_role_arn")),
    ("AK", _KEYS),
    ("RsaKeyPair", ("private_key", "key_pair_name")),
    ("EcsRamRole", ("ram_role_name",)),
    ("External", ("process_command",)),
    ("OIDC", ("oidc_provider_arn", "oidc_token_file", "ram_role_arn")),
    ("CloudSSO", ("cloud_sso_sign_in_url",)),
    ("BearerToken", ("bearer_token",)),
)
"""Modes of profiles without a mode, by their fields (`AutoModeRecognition` of the CLI)."""
_SECRET_FIELD = re.compile(r"secret$|token$|private_key$|password$")


@dataclass(frozen=True, slots=True, repr=False)
class CliConfig:
    """The profiles of one file by name. `current` is empty where the file names none."""

    path: Path
    profiles: Mapping[str, Mapping[str, Any]]
    current: str = ""

    def text(self, profile: str, field: str) -> str:
        """Return one field of a profile as text, empty where it is missing or null."""
        value = self.profiles[profile].get(field)
        return "" if value is None else str(value)

    def secrets(self, profile: str) -> tuple[str, ...]:
        """Return the texts of a profile that must not be shown: keys and tokens of all kinds."""
        names = (name for name in self.profiles[profile] if _SECRET_FIELD.search(name))
        return tuple(text for text in (self.text(profile, name) for name in names) if text)

    def mode(self, profile: str) -> str:
        """Return the mode of a profile as the CLI writes it; the CLI reads it in any case, and
        recognizes a missing one by the fields of the profile.
        """
        named = self.text(profile, "mode")
        if named:
            return next((one for one in MODES if one.lower() == named.lower()), named)
        for mode, fields in _RECOGNIZED:
            if all(self.text(profile, field) for field in fields):
                return mode
        return "AK"


def home(environment: Mapping[str, str]) -> Path:
    """Return the home directory; a process without one (a bare container) has no configuration."""
    named = environment.get("HOME")
    try:
        return Path(named) if named else Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def path(environment: Mapping[str, str]) -> Path:
    """Return the path of the file, which may not exist."""
    named = environment.get(FILE_VARIABLE)
    return Path(named).expanduser() if named else home(environment) / FOLDER / "config.json"


def read(path: Path) -> CliConfig:
    """Return the file's content, without profiles where there is no file.

    Errors: AccessError R0401 where the file cannot be read or is not the CLI's JSON.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return CliConfig(path, {})
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, type(error).__name__) from None
    if not isinstance(found, dict):
        raise _unreadable(path, say("not a JSON object"))
    rows = found.get("profiles") or []
    if not isinstance(rows, list):
        raise _unreadable(path, say("`profiles` is not a list"))
    profiles = {str(row["name"]): row for row in rows if isinstance(row, dict) and row.get("name")}
    return CliConfig(path, profiles, str(found.get("current") or ""))


def _unreadable(path: Path, why: Wording) -> AccessError:
    return AccessError.of(
        "R0401",
        say("{path} cannot be read ({why})", path=path, why=why),
        help=say("repair the file with `aliyun configure`"),
    )
