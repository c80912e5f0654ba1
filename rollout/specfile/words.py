"""Words a spec may not use, and what to say instead: later fields, other tools' words, typos.

Used by `complaints`. A path is written with `*` for the items of a list.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LATER: dict[str, str] = {
    "spec.accounts": "the account is that of the credentials",
    "spec.spreadOver": "batches are made zone by zone already",
    "spec.gates": "run one wave at a time, or watch `rollout status`",
    "spec.windows": "start the run inside the window",
    "spec.verify": "every run verifies through the API that instances booted after the attach",
    "spec.onFailure": "watch `rollout status`; Ctrl-C drains the run",
    "spec.terraform": "",
    "spec.approvals": "review the plan file before `rollout apply`",
    "spec.notify": "",
    "spec.schedule": "let cron or a systemd timer run `rollout apply`",
    "spec.waves.*.bake": "",
    "spec.waves.*.gate": "",
    "spec.budgets.*.restartsPer10m": "`maxDown` alone bounds the run",
    "spec.budgets.*.atLeast": "write a count",
}
"""Fields that later versions know, with what helps until then."""

SOURCES_LATER = ("resourceCenter", "config", "terraform", "ansible", "exec")
"""Kinds of inventory sources that later versions know."""

FOREIGN: dict[str, tuple[str, str]] = {
    "maxunavailable": ("maxDown", "kubectl"),
    "disruptionbudget": ("budgets", "Kubernetes"),
    "maxparallel": ("maxDown", "Nomad"),
    "parallelism": ("maxDown", "Terraform"),
    "concurrency": ("maxDown", "cron"),
    "forks": ("maxDown", "Ansible"),
    "batchsize": ("maxDown", "OOS"),
    "serial": ("waves", "Ansible"),
    "steps": ("waves", "Argo Rollouts"),
    "stages": ("waves", "a pipeline"),
    "setweight": ("size", "Argo Rollouts"),
    "weight": ("size", "Argo Rollouts"),
    "soak": ("bake", "a pipeline"),
    "soaktime": ("bake", "a pipeline"),
    "pause": ("bake", "Argo Rollouts"),
    "approval": ("gate", "a pipeline"),
    "selector": ("select", "kubectl"),
    "labelselector": ("select", "kubectl"),
    "matchlabels": ("select", "kubectl"),
    "filters": ("select", "Terraform"),
    "hosts": ("inventory", "Ansible"),
    "targets": ("inventory", "other tools"),
    "instanceids": ("instances", "the API"),
    "skip": ("exclude", "other tools"),
    "ignore": ("exclude", "other tools"),
    "keyname": ("name", "Terraform"),
    "keypairname": ("name", "the API"),
    "publickey": ("publicKeyFile", "Terraform"),
    "regionid": ("region", "the API"),
    "type": ("source", "other tools"),
    "file": ("path", "other tools"),
    "headers": ("columns", "other tools"),
    "healthcheck": ("verify", "Nomad"),
    "cron": ("schedule", "Kubernetes"),
}
"""Words of other tools, squeezed, with our word and who says it so."""


def pattern(path: Iterable[str | int]) -> str:
    """`spec.waves.*.bake` for the path of the bake of any wave."""
    return ".".join("*" if isinstance(step, int) else step for step in path)


def is_later(path: Iterable[str | int]) -> bool:
    """True for a field that a later version knows."""
    return pattern(path) in LATER


def later_in(where: str) -> list[str]:
    """The names that later versions know in the part with this pattern."""
    paths = (path.rpartition(".") for path in LATER)
    return [name for parent, _, name in paths if parent == where]


def advice(word: str, known: Iterable[str]) -> tuple[str, str]:
    """What to say about an unknown word among the `known` ones, and which of them was meant.

    The second is empty where nothing is close.
    """
    words = sorted(known)
    squeezed = _squeeze(word)
    same = [each for each in words if _squeeze(each) == squeezed]
    if same:
        return f"write `{same[0]}`", same[0]
    ours, tool = FOREIGN.get(squeezed, ("", ""))
    if ours in words:
        return f"what {tool} calls `{word}` is `{ours}` here", ours
    close = get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?", close[0]
    return f"known here: {', '.join(f'`{each}`' for each in words)}", ""


def _squeeze(word: str) -> str:
    return word.replace("_", "").replace("-", "").lower()
