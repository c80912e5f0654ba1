"""Read the spec that a plan stores, with what its files contained when it was planned.

Called by `diff` and `derived`. Reads no file that the spec names.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from rollout import specfile
from rollout.model.override import Override
from rollout.model.plan import Plan, PlanOverride
from rollout.model.spec import Spec


def read(plan: Plan, overrides: Iterable[PlanOverride] = ()) -> Spec:
    """Return the spec in a plan with these overrides, and with the plan's name and content of the
    public key and the plan's keys of approvers. Errors: as `specfile.parse_stored`.
    """
    given = [Override(one.field, one.value) for one in overrides]
    key, here = plan.keys[0], Path.cwd()
    spec = specfile.parse_stored(plan.spec_text, key.public_key, here, given, name=key.name)
    approvers = plan.approvers()
    if spec.approvals is None or approvers is None:
        return spec
    rule = msgspec.structs.replace(spec.approvals, keys=approvers.keys)  # not those of the files
    return msgspec.structs.replace(spec, approvals=rule)
