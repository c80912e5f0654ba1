"""Find ids, rows and pages in JSON values of the API, of SDKs and of other tools.

Called by the reader of JSON and JSONL with one value at a time. Unknown forms are refused. `rows`
interprets the fields of a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rollout.inventory import tools
from rollout.inventory.pages import PageFacts, facts_of
from rollout.inventory.rows import RowError
from rollout.model import instance, regions
from rollout.model.phrase import say

Named = str | dict[str, Any]
"""An id, or a row."""

_LISTS = (
    ("instances", "instance"),
    ("instanceidsets", "instanceidset"),
    ("instancestatuses", "instancestatus"),
)
"""Folded fields with the rows of DescribeInstances, RunInstances and DescribeInstanceStatus."""


class Page(NamedTuple):
    """Ids and rows in order, and the facts of their page, if they are on one."""

    named: list[Named]
    facts: PageFacts | None = None


def fold(name: str) -> str:
    """Return a field name in lower case without separators, as `instanceid` for `InstanceId`."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def pages(value: object) -> Iterator[Page]:
    """Yield the ids and rows in a value. Errors: RowError if it names no instance."""
    if isinstance(value, str):
        yield Page([value])
    elif isinstance(value, dict):
        yield from _of_object(value)
    elif isinstance(value, list):
        record = _of_record(value)
        if record is not None:
            yield Page([record])
            return
        for inner in value:
            yield from pages(inner)
    else:
        hint = say("expected an id, a row, or a page of DescribeInstances")
        raise RowError("R0201", say("this names no instance"), hint)


def _of_record(items: list[Any]) -> dict[str, Any] | None:
    """Return the row in `[id, region, …]`, as `--cli-query` prints rows, or None."""
    texts = [item for item in items if isinstance(item, str)]
    if len(texts) < 2 or not instance.is_id(texts[0]) or texts[0] is not items[0]:
        return None
    named = {text for text in texts[1:] if regions.is_known(text)}
    if len(named) != 1 or any(instance.is_id(text) for text in texts[1:]):
        return None
    return {"InstanceId": texts[0], "RegionId": named.pop()}


def _of_object(value: dict[str, Any]) -> Iterator[Page]:
    """Yield the ids and rows in a page, a reply of an SDK, the state of a tool, or a row."""
    fields = _folded(value)
    for plural, singular in _LISTS:
        if plural in fields:
            yield Page(list(_rows(fields[plural], singular)), facts_of(fields))
            return
    if {"instanceid", "id"} & fields.keys():
        yield Page([value])
        return
    if "code" in fields:
        raise RowError("R0201", say("this is an error of the API, not a page of instances"))
    if isinstance(fields.get("body"), dict | list):
        yield from pages(fields["body"])
        return
    found = tools.named(fields)
    if found is None:
        hint = say("known are `InstanceId`, `instance_id`, `instanceId` and `id`")
        raise RowError("R0201", say("an object without an instance id"), hint)
    yield Page(found, facts_of(fields) if "resources" in fields else None)


_FIELDS: dict[str, tuple[str, ...]] = {
    "InstanceId": ("instanceid", "id"),
    "RegionId": ("regionid", "region"),
    "ZoneId": ("zoneid", "zone", "availabilityzone"),
    "OSType": ("ostype",),
    "OSName": ("osname", "osnameen"),
    "Status": ("status", "state"),
    "KeyPairName": ("keypairname", "keypair", "keyname"),
    "ImageId": ("imageid",),
    "StartTime": ("starttime",),
    "ExpiredTime": ("expiredtime",),
    "IoOptimized": ("iooptimized",),
    "OperationLocks": ("operationlocks", "locks", "lockreason", "lockreasons"),
    "Tags": ("tags", "tag", "tagset", "taglist"),
    "ResourceGroupId": ("resourcegroupid",),
    "DeploymentSetId": ("deploymentsetid",),
}
"""Folded names of each field of a row. The first non-empty one is used."""
_WHICH = ("InstanceId", "RegionId", "ZoneId")
_FIRST_COUNTS = ("InstanceId", "RegionId", "ZoneId", "OSName")
_SILENT: tuple[object, ...] = (None, "", [], {})
_DECIDES = re.compile("tag|lock|operationlock")


def which(row: dict[str, Any]) -> dict[str, Any]:
    """Return only id, region and zone of a row, with the names of DescribeInstances."""
    folded = _folded({name: value for name, value in row.items() if value not in _SILENT})
    found = {
        field: next((folded[name] for name in _FIELDS[field] if name in folded), None)
        for field in _WHICH
    }
    if not isinstance(found["ZoneId"], str):
        del found["ZoneId"]
    return {field: value for field, value in found.items() if value is not None}


def canonical(row: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a row that planning reads, with the names of DescribeInstances.

    Errors: RowError if a field has two different values, or if an unknown field may hold tags or
    locks.
    """
    given: dict[str, list[object]] = {}
    for name, value in row.items():
        if value not in _SILENT:
            given.setdefault(fold(name), []).append(value)
    made: dict[str, Any] = {}
    for field, names in _FIELDS.items():
        values = [value for name in names for value in given.pop(name, ())]
        if values and field not in _FIRST_COUNTS and any(each != values[0] for each in values):
            raise RowError(
                "R0217", say("the row has two different values for `{field}`", field=field)
            )
        if values:
            made[field] = values[0]
    for name in given:
        if _DECIDES.match(name):
            hint = say("rename it to `Tags` or `OperationLocks`, or omit it")
            raise RowError("R0217", say("`{name}` may contain tags or locks", name=name[:40]), hint)
    return made


def _rows(parent: object, singular: str) -> Iterator[Named]:
    """Yield the ids and rows of a page: a list, or an object that contains a list."""
    if isinstance(parent, dict):
        parent = _folded(parent).get(singular, parent)
    if not isinstance(parent, list):
        raise RowError("R0201", say("a page without a list of instances"))
    for inner in parent:
        if not isinstance(inner, str | dict):
            raise RowError("R0201", say("this names no instance"))
        yield inner


def _folded(value: Mapping[str, Any]) -> dict[str, Any]:
    return {fold(name): inner for name, inner in value.items()}
