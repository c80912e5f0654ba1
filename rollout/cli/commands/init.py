"""`rollout init`: write a first spec and the settings of a project, with questions or options."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rollout.cli.language import tr, translated
from rollout.cli.options import Common
from rollout.cli.terminal import Terminal
from rollout.errors import ConfirmationError
from rollout.model.phrase import Phrase, say

if TYPE_CHECKING:
    from rollout.app.init import FirstSpec


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SpecOptions:
    """Options that describe the rotation; what is missing of the first three is asked.

    Parameters
    ----------
    key_pair
        Name of the key pair to attach. With a schedule it has dates, as `ops-{year}q{quarter}`.
    public_key
        File with the OpenSSH public key of the key pair, as `ssh-keygen -t ed25519` creates it. It
        is copied to `keys`.
    region
        Region of the instances; repeatable.
    name
        Name of the spec, and of its file in `plans`.
    select
        Selector of the instances by their tags, as `env=prod`. Default: all.
    max_down
        How many instances may be down at once: a count, or a percent of the fleet.
    bake
        Pause after the first instance, before an operator can let the others follow.
    cron
        When rotations are due: minute, hour, day, month and weekday, as `30 9 20 1,4,7,10 *`.
    time_zone
        Time zone of --cron, as `Asia/Shanghai`.
    """

    key_pair: str | None = None
    public_key: Path | None = None
    region: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()
    name: str = "first"
    select: str = ""
    max_down: str = "5%"
    bake: str = "10m"
    cron: str = ""
    time_zone: str = "UTC"

    def complete(self, terminal: Terminal) -> FirstSpec:
        """Return the facts of the spec, asking for those that are missing.

        Errors: ConfirmationError R0026 without a terminal; those of `read_public_key`.
        """
        from rollout.app import init as project

        pair = self.key_pair or _answer(
            terminal, say("Name of the new key pair:"), "--key-pair NAME"
        )
        key = self.public_key or Path(
            _answer(terminal, say("File with its public key:"), "--public-key FILE")
        )
        asked = say("Regions, separated by spaces:")
        return project.FirstSpec(
            name=self.name,
            key_pair=pair,
            regions=self.region or tuple(_answer(terminal, asked, "--region REGION").split()),
            public_key=project.read_public_key(key.expanduser()),
            select=self.select,
            max_down=self.max_down,
            bake=self.bake,
            cron=self.cron,
            time_zone=self.time_zone,
        )


def init(
    folder: Path = Path(),
    /,
    *,
    spec: SpecOptions = SpecOptions(),
    profile: str = "",
    from_profile: str | None = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Write a first spec and the settings of a project. Makes no API calls.

    Parameters
    ----------
    folder
        Directory of the project. Default: the working directory.
    profile
        Profile of the aliyun CLI, for `rollout.toml`.
    from_profile
        Profile of the aliyun CLI that gives the region too, unless --region does.
    """
    from rollout.app import init as project

    terminal = Terminal.of(common)
    if from_profile is not None and not spec.region:
        found = project.region_of_profile(from_profile, os.environ)
        spec = replace(spec, region=(found,) if found else ())
    given = spec.complete(terminal)
    written = project.write(folder, given, from_profile or profile)
    for warning in project.unknown_regions(given.regions):
        terminal.warn(warning)
    lines = [tr("Created {file}", file=folder / path) for path in written]
    change = [] if folder.resolve() == Path.cwd() else [["cd", str(folder)]]
    steps = [*change, *(["rollout", one, str(written[0])] for one in ("validate", "plan"))]
    steps += [["rollout", "schedule", "add", str(written[0])]] if given.cron else []
    terminal.show(
        "\n".join(
            [*lines, "", *(tr("Next:  {command}", command=shlex.join(step)) for step in steps)]
        )
    )


def _answer(terminal: Terminal, question: Phrase, option: str) -> str:
    """Return the answer of the user. Errors: ConfirmationError R0026 without a terminal."""
    answer = terminal.prompt(translated(question)) if terminal.interactive else ""
    if not answer:
        message = say(
            "an answer is missing: {question}", question=str(question).rstrip(":").lower()
        )
        raise ConfirmationError.of("R0026", message, help=say("add {option}", option=option))
    return answer
