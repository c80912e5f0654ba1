"""Format what the next apply of Terraform would reverse, and the lines that prevent it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rollout.app.terraform import ApplyEffect, Reversal
from rollout.cli.views import render
from rollout.model.printable import escaped
from rollout.model.text import some

_IGNORE = "lifecycle { ignore_changes = [key_name] }"


def text(found: Sequence[Reversal], width: int) -> str:
    """Return each resource with what happens to it and the line that prevents it."""
    if not found:
        return "The next apply of Terraform reverses nothing of this rotation."
    lines: list[str] = []
    for one in found:
        lines.append(escaped(one.address))
        lines += render.wrap(escaped(_effect(one)), width, first="    ", rest="    ")
        lines += render.wrap(escaped(one.change), width, first="    change  ", rest=" " * 12)
        if one.effect is ApplyEffect.REPLACES:
            lines.append(f"    or      {_IGNORE}")
    number = render.count(len(found), "resource")
    lines += ["", f"The next apply of Terraform reverses the rotation of {number}."]
    return "\n".join(lines)


def _effect(one: Reversal) -> str:
    """Return what the next apply does with a resource, in words."""
    match one.effect:
        case ApplyEffect.REPLACES:
            return (
                f"destroys {some(one.instances)} and creates another instance with {one.key_name}; "
                "a provider released after 2026-01 only attaches that key pair again"
            )
        case ApplyEffect.ATTACHES:
            restarts = ", and restarts without a graceful stop" if one.force else ""
            return f"attaches {one.key_name} to {some(one.instances)} again{restarts}"
        case ApplyEffect.CREATES:
            return f"creates new instances with the former key pair {one.key_name}"
