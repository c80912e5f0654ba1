"""Find instances in the JSON of other tools: Terraform, Ansible, Resource Center.

Called by `shapes` with an object that is neither a page nor a row. If nothing is found, the caller
refuses the object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rollout.inventory.rows import RowError
from rollout.model import instance
from rollout.model.phrase import say

_TERRAFORM_TYPE = "alicloud_instance"
_RESOURCE_TYPE = "acs::ecs::instance"


def named(fields: Mapping[str, Any]) -> list[str | dict[str, Any]] | None:
    """Return the ids and rows in an object with folded field names, or None."""
    for read in (_ids, _state, _show, _resources, _outputs):
        found = read(fields)
        if found is not None:
            return found
    return None


def _ids(fields: Mapping[str, Any]) -> list[str | dict[str, Any]] | None:
    """Read `{"ids": [...]}` of data sources and Ansible modules."""
    ids = fields.get("ids")
    return list(ids) if isinstance(ids, list) and ids and _all_ids(ids) else None


def _state(fields: Mapping[str, Any]) -> list[str | dict[str, Any]] | None:
    """Read the managed instances in a state file of Terraform."""
    resources = fields.get("resources")
    if not isinstance(resources, list) or not {"lineage", "terraformversion"} & fields.keys():
        return None
    return [
        one["attributes"]
        for resource in _objects(resources)
        if resource.get("type") == _TERRAFORM_TYPE and resource.get("mode", "managed") == "managed"
        for one in _objects(resource.get("instances"))
        if isinstance(one.get("attributes"), dict)
    ]


def _show(fields: Mapping[str, Any]) -> list[str | dict[str, Any]] | None:
    """Read `terraform show -json`: resources of the root module and its child modules."""
    values = fields.get("values")
    if "formatversion" not in fields or not isinstance(values, dict):
        return None
    return [
        resource["values"]
        for module in _modules(values.get("root_module"))
        for resource in _objects(module.get("resources"))
        if resource.get("type") == _TERRAFORM_TYPE and resource.get("mode", "managed") == "managed"
        if isinstance(resource.get("values"), dict)
    ]


def _modules(module: object) -> Iterator[dict[str, Any]]:
    if isinstance(module, dict):
        yield module
        for inner in module.get("child_modules") or ():
            yield from _modules(inner)


def _resources(fields: Mapping[str, Any]) -> list[str | dict[str, Any]] | None:
    """Read the instances among the rows of Resource Center."""
    rows = fields.get("resources")
    if not isinstance(rows, list):
        return None
    found: list[str | dict[str, Any]] = []
    for row in _objects(rows):
        folded = {name.lower().replace("_", ""): value for name, value in row.items()}
        kind = folded.get("resourcetype")
        if isinstance(kind, str) and kind.lower() == _RESOURCE_TYPE:
            named = {"InstanceId": folded.get("resourceid"), "RegionId": folded.get("regionid")}
            found.append(named)
    return found or None


def _outputs(fields: Mapping[str, Any]) -> list[str | dict[str, Any]] | None:
    """Read the outputs of `terraform output -json` that are instance ids."""
    outputs = list(fields.values())
    if not outputs or not all(isinstance(one, dict) and "value" in one for one in outputs):
        return None
    found: list[str | dict[str, Any]] = []
    for output in outputs:
        value = output["value"]
        ids = list(value.values()) if isinstance(value, dict) else value
        ids = [ids] if isinstance(ids, str) else ids
        if isinstance(ids, list) and ids and _all_ids(ids):
            found += ids
        elif _mentions(value):
            hint = say("output a list of ids, or name the state file")
            raise RowError("R0201", say("an output contains ids among other values"), hint)
    return found or None


def _mentions(value: object) -> bool:
    """Return whether a value contains an instance id."""
    if isinstance(value, str):
        return instance.is_id(value) is not None
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_mentions, inner))


def _all_ids(values: list[Any]) -> bool:
    return all(isinstance(each, str) and instance.is_id(each) for each in values)


def _objects(values: object) -> list[dict[str, Any]]:
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []
