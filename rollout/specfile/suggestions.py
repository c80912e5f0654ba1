"""Suggestions for unknown fields and values: later versions, names in other tools, typos.

Used by `problems`. In a path, `*` stands for the items of a list.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LATER: dict[str, str] = {
    "spec.accounts": "the account is that of the credentials",
    "spec.spreadOver": "batches are made zone by zone already",
    "spec.terraform": "",
}
"""Fields of later versions, each with an alternative until then."""

SOURCES_LATER = ("resourceCenter", "config", "terraform", "ansible", "exec")
"""Kinds of inventory sources of later versions."""

FOREIGN: dict[str, tuple[str, str]] = {
    "maxunavailable": ("maxDown", "kubectl"),
    "disruptionbudget": ("budgets", "Kubernetes"),
    "maxparallel": ("maxDown", "Nomad"),
    "parallelism": ("maxDown", "Terraform"),
    "concurrency": ("maxDown", "cron"),
    "forks": ("maxDown", "Ansible"),
    "batchsize": ("maxDown", "OOS"),
    "serial": ("waves", "Ansible"),
    "maxfailpercentage": ("failedPercent", "Ansible"),
    "failureaction": ("onFailure", "Docker"),
    "maxfailureratio": ("failedPercent", "Docker"),
    "maxerrors": ("failed", "AWS Systems Manager"),
    "failuretolerancecount": ("failed", "AWS CloudFormation"),
    "failuretolerancepercentage": ("failedPercent", "AWS CloudFormation"),
    "steps": ("waves", "Argo Rollouts"),
    "stages": ("waves", "a pipeline"),
    "setweight": ("size", "Argo Rollouts"),
    "weight": ("size", "Argo Rollouts"),
    "soak": ("bake", "a pipeline"),
    "soaktime": ("bake", "a pipeline"),
    "pause": ("bake", "Argo Rollouts"),
    "approval": ("approvals", "a pipeline"),
    "notifications": ("notify", "Argo CD"),
    "webhooks": ("notify", "other tools"),
    "url": ("to", "other tools"),
    "events": ("on", "GitHub"),
    "approvers": ("keys", "a pipeline"),
    "reviewers": ("keys", "GitHub"),
    "requiredapprovals": ("required", "a pipeline"),
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
"""Normalized names in other tools, each with the name here and that tool."""


def pattern(path: Iterable[str | int]) -> str:
    """Return a path with `*` for indices, for example `spec.waves.*.bake`."""
    return ".".join("*" if isinstance(step, int) else step for step in path)


def is_later(path: Iterable[str | int]) -> bool:
    """Return whether a later version knows this field."""
    return pattern(path) in LATER


def later_in(where: str) -> list[str]:
    """Return the fields of later versions in the part with this pattern."""
    paths = (path.rpartition(".") for path in LATER)
    return [name for parent, _, name in paths if parent == where]


def suggest(unknown: str, known: Iterable[str]) -> tuple[str, str]:
    """Return a suggestion for an unknown name, and the known name that it probably means."""
    names = sorted(known)
    normalized = _normalize(unknown)
    same = [name for name in names if _normalize(name) == normalized]
    if same:
        return f"write `{same[0]}`", same[0]
    ours, tool = FOREIGN.get(normalized, ("", ""))
    if ours in names:
        return f"`{unknown}` of {tool} is called `{ours}` here", ours
    close = get_close_matches(unknown, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?", close[0]
    return f"known here: {', '.join(f'`{name}`' for name in names)}", ""


def _normalize(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
