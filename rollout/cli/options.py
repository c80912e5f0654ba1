"""Options that several commands share, as dataclasses that cyclopts expands in place.

Every variable of the environment that begins with `ROLLOUT_` is named here. Knows no command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from rollout.cli import origins
from rollout.errors import ConfigError, UsageError
from rollout.model.phrase import say
from rollout.model.time import Duration, parse_duration

if TYPE_CHECKING:
    from rollout.app.plan import Allow
    from rollout.app.session import Connection

COMMON = Group("Common options", sort_key=8)
CLOUD = Group("Cloud options", sort_key=7)

Flag = Annotated[bool, Parameter(negative="", show_default=False)]
"""A switch that is off by default."""
OUTPUT = Parameter(name=("--output", "-o"))
"""Format of the result. Each command lists its own formats."""

ENVIRONMENT = (
    "ROLLOUT_APPROVAL_KEY",
    "ROLLOUT_COLOR",
    "ROLLOUT_EMULATOR",
    "ROLLOUT_ENDPOINT",
    "ROLLOUT_LANG",
    "ROLLOUT_LOG_FILE",
    "ROLLOUT_LOG_FORMAT",
    "ROLLOUT_NO_INPUT",
    "ROLLOUT_PROFILE",
    "ROLLOUT_RUNS_DIR",
    "ROLLOUT_STS_ENDPOINT",
)
"""All settings. Another name that begins with ROLLOUT_ is another program's, or a misspelling."""

_PREFIX = "ROLLOUT_"
_CHOOSE_SERVICE = ("ROLLOUT_EMULATOR", "ROLLOUT_ENDPOINT", "ROLLOUT_PROFILE")

_INJECTED = ("_SERVICE_HOST", "_SERVICE_PORT", "_PORT")
"""Kubernetes sets such names in every pod of a namespace with a Service called `rollout`."""


