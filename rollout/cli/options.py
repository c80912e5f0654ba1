"""Options that several commands share, as dataclasses that cyclopts expands in place.

Every environment variable the program reads is named here. Knows no command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from rollout.errors import ConfigError, UsageError
from rollout.model.time import Duration, parse_duration

COMMON = Group("Common options", sort_key=8)
CLOUD = Group("Cloud options", sort_key=7)

Flag = Annotated[bool, Parameter(negative="", show_default=False)]
"""A switch that is off unless it is named."""
OUTPUT = Parameter(name=("--output", "-o"))
"""Form of the result; each command lists its own forms."""

EMULATOR_ADDRESS = "http://127.0.0.1:8473"
"""Where `--emulator` looks when ROLLOUT_ENDPOINT does not say."""

ENVIRONMENT = (
    "ROLLOUT_COLOR",
    "ROLLOUT_EMULATOR",
    "ROLLOUT_ENDPOINT",
    "ROLLOUT_LOG_FORMAT",
    "ROLLOUT_NO_INPUT",
    "ROLLOUT_PROFILE",
    "ROLLOUT_RUNS_DIR",
    "ROLLOUT_STS_ENDPOINT",
)
"""All of them; another name that begins with ROLLOUT_ is refused, since it may be a typing error
of ROLLOUT_EMULATOR, and what was meant for the emulator would reach production."""

_INJECTED = ("_SERVICE_HOST", "_SERVICE_PORT", "_PORT")
"""Kubernetes sets such names in every pod beside a Service called `rollout`."""


@Parameter(name="*", group=COMMON)
@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every command.

    Parameters
    ----------
    runs_dir
        Directory that holds one directory per run.
    color
        Colour of the output; auto: on a terminal, unless NO_COLOR is set.
    no_input
        Never ask; end with exit 7 instead. Implied by CI=true and without a terminal.
    verbose
        More log lines; twice: those of libraries too.
    log_format
        Form of the log lines on stderr.
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


@Parameter(name="*", group=CLOUD)
@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Options of every command that talks to the service.

    Parameters
    ----------
    profile
        Profile of the aliyun CLI to take credentials from.
    endpoint
        Address of ECS instead of the region's own: a public or VPC host of the service, a private
        cloud (by the option only), or a loopback address, which is the emulator.
    sts_endpoint
        Address of STS; left out, the one of the same kind as `--endpoint`.
    emulator
        Talk to a running `rollout emulator` (at ROLLOUT_ENDPOINT, else 127.0.0.1:8473).
    api_timeout
        How long to repeat calls that change nothing before a run, while they get no answer.
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


VALUED = frozenset(
    {
        "--runs-dir",
        "--color",
        "--log-format",
        "--profile",
        "-p",
        "--endpoint",
        "--sts-endpoint",
        "--api-timeout",
    }
)
"""Options of every command that take a value; the others are flags."""


def check_environment(environment: Mapping[str, str]) -> None:
    """ConfigError where a variable looks like ours and is not."""
    for name in sorted(environment):
        if not name.startswith("ROLLOUT_") or name in ENVIRONMENT or _is_injected(name):
            continue
        close = get_close_matches(name, ENVIRONMENT, n=1, cutoff=0.7)
        raise ConfigError.of(
            "R0014",
            f"unknown setting `{name}` in the environment",
            help=f"did you mean `{close[0]}`?"
            if close
            else f"unset it; known are {', '.join(ENVIRONMENT)}",
        )


def check_directory() -> None:
    """ConfigError R0117 where the working directory is gone: relative paths would mean nothing."""
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError.of(
            "R0117",
            f"the working directory cannot be used: {error.strerror}",
            help="change to the project directory",
        ) from None


def duration(text: str, option: str, *, milliseconds: bool = False) -> Duration:
    """Milliseconds of an option's value. UsageError R0001 for what is no duration."""
    try:
        return parse_duration(text, milliseconds=milliseconds)
    except ValueError as error:
        cure = "write `5s` or `200ms`" if milliseconds else "write `90s`, `30m` or `1h30m`"
        raise UsageError.of("R0001", f"{option} {text}: {error}", help=cure) from None


def _is_injected(name: str) -> bool:
    return any(part in name.removeprefix("ROLLOUT") for part in _INJECTED)
