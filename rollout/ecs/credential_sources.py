"""Choose the source of credentials that the options and the environment name.

Called before the first API call. The configuration alone decides: a failing source is never
replaced by another identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rollout.ecs import cli_config, profile_modes, vendor
from rollout.ecs.cli_config import CliConfig
from rollout.ecs.credentials import EnvironmentSource, Source
from rollout.errors import AccessError
from rollout.model.phrase import Wording, say

PREFIXES: Final = ("ALIBABA_CLOUD_", "ALIBABACLOUD_", "ALICLOUD_")
"""Prefixes of current SDKs, of older versions of the aliyun CLI, and of Terraform and Ansible."""
IGNORE_VARIABLES: Final = ("ALIBABA_CLOUD_IGNORE_PROFILE", "ALIBABA_CLOUD_CLI_PROFILE_DISABLED")
URI_VARIABLES: Final = tuple(f"{prefix}CREDENTIALS_URI" for prefix in PREFIXES)
FILE_VARIABLE: Final = "ALIBABA_CLOUD_CREDENTIALS_FILE"
ECS_ROLE_VARIABLES: Final = ("ALIBABA_CLOUD_ECS_METADATA", "ALICLOUD_ECS_ROLE_NAME")
NO_ECS_ROLE_VARIABLE: Final = "ALIBABA_CLOUD_ECS_METADATA_DISABLED"


class RoleVariables(NamedTuple):
    """One set of variables that name a role and how to assume it."""

    role: str
    provider: str
    token_file: str
    session: str
    seconds: str

    def oidc(self) -> tuple[str, str, str]:
        """Return the three variables that an OIDC role needs."""
        return self.role, self.provider, self.token_file


ROLE_VARIABLES: Final = tuple(
    RoleVariables(
        f"{prefix}{infix}ROLE_ARN",
        f"{prefix}OIDC_PROVIDER_ARN",
        f"{prefix}OIDC_TOKEN_FILE",
        f"{prefix}{infix}ROLE_SESSION_NAME",
        f"{prefix}{infix}ROLE_SESSION_EXPIRATION",
    )
    for prefix, infix in (*((prefix, "") for prefix in PREFIXES), ("ALICLOUD_", "ASSUME_"))
)
"""In the order in which they count. The last set is that of Terraform's provider."""

OnSecret = Callable[[str], None]

_DEFAULT = "default"
_INI = Path(".alibabacloud") / "credentials.ini"


def choose(
    environment: Mapping[str, str],
    profile: str | None = None,
    *,
    on_secret: OnSecret = lambda _: None,
) -> Source:
    """Return the first source that is named, in the order that docs/cli.md lists.

    `profile` is the value of `--profile`. `on_secret` receives the secrets of the chosen profile,
    so that messages of a failing service are masked.
    Errors: AccessError R0401 if the named source does not exist or none is named, R0406 for an
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
    """Return the profile that a variable names: of the CLI, else of credentials.ini."""
    variable, name = _named(environment, cli_config.PROFILE_VARIABLES, "profiles")
    if not name:
        return None
    ignoring = _ignoring(environment)
    if ignoring:
        raise _contradiction(
            say(
                "{variable} names profile {name}, and {ignoring} says to ignore profiles",
                variable=variable,
                name=name,
                ignoring=ignoring,
            ),
            say("unset one of the two, or use --profile"),
        )
    config = _config(environment)
    if name not in config.profiles:
        ini = _ini_path(environment)
        if ini is not None and vendor.has_section(ini, name):
            return vendor.ini_section(ini, name)
    return _profile(name, variable, config, on_secret)


def _named(environment: Mapping[str, str], names: Sequence[str], what: str) -> tuple[str, str]:
    """Return the first of these variables with a value, and the value; they must not differ."""
    found = {name: environment[name] for name in names if environment.get(name)}
    if len(set(found.values())) > 1:
        raise _contradiction(
            say("{variables} name different {what}", variables=", ".join(found), what=what),
            say("unset all but one"),
        )
    return next(iter(found.items()), (names[0], ""))


def _environment_keys(environment: Mapping[str, str]) -> Source | None:
    """Return the keys of the environment, or the role that is assumed with them."""
    if not EnvironmentSource.is_set(environment):
        return None
    keys = EnvironmentSource(environment)
    names = _role_variables(environment)
    if names is None or environment.get(names.provider) or environment.get(names.token_file):
        return keys  # a Kubernetes service account has its role in any case
    return vendor.assumed_role(environment[names.role], keys, _session(environment, names))


def _oidc_role(environment: Mapping[str, str]) -> Source | None:
    """Return the role of a Kubernetes service account. One or two of the variables are an error."""
    names = _role_variables(environment)
    if names is None:
        return None
    missing = [name for name in names.oidc() if not environment.get(name)]
    if missing:
        present = [name for name in names.oidc() if name not in missing]
        raise _contradiction(
            say(
                "{present} set without {missing}",
                present=", ".join(present),
                missing=", ".join(missing),
            ),
            say(
                "an OIDC role needs all three variables, any other role access keys in the "
                "environment"
            ),
        )
    role, provider, token_file = (environment[name] for name in names.oidc())
    source = _noted("OIDC role", names.role, ROLE_VARIABLES[0].role)
    return vendor.oidc_role(source, role, provider, token_file, _session(environment, names))


def _role_variables(environment: Mapping[str, str]) -> RoleVariables | None:
    """Return the first set that has a variable with a value."""
    return next(
        (names for names in ROLE_VARIABLES if any(environment.get(name) for name in names.oidc())),
        None,
    )


def _session(environment: Mapping[str, str], names: RoleVariables) -> vendor.RoleSession:
    """Return the name and the duration of a role's session."""
    text = environment.get(names.seconds) or str(vendor.SESSION_S)
    if not (text.isdecimal() and int(text) >= vendor.SESSION_S_MIN):
        raise _contradiction(
            say("{variable} is {text!r}", variable=names.seconds, text=text),
            say(
                "set it to a number of seconds, at least {least}",
                least=vendor.SESSION_S_MIN,
            ),
        )
    return vendor.RoleSession(environment.get(names.session) or "rollout", int(text))


