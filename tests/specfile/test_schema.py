"""The JSON Schema for editors is generated, up to date, and agrees with the loader."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from rollout import specfile
from rollout.specfile import document, suggestions
from tests import tree
from tests.specfile import example
from tests.specfile.test_problems import BAD

SCHEMA = tree.ROOT / "schemas" / "key-rotation.v1.json"
BEYOND_A_SCHEMA = {
    *("R0101", "R0109", "R0111", "R0114", "R0115", "R0120"),
    *("R0133", "R0134", "R0139", "R0140", "R0142"),
}
"""Invalid specs that a schema cannot describe: YAML itself, selectors, paths, the order of waves,
windows, URLs and expressions of gates.
"""
LOOSER = (
    "mars",
    "nowhere",
    "CN-Shanghai",
    "169h",
    "0s",
    "0%",
    "101%",
    "1e9",
    "2026-13-01",
    "tomorrow",
    "{ by: fleet, maxDown: 5, atLeast: 1 }",
    "{ by: fleet, restartsPer10m: 5, atLeast: 1 }",
    "true, failedPercent: 1% }",
    "true }",
    "9 }",
    "9 9 9, timeZone: UTC }",
    "0 9 31 2 *, timeZone: UTC }",
    "2h }",
    "{yaer}",
    "{hour}",
    "hooks } ",
    "'http://h.org/x' } ",
    "'https://h.org/x?key=1' } ",
    "'https://u:p@h.org' } ",
    "'https://oapi.dingtalk.com/robot/send' } ",
    "'env:B' } ",
    "keys/none.vkey] }",
    "keys/ops.pub] }",
    "../a.vkey] }",
)
"""Values that only the loader recognizes as invalid."""


def fields(part: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every field of the schema, at any depth."""
    if isinstance(part, dict):
        yield from part.get("properties", {}).items()
        for inner in part.values():
            yield from fields(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from fields(inner)


def test_the_committed_schema_is_fresh() -> None:
    """`rollout schema spec > schemas/key-rotation.v1.json` changes nothing."""
    assert json.loads(SCHEMA.read_text("utf-8")) == specfile.json_schema()


def test_every_field_explains_itself() -> None:
    """Every field has a description for editors."""
    schema = specfile.json_schema()
    parts = schema["$defs"]
    found = [
        (name, parts[field["$ref"].rpartition("/")[2]] if "$ref" in field else field)
        for name, field in fields(schema)
    ]

    assert len(found) > 40
    assert not [name for name, field in found if not field.get("description", "").endswith(".")]


def test_every_field_is_documented() -> None:
    """The reference names each field of the form and each field of a later version."""
    text = (tree.ROOT / "docs" / "spec.md").read_text("utf-8")

    names = {name for name, _ in fields(specfile.json_schema())}
    later = {path.rpartition(".")[2] for path in suggestions.LATER}
    assert sorted(name for name in names | later if f"`{name}`" not in text) == []


def test_the_schema_is_one() -> None:
    """The schema is valid JSON Schema 2020-12."""
    Draft202012Validator.check_schema(specfile.json_schema())


@pytest.mark.parametrize("path", sorted((tree.ROOT / "plans").glob("*.yaml")), ids=lambda p: p.name)
def test_the_shipped_specs_satisfy_the_schema(path: Path) -> None:
    """The schema accepts the examples, and their first line names the schema."""
    text = path.read_text("utf-8")

    assert text.startswith("# yaml-language-server: $schema=../schemas/key-rotation.v1.json\n")
    Draft202012Validator(specfile.json_schema()).validate(document.parse(path.name, text).data)


@pytest.mark.parametrize(
    "old,new",
    [row[:2] for row in BAD if row[2] not in BEYOND_A_SCHEMA and not row[1].endswith("b")],
)
def test_the_schema_refuses_what_the_loader_refuses(old: str, new: str) -> None:
    """Editor and loader differ only in problems that a schema cannot describe."""
    text, _, _ = example.edited(old, new)
    data = document.parse("spec.yaml", text).data
    valid = Draft202012Validator(specfile.json_schema()).is_valid(data)

    value = new.partition(example.MARK)[2].strip("[]")
    assert valid == (value in LOOSER)
