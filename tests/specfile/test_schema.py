"""The JSON Schema that editors use: generated, fresh, and of one mind with the loader."""

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
BEYOND_A_SCHEMA = {"R0101", "R0109", "R0111", "R0115"}
"""What a schema cannot say: YAML itself, selectors, the order of waves."""
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
)
"""Values of which only the loader sees that they are wrong."""


def fields(part: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of the schema, wherever it is defined."""
    if isinstance(part, dict):
        yield from part.get("properties", {}).items()
        for inner in part.values():
            yield from fields(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from fields(inner)


def test_the_committed_schema_is_fresh() -> None:
    """`rollout schema spec > schemas/key-rotation.v1.json` would change nothing."""
    assert json.loads(SCHEMA.read_text("utf-8")) == specfile.json_schema()


def test_every_field_explains_itself() -> None:
    """An editor shows a description for each field."""
    schema = specfile.json_schema()
    parts = schema["$defs"]
    found = [
        (name, parts[field["$ref"].rpartition("/")[2]] if "$ref" in field else field)
        for name, field in fields(schema)
    ]

    assert len(found) > 40
    assert not [name for name, field in found if not field.get("description", "").endswith(".")]


def test_every_field_is_documented() -> None:
    """The reference names each field of the form, and each one that comes later."""
    text = (tree.ROOT / "docs" / "spec.md").read_text("utf-8")

    names = {name for name, _ in fields(specfile.json_schema())}
    later = {path.rpartition(".")[2] for path in suggestions.LATER}
    assert sorted(name for name in names | later if f"`{name}`" not in text) == []


def test_the_schema_is_one() -> None:
    """It is valid JSON Schema 2020-12."""
    Draft202012Validator.check_schema(specfile.json_schema())


@pytest.mark.parametrize("path", sorted((tree.ROOT / "plans").glob("*.yaml")), ids=lambda p: p.name)
def test_the_shipped_specs_satisfy_the_schema(path: Path) -> None:
    """An editor finds nothing in the examples, and their first line leads to the schema."""
    text = path.read_text("utf-8")

    assert text.startswith("# yaml-language-server: $schema=../schemas/key-rotation.v1.json\n")
    Draft202012Validator(specfile.json_schema()).validate(document.parse(path.name, text).data)


@pytest.mark.parametrize(
    "old,new",
    [row[:2] for row in BAD if row[2] not in BEYOND_A_SCHEMA and not row[1].endswith("b")],
)
def test_the_schema_refuses_what_the_loader_refuses(old: str, new: str) -> None:
    """Editor and loader differ only in what a schema cannot say."""
    text, _, _ = example.edited(old, new)
    data = document.parse("spec.yaml", text).data
    valid = Draft202012Validator(specfile.json_schema()).is_valid(data)

    value = new.partition(example.MARK)[2].strip("[]")
    assert valid == (value in LOOSER)
