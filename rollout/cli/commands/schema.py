"""`rollout schema spec`: print the JSON Schema of specs, for editors and hooks."""

from __future__ import annotations

from typing import Literal

from rollout.cli.options import Common
from rollout.cli.terminal import Terminal
from rollout.cli.views import render


def schema(
    kind: Literal["spec"],
    /,
    *,
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Print a JSON Schema.

    Parameters
    ----------
    kind
        The kind of file that the schema describes.
    """
    from rollout.app import specs

    make = {"spec": specs.json_schema}[kind]
    Terminal.of(common).show(render.as_json(make(), indent=2))
