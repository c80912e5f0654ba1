"""Format what the next apply of Terraform would reverse, and the lines that prevent it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rollout.app.terraform import ApplyEffect, Reversal
from rollout.cli.language import tr, tr_many, translated
from rollout.cli.views import render
from rollout.model.phrase import say
from rollout.model.printable import escaped
from rollout.model.text import some

_IGNORE = "lifecycle { ignore_changes = [key_name] }"


def text(found: Sequence[Reversal], width: int) -> str:
    """Return each resource with what happens to it and the line that prevents it."""
    if not found:
        return tr("The next apply of Terraform reverses nothing of this rotation.")
    lines: list[str] = []
    for one in found:
        lines.append(escaped(one.address))
        lines += render.wrap(escaped(_effect(one)), width, first="    ", rest="    ")
        lines += render.wrap(escaped(one.change), width, first=_label("change"), rest=" " * 12)
        if one.effect is ApplyEffect.REPLACES:
            lines.append(_label("or") + _IGNORE)
    total = tr_many(
        "The next apply of Terraform reverses the rotation of {number:,} resource.",
        "The next apply of Terraform reverses the rotation of {number:,} resources.",
        len(found),
    )
    return "\n".join([*lines, "", total])


_LABELS = {"change": say("change"), "or": say("or")}


def _label(name: str) -> str:
    return f"    {render.padded(translated(_LABELS[name]), 6)}  "


def _effect(one: Reversal) -> str:
    """Return what the next apply does with a resource, in words."""
    instances = some(one.instances)
    match one.effect:
        case ApplyEffect.REPLACES:
            return tr(
                "destroys {instances} and creates another instance with {key_pair}; a provider "
                "released after 2026-01 only attaches that key pair again",
                instances=instances,
                key_pair=one.key_name,
            )
        case ApplyEffect.ATTACHES if one.force:
            return tr(
                "attaches {key_pair} to {instances} again, and restarts without a graceful stop",
                instances=instances,
                key_pair=one.key_name,
            )
        case ApplyEffect.ATTACHES:
            return tr(
                "attaches {key_pair} to {instances} again",
                instances=instances,
                key_pair=one.key_name,
            )
        case ApplyEffect.CREATES:
            return tr(
                "creates new instances with the former key pair {key_pair}", key_pair=one.key_name
            )
