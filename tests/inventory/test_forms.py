"""Tags and locks in the forms of other tools are read unambiguously or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.inventory import forms
from tests.inventory import samples

BOTH = {"env": "prod", "role": "bastion"}
WIDE_COLON, WIDE_SEMICOLON, WIDE_COMMA = "\uff1a", "\uff1b", "\uff0c"

UNDERSTOOD: list[tuple[object, dict[str, str]]] = [
    (None, {}),
    ({}, {}),
    ([], {}),
    ({"Tag": []}, {}),
    ({"Tag": None}, {}),
    ({"Tag": [{"TagKey": "role", "TagValue": "bastion"}]}, {"role": "bastion"}),
    ({"Tag": [{"TagKey": "role", "TagValue": None}]}, {"role": ""}),
    ({"tag": {"tagKey": "role", "tagValue": "bastion"}}, {"role": "bastion"}),
    ({"Tags": [{"Key": "role", "Value": "bastion"}]}, {"role": "bastion"}),
    ([{"Key": "role", "Value": "bastion"}], {"role": "bastion"}),
    ([{"TagKey": "role", "TagValue": "bastion", "Scope": "x"}], {"role": "bastion"}),
    ({"TagKey": "role", "TagValue": "bastion"}, {"role": "bastion"}),
    (BOTH, BOTH),
    ({"on": True, "n": 7, "empty": None}, {"on": "true", "n": "7", "empty": ""}),
    (["env=prod", "role=bastion"], BOTH),
    (["env:prod", "role:bastion"], BOTH),
    ("env=prod;role=bastion", BOTH),
    ("env=prod; role=bastion;", BOTH),
    ("env:prod,role:bastion", BOTH),
    ("env:prod|role:bastion", BOTH),
    ("env:prod\nrole:bastion", BOTH),
    (f"env{WIDE_COLON}prod{WIDE_SEMICOLON}role{WIDE_COLON}bastion", BOTH),
    (f"env=prod{WIDE_COMMA}role=bastion", BOTH),
    (json.dumps(BOTH), BOTH),
    (json.dumps([{"Key": "role", "Value": "bastion"}]), {"role": "bastion"}),
    ("\u200benv\u00a0= prod", {"env": "prod"}),
    ("env=prod;odd:", {"env": "prod", "odd": ""}),
    ("url=http://host", {"url": "http://host"}),
    ("role:bastion,note:a=b", {"role": "bastion", "note": "a=b"}),
    ("key=YWJj==", {"key": "YWJj=="}),
    ("env=prod;env=prod", {"env": "prod"}),
    ("-", {}),
    ("--", {}),
    ("\u65e0", {}),
    ("  ", {}),
    ("{}", {}),
]

REFUSED: list[object] = [
    7,
    True,
    "bastion",
    "role/bastion",
    "env=prod role=bastion",
    "env:prod role:bastion",
    "map[env:prod role:bastion]",
    "{'role': 'bastion'}",
    '"role":"bastion"',
    "env=prod&role=bastion",
    "note=a,b;role=bastion",
    "acs:ros:stack",
    "url:http://host",
    "key:a=b",
    "=bastion",
    "env=prod;env=test",
    ["bastion"],
    [7],
    [{"role": "bastion"}],
    [{"Key": "role", "Name": "x", "TagKey": "other"}],
    [["role", "bastion"]],
    {"Key": "role", "Value": "bastion"},
    {"role": ["bastion"]},
    {"Tag": [{"TagKey": "role"}], "Count": 1},
    {"": "bastion"},
]


@pytest.mark.parametrize("value, tags", UNDERSTOOD, ids=[str(row[0])[:40] for row in UNDERSTOOD])
def test_tags_in_the_forms_of_other_tools_are_understood(
    value: object, tags: dict[str, str]
) -> None:
    """Tags are read from objects, lists, JSON in a cell and pairs with each common separator."""
    assert dict(forms.tags(value)) == tags


@pytest.mark.parametrize("value", REFUSED, ids=[str(value)[:40] for value in REFUSED])
def test_tags_in_doubt_are_refused(value: object) -> None:
    """An ambiguous text or an unknown form is refused and never read as no tags."""
    with pytest.raises(forms.FormError):
        forms.tags(value)


LOCKS: list[tuple[object, tuple[str, ...]]] = [
    (None, ()),
    ("", ()),
    ("-", ()),
    (False, ()),
    ({}, ()),
    ([], ()),
    ({"LockReason": []}, ()),
    ({"LockReason": None}, ()),
    ({"LockReason": [{"LockReason": "financial", "LockMsg": "x"}]}, ("financial",)),
    ({"LockReason": {"LockReason": "financial"}}, ("financial",)),
    ({"LockReason": "financial"}, ("financial",)),
    ({"Lock": [{"Reason": "security"}]}, ("security",)),
    ({"lockReason": [{"lockReason": "security"}]}, ("security",)),
    ([{"lock_reason": "security"}], ("security",)),
    (["security", "financial"], ("security", "financial")),
    ("security;financial", ("security", "financial")),
]


@pytest.mark.parametrize("value, reasons", LOCKS, ids=[str(row[0])[:40] for row in LOCKS])
def test_locks_in_the_forms_of_other_tools_are_understood(
    value: object, reasons: tuple[str, ...]
) -> None:
    """A lock is read in every known form."""
    assert forms.locks(value) == reasons


@pytest.mark.parametrize(
    "value",
    [True, 7, {"Since": "2026"}, [{"Since": "2026"}], [""], {"LockReason": 7}, [None], [[]]],
)
def test_locks_in_doubt_are_refused(value: object) -> None:
    """An unknown form is refused and never read as no lock."""
    with pytest.raises(forms.FormError):
        forms.locks(value)


WORD = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6)
PAIRS = st.dictionaries(WORD, WORD, min_size=1, max_size=4)


@given(PAIRS, st.sampled_from("=:\uff1a\uff1d"), st.sampled_from(";,|\n\uff1b\uff0c\u3001"))
def test_plain_pairs_come_back_with_every_separator(
    pairs: dict[str, str], mark: str, separator: str
) -> None:
    """Alphanumeric keys and values are read unchanged with every separator."""
    text = separator.join(f"{key}{mark}{value}" for key, value in pairs.items())

    assert dict(forms.tags(text)) == pairs


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(JSON)
def test_any_value_is_understood_or_refused(value: object) -> None:
    """No value crashes a reader, and only an empty value means no tags or no lock."""
    for read, nothing in ((forms.tags, forms.NOTHING), (forms.locks, forms._UNLOCKED)):
        try:
            found = read(value)
        except forms.FormError:
            continue
        silent = value is None or value is False or not json.dumps(value).strip('[]{}" \\ntrfvu0')
        said = isinstance(value, str) and value.strip(forms.BLANK).lower() in nothing
        assert found or silent or said or isinstance(value, str | dict)


RULE_ROWS = [
    {"Tags": BOTH},
    {"tags": BOTH},
    {"tag_set": [{"key": "role", "value": "bastion"}]},
    {"Tags": "env:prod,role:bastion"},
    {"Tags": [{"Key": "role", "Value": "bastion"}]},
]


@pytest.mark.parametrize("strict_bytes", [0, 10**9])
@pytest.mark.parametrize("fields", RULE_ROWS, ids=str)
def test_a_row_has_its_tags_however_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], strict_bytes: int
) -> None:
    """A tag that a rule excludes by is found by the block reader and the value-by-value reader."""
    monkeypatch.setattr("rollout.inventory.documents.STRICT_BYTES", strict_bytes)
    plain = samples.row(Tags=None)

    found = samples.read(tmp_path, "fleet.jsonl", json.dumps({**plain, **fields}))

    assert ("role", "bastion") in found.instances[samples.INSTANCE.id].tags