def _credentials_uri(environment: Mapping[str, str]) -> Source | None:
    variable, uri = _named(environment, URI_VARIABLES, "URIs")
    name = _noted("credentials URI", variable, URI_VARIABLES[0])
    return vendor.credentials_uri(name, uri) if uri else None


def _named_ini(environment: Mapping[str, str]) -> Source | None:
    path = _file_of(environment, FILE_VARIABLE)
    return vendor.ini_section(path, _DEFAULT) if path is not None else None


def _current_profile(environment: Mapping[str, str], on_secret: OnSecret) -> Source | None:
    """Return the profile that the CLI would use: `current`, or `default`."""
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
    """Return the role of this instance, used only if nothing else is named."""
    variable, role = _named(environment, ECS_ROLE_VARIABLES, "roles")
    if environment.get(NO_ECS_ROLE_VARIABLE, "").lower() == "true":
        if role:
            raise _contradiction(
                say(
                    "{variable} names role {role}, and {switch} is true",
                    variable=variable,
                    role=role,
                    switch=NO_ECS_ROLE_VARIABLE,
                ),
                say("unset one of the two"),
            )
        raise vendor.nothing_found(say("{switch} is true", switch=NO_ECS_ROLE_VARIABLE))
    name = _noted(f"instance role {role}".rstrip(), variable, ECS_ROLE_VARIABLES[0])
    return vendor.instance_role(name, role)


def _profile(name: str, named_by: str, config: CliConfig, on_secret: OnSecret) -> Source:
    """Return the named profile of the CLI. It and all profiles it refers to must exist."""
    chain: list[str] = []
    link = name
    while True:
        _check_profile(link, f"profile {chain[-1]}" if chain else named_by, config)
        chain.append(link)
        for secret in config.secrets(link):
            on_secret(secret)
        if config.mode(link) != "ChainableRamRoleArn":
            return vendor.cli_profile(config, name)
        link = config.text(link, "source_profile")
        if link in chain:
            raise _contradiction(
                say(
                    "the profiles {chain} in {path} refer to each other",
                    chain=", ".join(chain),
                    path=config.path,
                ),
                say("correct `source_profile`"),
            )


def _check_profile(name: str, named_by: str, config: CliConfig) -> None:
    if name not in config.profiles:
        raise AccessError.of(
            "R0401",
            say(
                "there is no profile {name} in {path}; it is named by {named_by}",
                name=name,
                path=config.path,
                named_by=named_by,
            ),
            help=say("`aliyun configure list` lists the profiles"),
        )
    mode = config.mode(name)
    known = profile_modes.MODES.get(mode)
    if known is None or known.make is None:
        supported = [name for name, one in profile_modes.MODES.items() if one.make is not None]
        other = say(
            "use one of {supported}, or keys in the environment", supported=", ".join(supported)
        )
        raise AccessError.of(
            "R0406",
            say("profile {name} has mode {mode}, which is not supported", name=name, mode=mode),
            help=other if known is None else known.way_out,
        )
    if missing := profile_modes.missing(config, name):
        raise _contradiction(
            say(
                "profile {name} in {path} has mode {mode}, but no {missing}",
                name=name,
                path=config.path,
                mode=mode,
                missing=" and no ".join(missing),
            ),
            say("run `aliyun configure --profile {name} --mode {mode}`", name=name, mode=mode),
        )


def _ignoring(environment: Mapping[str, str]) -> str:
    """Return the variable that disables the CLI's profiles; empty if none does."""
    switched = (name for name in IGNORE_VARIABLES if environment.get(name, "").lower() == "true")
    return next(switched, "")


def _config(environment: Mapping[str, str]) -> CliConfig:
    """Return the CLI's configuration; a variable of Terraform's provider may name the file."""
    named = _file_of(environment, cli_config.FILE_VARIABLE)
    return cli_config.read(named or cli_config.path(environment))


def _file_of(environment: Mapping[str, str], variable: str) -> Path | None:
    """Return the file that a variable names, which must exist."""
    if not environment.get(variable):
        return None
    path = Path(environment[variable]).expanduser()
    if not path.is_file():
        raise AccessError.of(
            "R0401",
            say("{variable} names {path}, which is not a file", variable=variable, path=path),
            help=say("correct or unset the variable"),
        )
    return path


def _ini_path(environment: Mapping[str, str]) -> Path | None:
    path = Path(environment.get(FILE_VARIABLE) or cli_config.home(environment) / _INI)
    return path if path.is_file() else None


def _noted(name: str, variable: str, usual: str) -> str:
    """Return the name of a source, with its variable if that is one of an older tool."""
    return name if variable == usual else f"{name} ({variable})"


def _contradiction(message: Wording, cure: Wording) -> AccessError:
    return AccessError.of("R0407", message, help=cure)
