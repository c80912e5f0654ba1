"""A small valid spec, and functions that replace a part of it and mark a position."""

from pathlib import Path

import pytest

from rollout import specfile
from rollout.errors import Problem, SpecError

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4 ops"
TEXT = """\
apiVersion: rollout/v1
kind: KeyRotation
metadata:
  name: prod-2026q4
  labels: { team: platform }
spec:
  keyPair:
    name: ops-2026q4
    publicKeyFile: keys/ops.pub
  inventory:
    - source: ecs
      regions: [cn-hangzhou]
      select: "env=prod"
  exclude:
    - { select: "role=bastion", reason: "by hand" }
  restart: { stopped: leave, timeout: 10m, settleWindow: 5s }
  budgets:
    - { by: fleet, maxDown: 5% }
  waves:
    - { name: canary, size: cover }
    - { name: bulk, size: rest }
  onUnknown: hold
  limits: { leaveQuota: 30%, maxInstances: 100 }
"""
MARK = "@@"
"""Marks the position in a replacement that the problem must name."""


def project(folder: Path) -> Path:
    """Return a project directory with the public key that the example names."""
    (folder / "keys").mkdir(exist_ok=True)
    (folder / "keys" / "ops.pub").write_text(KEY + "\n", "utf-8")
    return folder


def load(folder: Path, text: str) -> specfile.Loaded:
    """Load a text as the spec of a project."""
    path = project(folder) / "spec.yaml"
    path.write_bytes(text.encode())
    return specfile.load(path, folder)


def problems(folder: Path, text: str) -> tuple[Problem, ...]:
    """Return the problems of a text."""
    with pytest.raises(SpecError) as caught:
        load(folder, text)
    return caught.value.problems


def edited(old: str, new: str) -> tuple[str, int, int]:
    """Return the example with a part replaced, and line and column of the mark in it."""
    assert TEXT.count(old) == 1, old
    text = TEXT.replace(old, new)
    before = text[: text.index(MARK)]
    return text.replace(MARK, ""), before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
