"""`rollout schema`: print the JSON Schema of a kind of file or output, for editors and programs."""

from __future__ import annotations

from typing import Literal

from rollout.cli.options import Common
from rollout.cli.terminal import Terminal
from rollout.cli.views import render


def schema(
    kind: Literal["spec", "plan", "event", "report", "status"],
    /,
    *,
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Print a JSON Schema.

    Parameters
    ----------
    kind
        What the schema describes: a spec, a plan file, a line of `rollout events`, or what `apply`
        (report) and `status` print with `-o json`.
    """
    if kind == "spec":
        from rollout.app import specs

        found = specs.json_schema()
    else:
        from rollout.cli.views import schemas

        makers = {
            "plan": schemas.plan,
            "event": schemas.event,
            "report": schemas.report,
            "status": schemas.status,
        }
        found = makers[kind]()
    Terminal.of(common).show(render.as_json(found, indent=2))
