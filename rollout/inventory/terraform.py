"""Read which key pairs Terraform manages, from a state file or `terraform show -json`.

Called by `app.terraform`. A state contains secrets: only the fields below are decoded, and no error
repeats the content. Sources: state files of version 4; the JSON output format 1 of Terraform; the
resources of aliyun/terraform-provider-alicloud.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from rollout.errors import InventoryError, Place
from rollout.model.phrase import Phrase, say
from rollout.model.terraform import Managed, ResourceKind

BYTES_MAX = 1024**3
_EMPTY = msgspec.Raw(b"{}")
_KINDS = {
    "alicloud_instance": ResourceKind.INSTANCE,
    "alicloud_ecs_key_pair_attachment": ResourceKind.ATTACHMENT,
    "alicloud_key_pair_attachment": ResourceKind.ATTACHMENT,
    "alicloud_ess_scaling_configuration": ResourceKind.TEMPLATE,
    "alicloud_launch_template": ResourceKind.TEMPLATE,
    "alicloud_ecs_launch_template": ResourceKind.TEMPLATE,
    "alicloud_cs_kubernetes_node_pool": ResourceKind.TEMPLATE,
}


class _Attributes(msgspec.Struct):
    """The fields of all these resources. A template may have its key pair in a field of its own."""

    id: str = ""
    key_name: str | None = None
    key_pair_name: str | None = None
    instance_ids: list[str] | None = None
    force: bool | None = None


class _Instance(msgspec.Struct):
    attributes: msgspec.Raw = _EMPTY
    index_key: int | str | None = None


class _Resource(msgspec.Struct):
    type: str
    name: str = ""
    mode: str = "managed"
    module: str = ""
    instances: list[_Instance] = []


class _State(msgspec.Struct):
    resources: list[_Resource]
    version: int


class _ShownResource(msgspec.Struct):
    address: str
    type: str
    mode: str = "managed"
    values: msgspec.Raw = _EMPTY


class _Module(msgspec.Struct):
    resources: list[_ShownResource] = []
    child_modules: list[_Module] = []


class _Values(msgspec.Struct):
    root_module: _Module


class _Shown(msgspec.Struct):
    format_version: str
    values: _Values


class _Head(msgspec.Struct):
    """The fields by which the two forms differ."""

    version: int | None = None
    format_version: str | None = None


def read(path: Path) -> list[Managed]:
    """Return the resources of a state that name a key pair, in its order.

    Errors: InventoryError R0200 if the file cannot be read, R0201 if it is no such state.
    """
    raw = _content(path)
    try:
        if msgspec.json.decode(raw, type=_Head).format_version is not None:
            shown = msgspec.json.decode(raw, type=_Shown)
            return list(_of_shown(shown.values.root_module))
        state = msgspec.json.decode(raw, type=_State)
        if state.version == 4:
            return list(_of_state(state))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    hint = say("use a state file of version 4, or the output of `terraform show -json`")
    raise _refused(path, "R0201", say("the file is not a Terraform state"), hint)


def _content(path: Path) -> bytes:
    why: object = say("it is larger than 1 GiB")
    try:
        if path.stat().st_size <= BYTES_MAX:
            return path.read_bytes()
    except OSError as error:
        why = error.strerror or type(error).__name__
    raise _refused(path, "R0200", say("the state cannot be read: {why}", why=why))


def _refused(path: Path, code: str, text: Phrase, hint: Phrase | None = None) -> InventoryError:
    return InventoryError.of(code, text, place=Place(str(path)), help=hint)


def _of_shown(module: _Module) -> Iterator[Managed]:
    for resource in module.resources:
        if resource.mode == "managed":
            yield from _managed(resource.address, resource.type, resource.values)
    for inner in module.child_modules:
        yield from _of_shown(inner)


def _of_state(state: _State) -> Iterator[Managed]:
    for resource in state.resources:
        if resource.mode != "managed":
            continue
        whole = f"{resource.module}." if resource.module else ""
        for one in resource.instances:
            index = (
                "" if one.index_key is None else f"[{msgspec.json.encode(one.index_key).decode()}]"
            )
            address = f"{whole}{resource.type}.{resource.name}{index}"
            yield from _managed(address, resource.type, one.attributes)


def _managed(address: str, type_name: str, attributes: msgspec.Raw) -> Iterator[Managed]:
    """Yield the resource if it names a key pair."""
    kind = _KINDS.get(type_name)
    if kind is None:
        return
    values = msgspec.json.decode(attributes, type=_Attributes)
    field = "key_pair_name" if values.key_pair_name else "key_name"
    name = values.key_pair_name or values.key_name
    if not name:
        return
    ids = (values.id,) if kind is ResourceKind.INSTANCE else tuple(values.instance_ids or ())
    yield Managed(address, kind, field, name, ids, bool(values.force))
