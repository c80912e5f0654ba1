"""docs/emulator.md: it documents every existing action, fault, switch and field, and no others."""

import re
from pathlib import Path

import msgspec
import pytest

from rollout.ecs import contract
from rollout.emulator import dispatch, faults
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.fleet import file, synthetic
from rollout.emulator.fleet import rows as file_rows
from rollout.emulator.guest import shell
from rollout.emulator.http import admin, server

PAGE = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text(encoding="utf-8")


def first_cells(marker: str) -> list[str]:
    """The names in the first column of the table behind a marker."""
    table = PAGE.partition(f"<!-- {marker}:")[2].partition("\n\n")[2].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


@pytest.mark.parametrize(
    "marker, names",
    [
        ("actions", list(contract.ACTIONS)),
        ("faults", list(faults.FAULT_NAMES)),
        ("switches", list(Switches.__struct_fields__)),
    ],
)
def test_tables_are_complete(marker: str, names: list[str]) -> None:
    """A new fault or switch without a word in the docs fails here, and so does a dropped one."""
    assert sorted(first_cells(marker)) == sorted(names)


def test_defaults_of_switches_are_those_of_the_code() -> None:
    """The second column is what the switch is when nobody turns it."""
    table = PAGE.partition("<!-- switches:")[2]
    for name, value in msgspec.to_builtins(Switches()).items():
        told = re.search(rf"^\| `{name}` \| ([^|]+) \|", table, re.MULTILINE)
        assert told is not None
        assert told[1].strip("` ") == msgspec.json.encode(value).decode().strip('"')


def test_fields_endpoints_commands_and_lines_are_documented() -> None:
    """Fields of a fleet file, admin endpoints, shell commands, environment lines: documented."""
    told = set(re.findall(r"`([^`\n]+)`", PAGE.partition("Fields:")[2].partition("## ")[0]))
    assert set(file_rows.FleetRow.__struct_fields__) <= told
    for name in {*admin._LISTS, *admin._READERS, *admin._WRITERS}:
        assert f"/_admin/{name}" in PAGE
    for command in shell._COMMANDS:
        assert command.startswith(("/", "set")) or f"`{command}" in PAGE
    for line in server.environment("http://127.0.0.1:8473", "emulator", "emulator-secret"):
        assert line in PAGE


def test_every_action_of_the_contract_is_answered() -> None:
    """The table of actions and the functions behind it are the same set, in the same order."""
    assert list(dispatch.HANDLERS) == list(contract.ACTIONS)


def test_documented_fleets_can_be_loaded(tmp_path: Path) -> None:
    """The YAML blocks of the page are fleet files; together they are one."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    real = synthetic.ed25519_line(b"1" * 32, "me@laptop")
    whole = re.sub(r"ssh-ed25519 .*? me@laptop", real, "".join(blocks))
    path = tmp_path / "fleet.yaml"
    path.write_text(whole, encoding="utf-8")
    fleet = file.load(path, seed=1, now=1_770_000_000_000)
    assert len(fleet.instances) == 221
    assert fleet.pairs.find("cn-beijing", "fleet-2026q3")


def test_the_example_runs() -> None:
    """The Python block of the page does what it says."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(block, "docs/emulator.md", "exec"), names)  # noqa: S102 - our own documentation
    assert {"cloud"} <= names.keys()
