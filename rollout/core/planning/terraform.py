"""Predict what the next apply of Terraform reverses of a rotation. Called by `app.terraform`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rollout.model.terraform import ApplyEffect, Managed, ResourceKind, Reversal

_EFFECTS = {
    ResourceKind.INSTANCE: ApplyEffect.REPLACES,
    ResourceKind.ATTACHMENT: ApplyEffect.ATTACHES,
}


def reversals(
    rotated: Mapping[str, tuple[str, str]], managed: Iterable[Managed]
) -> Iterator[Reversal]:
    """Yield the resources that still name another key pair than the rotation's, in their order.

    `rotated` has the former and the new key pair of each instance. A resource that creates
    instances is one of them if it names a former key pair.
    """
    successors: dict[str, set[str]] = {}
    for former, wanted in rotated.values():
        successors.setdefault(former, set()).add(wanted)
    for one in managed:
        if one.kind is ResourceKind.TEMPLATE:
            for wanted in sorted(successors.get(one.key_name, set()) - {one.key_name}):
                yield _reversal(one, ApplyEffect.CREATES, wanted, ())
            continue
        for wanted in sorted({rotated[each][1] for each in one.instances if each in rotated}):
            if wanted != one.key_name:
                ids = tuple(
                    each for each in one.instances if rotated.get(each, ("", ""))[1] == wanted
                )
                yield _reversal(one, _EFFECTS[one.kind], wanted, ids)


def _reversal(one: Managed, effect: ApplyEffect, wanted: str, ids: tuple[str, ...]) -> Reversal:
    return Reversal(one.address, effect, one.field, one.key_name, wanted, ids, one.force)
