"""`rollout completion`: print the script that completes commands and options in a shell."""

from __future__ import annotations

from typing import Literal

from rollout.cli.options import Common
from rollout.cli.terminal import Terminal


def completion(
    shell: Literal["bash", "zsh", "fish"],
    /,
    *,
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Print the completion script of a shell.

    Parameters
    ----------
    shell
        The shell that is to load the script.
    """
    from rollout.cli.main import make_app

    Terminal.of(common).show(make_app().generate_completion(shell=shell).rstrip("\n"))
