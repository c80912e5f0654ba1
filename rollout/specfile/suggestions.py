"""Suggestions for unknown fields and values: later versions, names in other tools, typos.

Used by `problems`. In a path, `*` stands for the items of a list.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from rollout.model.phrase import Phrase, Wording, say

LATER: dict[str, Wording] = {
    "spec.accounts": say("the account is that of the credentials"),
    "spec.spreadOver": say("batches are made zone by zone already"),
    "spec.terraform": "",
}
"""Fields of later versions, each with an alternative until then."""

SOURCES_LATER = ("resourceCenter", "config", "terraform", "ansible", "exec")
"""Kinds of inventory sources of later versions."""

FOREIGN: dict[str, tuple[str, Wording]] = {
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
    "stages": ("waves", say("a pipeline")),
    "setweight": ("size", "Argo Rollouts"),
    "weight": ("size", "Argo Rollouts"),
    "soak": ("bake", say("a pipeline")),
    "soaktime": ("bake", say("a pipeline")),
    "pause": ("bake", "Argo Rollouts"),
    "approval": ("approvals", say("a pipeline")),
    "notifications": ("notify", "Argo CD"),
    "webhooks": ("notify", say("other tools")),
    "url": ("to", say("other tools")),
    "events": ("on", "GitHub"),
    "approvers": ("keys", say("a pipeline")),
    "reviewers": ("keys", "GitHub"),
    "requiredapprovals": ("required", say("a pipeline")),
    "selector": ("select", "kubectl"),
    "labelselector": ("select", "kubectl"),
    "matchlabels": ("select", "kubectl"),
    "filters": ("select", "Terraform"),
    "hosts": ("inventory", "Ansible"),
    "targets": ("inventory", say("other tools")),
    "instanceids": ("instances", say("the API")),
    "skip": ("exclude", say("other tools")),
    "ignore": ("exclude", say("other tools")),
    "keyname": ("name", "Terraform"),
    "keypairname": ("name", say("the API")),
    "publickey": ("publicKeyFile", "Terraform"),
    "regionid": ("region", say("the API")),
    "type": ("source", say("other tools")),
    "file": ("path", say("other tools")),
    "headers": ("columns", say("other tools")),
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


def suggest(unknown: str, known: Iterable[str]) -> tuple[Phrase, str]:
    """Return a suggestion for an unknown name, and the known name that it probably means."""
    names = sorted(known)
    normalized = _normalize(unknown)
    same = [name for name in names if _normalize(name) == normalized]
    if same:
        return say("write `{name}`", name=same[0]), same[0]
    ours, tool = FOREIGN.get(normalized, ("", ""))
    if ours in names:
        hint = say(
            "`{theirs}` of {tool} is called `{ours}` here", theirs=unknown, tool=tool, ours=ours
        )
        return hint, ours
    close = get_close_matches(unknown, names, n=1, cutoff=0.6)
    if close:
        return say("did you mean `{suggestion}`?", suggestion=close[0]), close[0]
    return say("known here: {names}", names=", ".join(f"`{name}`" for name in names)), ""


def _normalize(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
