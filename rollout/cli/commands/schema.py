"""`rollout schema spec`: the JSON Schema that editors and hooks check specs with."""

from __future__ import annotations

import json
from typing import Literal

from rollout.cli.options import Common
from rollout.cli.terminal import Terminal


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
        What the schema describes.
    """
    from rollout import specfile

    make = {"spec": specfile.json_schema}[kind]
    Terminal.of(common).show(json.dumps(make(), indent=2, ensure_ascii=False))
