"""Write the first files of a project: a spec, the public key that it names, and `rollout.toml`.

Called by `rollout init`. Makes no API calls and replaces no file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import NamedTuple

from rollout.core.scheduling import key_names
from rollout.ecs import cli_config
from rollout.engines.clock import LoopClock
from rollout.errors import AccessError, Place, Problem, SpecError, StorageError, UsageError
from rollout.model.phrase import say
from rollout.model.regions import advice, is_known


class FirstSpec(NamedTuple):
    """The facts of a first spec. `public_key` is the content of the key file. `key_pair` may have
    dates. `bake` is the pause after the first instance. Without `cron` there is no schedule.
    """

    name: str
    key_pair: str
    public_key: str
    regions: tuple[str, ...]
    select: str = ""
    max_down: str = "5%"
    bake: str = "10m"
    cron: str = ""
    time_zone: str = "UTC"


def write(folder: Path, given: FirstSpec, profile: str = "") -> list[Path]:
    """Create the files of a project and return their paths relative to `folder`.

    Errors: SpecError if the spec would be invalid; UsageError R0024 if a file exists already;
    StorageError R0025. Nothing is written then.
    """
    from rollout import specfile

    text = spec_text(given)
    spec = Path("plans") / f"{given.name}.yaml"
    try:
        specfile.parse_stored(text, given.public_key, folder, label=str(spec))
    except SpecError as error:
        found = dict.fromkeys(_of_option(problem, text, given) for problem in error.problems)
        raise SpecError(tuple(found), error.exit) from None
    contents = {
        spec: text,
        Path("keys") / f"{_name_today(given)}.pub": f"{given.public_key}\n",
        Path("rollout.toml"): settings_text(profile),
    }
    for path in contents:
        if (folder / path).exists():
            raise UsageError.of(
                "R0024",
                say("{path} exists already", path=path),
                place=Place(str(folder / path)),
                help=say("name another directory or another --name"),
            )
    try:
        for path, content in contents.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            with (folder / path).open("x", encoding="utf-8") as file:
                file.write(content)
    except OSError as error:
        message = say("the project cannot be written: {cause}", cause=error.strerror)
        raise StorageError.of("R0025", message, place=Place(str(folder))) from None
    return list(contents)


def _of_option(problem: Problem, text: str, given: FirstSpec) -> Problem:
    """Return the problem with the option and its value, instead of a place in a file that does not
    exist. A problem in a line without a value of an option is returned unchanged.
    """
    if problem.place is None or problem.place.line is None:
        return problem
    number, column = problem.place.line, problem.place.column or 0
    line = "".join(text.splitlines()[number - 1 : number])  # empty for an error after the last line
    option = next((one for start, one in _OPTIONS if line.startswith(start)), "")
    if not option:
        return problem
    if option == "--cron" and column > line.rindex(" timeZone:"):
        option = "--time-zone"
    value = getattr(given, _FIELDS.get(option, option.removeprefix("--").replace("-", "_")))
    typed = " ".join(value) if isinstance(value, tuple) else value
    what = say("{option} {value}: {cause}", option=option, value=typed, cause=problem.what)
    return replace(problem, what=what, place=None)


_OPTIONS = (
    ("  name:", "--name"),
    ("    name:", "--key-pair"),
    ("    publicKeyFile:", "--key-pair"),
    ("      regions:", "--region"),
    ("      select:", "--select"),
    ("    - { by: fleet", "--max-down"),
    ("    - { name: canary", "--bake"),
    ("    { cron:", "--cron"),
)
"""The starts of the lines of `spec_text` that end in the value of an option."""
_FIELDS = {"--region": "regions"}
"""The fields of `FirstSpec` that are not named like their option."""


def unknown_regions(regions: Iterable[str]) -> list[Problem]:
    """Return a warning for each region outside the built-in list, with the closest known region."""
    return [
        Problem(
            "R0204",
            say("region {region} is not in the built-in list", region=region),
            cure=advice(region),
        )
        for region in dict.fromkeys(regions)
        if not is_known(region)
    ]


def region_of_profile(profile: str, environment: Mapping[str, str]) -> str:
    """Return the region of a profile of the aliyun CLI; empty if the profile has none.

    Errors: AccessError R0401 if the profile does not exist.
    """
    config = cli_config.read(cli_config.path(environment))
    if profile not in config.profiles:
        raise AccessError.of(
            "R0401",
            say("there is no profile {name} in {path}", name=profile, path=config.path),
            help=say("profiles there: {names}", names=", ".join(sorted(config.profiles)) or "-"),
        )
    return config.text(profile, "region_id")


def read_public_key(path: Path) -> str:
    """Return the OpenSSH public key in a file. Errors: SpecError R0112, R0113."""
    from rollout import specfile

    return specfile.read_public_key(path)


def _name_today(given: FirstSpec) -> str:
    """Return the name of the key pair with the present date, as a plan of today fills it in."""
    from rollout.specfile import zones

    zone: tzinfo = zones.LocalZone(given.time_zone).tzinfo if given.cron else UTC
    today = datetime.fromtimestamp(LoopClock().now() / 1000, UTC).astimezone(zone).date()
    return key_names.render(given.key_pair, today)


def spec_text(given: FirstSpec) -> str:
    """Return the YAML text of a spec with comments about the fields to edit next."""
    regions = ", ".join(map(json.dumps, given.regions))
    select = f"      select: {json.dumps(given.select)}\n" if given.select else ""
    at_least = ", atLeast: 1" if given.max_down.endswith("%") else ""
    return f"""\
apiVersion: rollout/v1
kind: KeyRotation
metadata:
  name: {json.dumps(given.name)}
spec:
  keyPair:
    name: {json.dumps(given.key_pair)}
    publicKeyFile: {json.dumps(f"keys/{given.key_pair}.pub")}
    ensure: import # import the public key into regions that lack the key pair
  inventory:
    - source: ecs
      regions: [{regions}]
{select}\
  # exclude:
  #   - {{ select: "role=bastion", reason: "rotated by hand" }}
  budgets: # how many instances may be down at once
    - {{ by: fleet, maxDown: {json.dumps(given.max_down)}{at_least} }}
  waves: # the next wave starts after the bake of the one before it
    - {{ name: canary, size: 1, bake: {given.bake}, gate: manual }}
    - {{ name: all, size: rest }}
{_schedule(given)}"""


def _schedule(given: FirstSpec) -> str:
    """Return the schedule, or an example of one as a comment."""
    if not given.cron:
        example = '{ cron: "30 9 20 1,4,7,10 *", timeZone: UTC, onDue: plan }'
        return f"  # schedule: {example} # then: rollout schedule add\n"
    cron, zone = json.dumps(given.cron), json.dumps(given.time_zone)
    return f"""\
  schedule: # `onDue: planAndApply` also applies the plan of each tick
    {{ cron: {cron}, timeZone: {zone}, onDue: plan }}
"""


def settings_text(profile: str) -> str:
    """Return the text of `rollout.toml`."""
    chosen = f"profile = {json.dumps(profile)}" if profile else '# profile = "ops"'
    return f"""\
# Settings for this project. `rollout config show --origin` lists all of them.
runs-dir = "runs"
{chosen} # profile of the aliyun CLI
"""
