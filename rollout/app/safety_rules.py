"""Obey the safety policy of the aliyun CLI: which API actions it denies or wants confirmed.

Called before the first call of a connection, before a run or a key pair is changed, and by
`doctor`. Makes no API calls.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from rollout.ecs import cli_policy, contract
from rollout.ecs.cli_policy import PolicyAction
from rollout.errors import AccessError, ConfirmationError
from rollout.model.phrase import say
from rollout.model.plan import Plan, RestartKind
from rollout.model.spec import Calls

READS: Final = (
    "GetCallerIdentity",
    "DescribeRegions",
    "DescribeInstances",
    "DescribeInstanceStatus",
    "DescribeKeyPairs",
)
"""What commands read before they change anything. Only `deny` counts for them: the CLI's `confirm`
is meant for changes."""
CHANGES: Final = (
    "ImportKeyPair",
    "AttachKeyPair",
    *(kind.action(many=many) for kind in RestartKind for many in (False, True)),
)
"""What a run may send to change something."""
DISABLED: Final = {cli_policy.ENABLED_VARIABLE: "false"}
"""The environment of the demo, whose emulator is not what a policy protects."""


def check_reads(environment: Mapping[str, str] = os.environ) -> None:
    """Raise AccessError R0417 if a rule denies what every command reads, R0418 as `check`."""
    check(READS, environment)


def check(actions: Iterable[str], environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return a text for each of these API actions that must be confirmed.

    Errors: AccessError R0417 for a denied action, R0418 for a damaged policy.
    """
    found = matched(actions, environment)
    for one in found:
        if one.denied:
            raise AccessError.of(
                "R0417",
                say("{text} is denied by the safety policy of the aliyun CLI", text=one.text),
                help=say(
                    "`aliyun configure safety-policy list` lists the rules; change the rule "
                    "if this action is intended"
                ),
            )
    return [one.text for one in found]


class Matched(NamedTuple):
    """An API action that a rule denies or wants confirmed. `text` names both."""

    denied: bool
    text: str


def matched(actions: Iterable[str], environment: Mapping[str, str] = os.environ) -> list[Matched]:
    """Return those of these API actions that are not simply allowed. Errors: R0418."""
    policy = cli_policy.read(environment)
    found = []
    for action in actions:
        product = _product(action)
        rule = policy.rule_for(product, action)
        if rule is not None and rule.action is not PolicyAction.ALLOW:
            text = f"{product}:{action} (rule `{rule.pattern}` in {policy.origin})"
            found.append(Matched(rule.action is PolicyAction.DENY, text))
    return found


def check_plan(plan: Plan, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return a text for each API action of a plan's run that must be confirmed. Errors: `check`."""
    return check(actions_of(plan), environment)


def check_confirmed(plan: Plan, *, confirmed: bool) -> None:
    """Raise ConfirmationError R0701 if an action of a plan must be confirmed, and was not. Errors:
    as `check`.
    """
    rules = check_plan(plan)
    if rules and not confirmed:
        raise ConfirmationError.of(
            "R0701",
            say("the safety policy wants a confirmation for {rules}", rules=rules[0]),
            help=say("apply it with `rollout apply PLAN --confirm {name}`", name=plan.name),
        )


def actions_of(plan: Plan) -> list[str]:
    """Return the API actions that a run of this plan may send to change something.

    An instance that was planned as stopped may run by then, and is rebooted.
    """
    targets = list(plan.targets())
    actions = []
    if any(not one.present for key in plan.keys for one in key.regions) and targets:
        actions.append("ImportKeyPair")
    if any(target.attach for target in targets):
        actions.append("AttachKeyPair")
    kinds = {target.restart for target in targets}
    if RestartKind.START in kinds:
        kinds.add(RestartKind.REBOOT)
    many = (False, True) if plan.calls is Calls.BATCH else (False,)
    actions += [kind.action(many=one) for kind in RestartKind if kind in kinds for one in many]
    return actions


def _product(action: str) -> str:
    return "sts" if contract.ACTIONS[action].version == contract.STS_VERSION else "ecs"
