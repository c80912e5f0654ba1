"""Key pairs in a state of Terraform, in both of its forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rollout.errors import InventoryError
from rollout.inventory import terraform
from rollout.model.terraform import Managed, ResourceKind

VALUES: list[tuple[str, dict[str, Any]]] = [
    ("alicloud_instance", {"id": "i-1", "key_name": "old", "password": "geheim", "tags": {"a": 1}}),
    ("alicloud_instance", {"id": "i-2", "key_name": ""}),
    (
        "alicloud_ecs_key_pair_attachment",
        {"id": 'old:["i-3"]', "key_pair_name": "old", "instance_ids": ["i-3"], "force": True},
    ),
    ("alicloud_ess_scaling_configuration", {"id": "asc-1", "key_name": "old"}),
    ("alicloud_db_instance", {"id": 7, "key_name": ["not", "ours"]}),
]
ODD = b'{"attributes": {"id": {"password": "geheim"}}}'
FOUND = [
    Managed("alicloud_instance.n0", ResourceKind.INSTANCE, "key_name", "old", ("i-1",)),
    Managed(
        "module.m.alicloud_ecs_key_pair_attachment.n2",
        ResourceKind.ATTACHMENT,
        "key_pair_name",
        "old",
        ("i-3",),
        force=True,
    ),
    Managed(
        "module.m.alicloud_ess_scaling_configuration.n3", ResourceKind.TEMPLATE, "key_name", "old"
    ),
]


def state_file() -> dict[str, Any]:
    """A state file of version 4; the last three resources are in a module."""
    resources = [
        {
            "mode": "managed",
            "type": kind,
            "name": f"n{number}",
            "module": "module.m" if number > 1 else "",
            "instances": [{"attributes": values, "sensitive_attributes": []}],
        }
        for number, (kind, values) in enumerate(VALUES)
    ]
    data = {"mode": "data", "type": "alicloud_instance", "name": "read", "instances": []}
    return {"version": 4, "lineage": "x", "resources": [*resources, data]}


def shown() -> dict[str, Any]:
    """The same as `terraform show -json` prints it."""
    resources = [
        {
            "address": f"{'module.m.' if number > 1 else ''}{kind}.n{number}",
            "mode": "managed",
            "type": kind,
            "values": values,
        }
        for number, (kind, values) in enumerate(VALUES)
    ]
    inner = {"address": "module.m", "resources": resources[2:]}
    root = {"resources": resources[:2], "child_modules": [inner]}
    return {"format_version": "1.0", "values": {"root_module": root}}


@pytest.mark.parametrize("document", [state_file(), shown()], ids=["state file", "show -json"])
def test_both_forms_have_the_same_key_pairs(document: dict[str, Any], tmp_path: Path) -> None:
    """Resources without a key pair, of other types and data sources are left out."""
    path = tmp_path / "state"
    path.write_text(json.dumps(document))

    assert terraform.read(path) == FOUND


@pytest.mark.parametrize(
    "key, ending", [(0, "[0]"), ("blue", '["blue"]')], ids=["count", "for_each"]
)
def test_the_address_has_the_index(key: int | str, ending: str, tmp_path: Path) -> None:
    """As Terraform writes it."""
    values = {"id": "i-1", "key_name": "old"}
    instances = [{"index_key": key, "attributes": values}]
    resource = {"type": "alicloud_instance", "name": "web", "instances": instances}
    path = tmp_path / "state"
    path.write_text(json.dumps({"version": 4, "resources": [resource]}))

    assert [one.address for one in terraform.read(path)] == [f"alicloud_instance.web{ending}"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version": 3, "resources": []}',
        b'{"format_version": "1.0", "planned_values": {}}',
        b'{"version": 4, "resources": [{"type": "alicloud_instance", "instances": [%s]}]}' % ODD,
        b"\xff\xfe{",
        b"[" * 100_000,
    ],
)
def test_another_file_is_refused_without_its_content(content: bytes, tmp_path: Path) -> None:
    """With the file and the form that is expected."""
    path = tmp_path / "state"
    path.write_bytes(content)

    with pytest.raises(InventoryError) as caught:
        terraform.read(path)

    (problem,) = caught.value.problems
    assert problem.code == "R0201" and problem.place and problem.place.file == str(path)
    assert "geheim" not in repr(problem)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """It is an input error that names the file."""
    with pytest.raises(InventoryError) as caught:
        terraform.read(tmp_path / "none")

    assert caught.value.problems[0].code == "R0200"
