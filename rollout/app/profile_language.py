"""Read the language that a profile of the aliyun CLI names.

Called before anything is printed, so it raises nothing and imports little.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from rollout.ecs import cli_config
from rollout.errors import RolloutError

PROFILE_VARIABLE = "ROLLOUT_PROFILE"


def read(profile: str | None, environment: Mapping[str, str]) -> str:
    """Return `en`, `zh` or another language; empty if the profile or its file names none.

    `profile` is the value of `--profile`; without it, variables and the file itself name one.
    """
    with contextlib.suppress(RolloutError, OSError, RuntimeError):
        config = cli_config.read(cli_config.path(environment))
        variables = (PROFILE_VARIABLE, *cli_config.PROFILE_VARIABLES)
        named = (profile, *(environment.get(name) for name in variables), config.current)
        name = next((one for one in named if one), "default")
        return config.text(name, "language") if name in config.profiles else ""
    return ""