@Parameter(name="*", group=COMMON)
@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every command.

    Parameters
    ----------
    runs_dir
        Runs directory: it holds one directory per run.
    color
        When to color the output. auto: on a terminal, unless NO_COLOR is set.
    no_input
        Never prompt; end with exit 7 instead. Implied by CI=true and without a terminal.
    verbose
        More log lines. Given twice: also log lines of libraries.
    log_format
        Format of the log lines on stderr and in the log file.
    log_file
        File that receives all log lines and messages as well, readable by its owner only.
    lang
        Language of help and messages. Default: the language of the aliyun CLI's profile, else of
        the locale. Results for programs and logs are always in English.
    """

    runs_dir: Annotated[Path, Parameter(env_var="ROLLOUT_RUNS_DIR")] = Path("runs")
    color: Annotated[Literal["auto", "always", "never"], Parameter(env_var="ROLLOUT_COLOR")] = (
        "auto"
    )
    no_input: Annotated[
        bool, Parameter(env_var="ROLLOUT_NO_INPUT", negative="", show_default=False)
    ] = False
    verbose: Annotated[int, Parameter(name=("--verbose", "-v"), count=True, show_default=False)] = 0
    log_format: Annotated[Literal["text", "json"], Parameter(env_var="ROLLOUT_LOG_FORMAT")] = "text"
    log_file: Annotated[Path | None, Parameter(env_var="ROLLOUT_LOG_FILE")] = None
    lang: Annotated[Literal["en", "zh"] | None, Parameter(env_var="ROLLOUT_LANG")] = None


@Parameter(name="*", group=CLOUD)
@dataclass(frozen=True, kw_only=True)
class CloudOptions:
    """Options of every command that calls the service.

    Parameters
    ----------
    profile
        Profile of the aliyun CLI that provides the credentials.
    endpoint
        Address of ECS instead of the region's own: a public or VPC host of the service, a private
        cloud (by the option only), or a loopback address of the emulator.
    sts_endpoint
        Address of STS. Default: the STS endpoint of the same kind as `--endpoint`.
    emulator
        Use a running `rollout emulator` at ROLLOUT_ENDPOINT, by default 127.0.0.1:8473.
    api_timeout
        Before a run starts: how long to retry read-only calls that get no answer.
    allow_clock_skew
        Accept that this machine's clock differs from the service's by more than 24 hours.
    """

    profile: Annotated[
        str | None, Parameter(name=("--profile", "-p"), env_var="ROLLOUT_PROFILE")
    ] = None
    endpoint: Annotated[str | None, Parameter(env_var="ROLLOUT_ENDPOINT")] = None
    sts_endpoint: Annotated[str | None, Parameter(env_var="ROLLOUT_STS_ENDPOINT")] = None
    emulator: Annotated[
        bool, Parameter(env_var="ROLLOUT_EMULATOR", negative="", show_default=False)
    ] = False
    api_timeout: str = "5m"
    allow_clock_skew: Flag = False

    def connection(self) -> Connection:
        """Return the options as arguments of a use case. UsageError R0001 for a wrong duration."""
        from rollout.app.session import Connection

        return Connection(
            profile=self.profile,
            endpoint=self.endpoint,
            sts_endpoint=self.sts_endpoint,
            emulator=self.emulator,
            api_timeout_ms=duration(self.api_timeout, "--api-timeout"),
            allow_clock_skew=self.allow_clock_skew,
            configured=tuple(
                address
                for option, address in (
                    ("endpoint", self.endpoint),
                    ("sts-endpoint", self.sts_endpoint),
                )
                if address is not None and origins.is_from_file(option)
            ),
        )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Accepting:
    """Options of the commands that read an inventory.

    Parameters
    ----------
    allow_empty
        Accept an empty inventory.
    allow_partial
        Accept an incomplete listing of instances, with a warning.
    allow_unknown_region
        Accept regions that the program does not know, without a DescribeRegions call.
    """

    allow_empty: Flag = False
    allow_partial: Flag = False
    allow_unknown_region: Flag = False

    def allow(self) -> Allow:
        """Return the options as an argument of a use case."""
        from rollout.app.plan import Allow

        return Allow(self.allow_empty, self.allow_partial, self.allow_unknown_region)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Driving:
    """Options of the commands that drive a run.

    Parameters
    ----------
    until_wave
        Stop with exit 5 when this wave is closed, before the next one. `rollout resume` continues.
    no_wait
        End with exit 5 where the run would wait: paused, at a gate, or outside its windows.
    no_fence
        Neither mark the key pairs with this run nor respect the marks of runs in other runs
        directories.
    allow_unsafe_fs
        Accept a network or user-space file system for the runs directory.
    """

    until_wave: str | None = None
    no_wait: Flag = False
    no_fence: Flag = False
    allow_unsafe_fs: Flag = False


VALUED = frozenset(
    {
        "--runs-dir",
        "--color",
        "--lang",
        "--log-file",
        "--log-format",
        "--profile",
        "-p",
        "--endpoint",
        "--sts-endpoint",
        "--api-timeout",
    }
)
"""Options of every command that take a value; the others are flags."""


def misspelled(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables with names similar to a setting's, each with that setting's name.

    Other names that begin with ROLLOUT_ belong to other programs: CI systems and links of
    containers set them.
    """
    found = {}
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in ENVIRONMENT and not _is_injected(name):
            ours = [each.removeprefix(_PREFIX) for each in ENVIRONMENT]
            close = get_close_matches(name.removeprefix(_PREFIX), ours, n=1, cutoff=0.8)
            if close:
                found[name] = f"{_PREFIX}{close[0]}"
    return found


def refuse_misspelled(environment: Mapping[str, str]) -> None:
    """Raise ConfigError R0014 for a misspelled variable that was meant to choose the service.

    A command that changes instances must not reach production where the emulator was meant.
    """
    for name, meant in misspelled(environment).items():
        if meant in _CHOOSE_SERVICE:
            message = say("unknown setting `{name}` in the environment", name=name)
            raise ConfigError.of("R0014", message, help=say("did you mean `{meant}`?", meant=meant))


def check_directory() -> None:
    """Raise ConfigError R0117 if the working directory is gone, so that paths have no base."""
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError.of(
            "R0117",
            say("the working directory cannot be used: {cause}", cause=error.strerror),
            help=say("change to the project directory"),
        ) from None


def duration(text: str, option: str, *, milliseconds: bool = False) -> Duration:
    """Return an option's value in milliseconds. UsageError R0001 if it is not a duration."""
    try:
        return parse_duration(text, milliseconds=milliseconds)
    except ValueError as error:
        cure = (
            say("write `5s` or `200ms`") if milliseconds else say("write `90s`, `30m` or `1h30m`")
        )
        raise UsageError.of(
            "R0001",
            say("{option} {text}: {cause}", option=option, text=text, cause=error),
            help=cure,
        ) from None


def _is_injected(name: str) -> bool:
    return any(part in name.removeprefix("ROLLOUT") for part in _INJECTED)
