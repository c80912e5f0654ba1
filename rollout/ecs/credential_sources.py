"""Choose the one source of credentials that the command line and the environment name.

Called by the command line before the first call. Exactly one source is chosen, by what is
configured and never by what works: another identity is never used in the place of a failing one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from rollout.ecs import cli_config, vendor
from rollout.ecs.cli_config import CliConfig
from rollout.ecs.credentials import EnvironmentSource, Source
from rollout.errors import AccessError

PROFILE_VARIABLES: Final = ("ALIBABACLOUD_PROFILE", "ALIBABA_CLOUD_PROFILE", "ALICLOUD_PROFILE")
IGNORE_VARIABLES: Final = ("ALIBABA_CLOUD_IGNORE_PROFILE", "ALIBABA_CLOUD_CLI_PROFILE_DISABLED")
OIDC_VARIABLES: Final = (
    "ALIBABA_CLOUD_ROLE_ARN",
    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
    "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
)
URI_VARIABLE: Final = "ALIBABA_CLOUD_CREDENTIALS_URI"
FILE_VARIABLE: Final = "ALIBABA_CLOUD_CREDENTIALS_FILE"
ROLE_VARIABLE: Final = "ALIBABA_CLOUD_ECS_METADATA"
NO_ROLE_VARIABLE: Final = "ALIBABA_CLOUD_ECS_METADATA_DISABLED"

OnSecret = Callable[[str], None]

_DEFAULT = "default"
_CONFIG = Path(".aliyun") / "config.json"
_INI = Path(".alibabacloud") / "credentials.ini"


def choose(
    environment: Mapping[str, str],
    profile: str | None = None,
    *,
    on_secret: OnSecret = lambda _: None,
) -> Source:
    """Return the first source that is named, in the order that docs/cli.md lists.

    `profile` is the value of `--profile`. `on_secret` is told the secrets of the chosen profile, so
    that no message of a failing service repeats them.
    Errors: AccessError R0401 where what is named does not exist or nothing is named, R0406 for an
    unsupported profile mode, R0407 for settings that are incomplete or contradict each other.
    """
    if profile is not None:
        return _profile(profile, "--profile", _config(environment), on_secret)
    return (
        _profile_of_variable(environment, on_secret)
        or _environment_keys(environment)
        or _oidc_role(environment)
        or _credentials_uri(environment)
        or _named_ini(environment)
        or _current_profile(environment, on_secret)
        or _default_ini(environment)
        or _instance_role(environment)
    )


def _profile_of_variable(environment: Mapping[str, str], on_secret: OnSecret) -> Source | None:
    """The profile that a variable names: of the CLI, else of credentials.ini."""
    named = {
        variable: environment[variable]
        for variable in PROFILE_VARIABLES
        if environment.get(variable)
    }
    if not named:
        return None
    if len(set(named.values())) > 1:
        raise _contradiction(f"{' and '.join(named)} name different profiles", "unset all but one")
    variable, name = next(iter(named.items()))
    ignoring = _ignoring(environment)
    if ignoring:
        raise _contradiction(
            f"{variable} names profile {name}, and {ignoring} says to ignore profiles",
            "unset one of the two, or use --profile",
        )
    config = _config(environment)
    if name not in config.profiles:
        ini = _ini_path(environment)
        if ini is not None and vendor.has_section(ini, name):
            return vendor.ini_section(ini, name)
    return _profile(name, variable, config, on_secret)


def _environment_keys(environment: Mapping[str, str]) -> Source | None:
    return EnvironmentSource(environment) if EnvironmentSource.is_set(environment) else None


def _oidc_role(environment: Mapping[str, str]) -> Source | None:
    """The role of a Kubernetes service account. A part of the three variables is a mistake."""
    missing = [name for name in OIDC_VARIABLES if not environment.get(name)]
    if len(missing) == len(OIDC_VARIABLES):
        return None
    if missing:
        present = [name for name in OIDC_VARIABLES if name not in missing]
        raise _contradiction(
            f"{', '.join(present)} set without {', '.join(missing)}",
            "an OIDC role needs all three variables: set them all, or none",
        )
    role, provider, token_file = (environment[name] for name in OIDC_VARIABLES)
    session = environment.get("ALIBABA_CLOUD_ROLE_SESSION_NAME") or "rollout"
    return vendor.oidc_role(role, provider, token_file, session)


def _credentials_uri(environment: Mapping[str, str]) -> Source | None:
    uri = environment.get(URI_VARIABLE)
    return vendor.credentials_uri(uri) if uri else None


def _named_ini(environment: Mapping[str, str]) -> Source | None:
    """The file that a variable names, which must exist."""
    if not environment.get(FILE_VARIABLE):
        return None
    path = Path(environment[FILE_VARIABLE])
    if not path.is_file():
        raise AccessError.of(
            "R0401",
            f"{FILE_VARIABLE} names {path}, which is not a file",
            help="correct or unset the variable",
        )
    return vendor.ini_section(path, _DEFAULT)


def _current_profile(environment: Mapping[str, str], on_secret: OnSecret) -> Source | None:
    """The profile that the CLI would use: `current`, or the one called default."""
    if _ignoring(environment):
        return None
    config = _config(environment)
    if config.current:
        return _profile(config.current, "`current`", config, on_secret)
    if _DEFAULT in config.profiles:
        return _profile(_DEFAULT, "`current`", config, on_secret)
    return None


def _default_ini(environment: Mapping[str, str]) -> Source | None:
    path = _ini_path(environment)
    return vendor.ini_section(path, _DEFAULT) if path is not None else None


def _instance_role(environment: Mapping[str, str]) -> Source:
    """The role of the instance this runs on, which is asked only where nothing else is named."""
    role = environment.get(ROLE_VARIABLE, "")
    if environment.get(NO_ROLE_VARIABLE, "").lower() == "true":
        if role:
            raise _contradiction(
                f"{ROLE_VARIABLE} names role {role}, and {NO_ROLE_VARIABLE} is true",
                "unset one of the two",
            )
        raise vendor.nothing_found(f"{NO_ROLE_VARIABLE} is true")
    return vendor.instance_role(role)


def _profile(name: str, named_by: str, config: CliConfig, on_secret: OnSecret) -> Source:
    """The named profile of the CLI, once it and every profile it takes its keys from exist."""
    seen: list[str] = []
    link = name
    while True:
        _check_profile(link, f"profile {seen[-1]}" if seen else named_by, config)
        seen.append(link)
        for secret in config.secrets(link):
            on_secret(secret)
        if config.mode(link) != "ChainableRamRoleArn":
            return vendor.cli_profile(config, name)
        link = config.text(link, "source_profile")
        if link in seen:
            raise _contradiction(
                f"the profiles {', '.join(seen)} in {config.path} refer to each other",
                "correct `source_profile`",
            )


def _check_profile(name: str, named_by: str, config: CliConfig) -> None:
    if name not in config.profiles:
        raise AccessError.of(
            "R0401",
            f"there is no profile {name} in {config.path}; it is named by {named_by}",
            help="`aliyun configure list` lists the profiles",
        )
    mode = config.mode(name)
    if mode not in vendor.MODES:
        raise AccessError.of(
            "R0406",
            f"profile {name} has mode {mode}, which is not supported",
            help=f"use one of {', '.join(sorted(vendor.MODES))}, or keys in the environment",
        )


def _ignoring(environment: Mapping[str, str]) -> str:
    """The variable that switches the CLI's profiles off; empty where none does."""
    switched = (name for name in IGNORE_VARIABLES if environment.get(name, "").lower() == "true")
    return next(switched, "")


def _config(environment: Mapping[str, str]) -> CliConfig:
    return cli_config.read(_home(environment) / _CONFIG)


def _ini_path(environment: Mapping[str, str]) -> Path | None:
    path = Path(environment.get(FILE_VARIABLE) or _home(environment) / _INI)
    return path if path.is_file() else None


def _home(environment: Mapping[str, str]) -> Path:
    """The home directory; a process without one (a bare container) has no configuration files."""
    home = environment.get("HOME")
    try:
        return Path(home) if home else Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def _contradiction(message: str, cure: str) -> AccessError:
    return AccessError.of("R0407", message, help=cure)
