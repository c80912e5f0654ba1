"""Reader of the aliyun CLI's safety policy, `~/.aliyun/safety-policy.json`.

Called by `app.safety_rules`. It decides as the CLI does, and never writes the file. Source: the
directory `sysconfig/safety` of aliyun/aliyun-cli.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from rollout.ecs import cli_config
from rollout.errors import AccessError
from rollout.model.phrase import Wording, say

FILE: Final = "safety-policy.json"
ENABLED_VARIABLE: Final = "ALIBABA_CLOUD_SAFETY_POLICY_ENABLED"
RULES_VARIABLE: Final = "ALIBABA_CLOUD_SAFETY_POLICY_RULES"
"""Replace `enabled` and `rules` of the file. Rules: `PATTERN=ACTION`, separated by commas."""

_FIELDS: Final = {"enabled", "rules", "ossutil"}
"""`ossutil` configures a plugin; older versions of the CLI write it."""
_TRUE: Final = frozenset({"1", "t", "true"})
_FALSE: Final = frozenset({"0", "f", "false"})
_WORD_START: Final = re.compile(r"(?<!^)(?=[A-Z])")


class PolicyAction(enum.StrEnum):
    """What a rule says about the API actions that match it."""

    ALLOW = "allow"
    DENY = "deny"
    CONFIRM = "confirm"


class Rule(NamedTuple):
    """One rule. `pattern` is `PRODUCT:ACTION`, in which `*` stands for any text."""

    pattern: str
    action: PolicyAction

    def matches(self, product: str, action: str) -> bool:
        """Return whether the rule is about an API action, named as in the API or as the CLI's
        plugins spell it (`delete-key-pairs`). Case does not count.
        """
        form = ".*".join(map(re.escape, self.pattern.split("*")))
        names = (f"{product}:{action}", f"{product}:{_WORD_START.sub('-', action)}")
        return any(re.fullmatch(form, name, re.IGNORECASE) for name in names)


class SafetyPolicy(NamedTuple):
    """The rules in force, none if the policy is disabled. `origin` is the file or the variable that
    they come from.
    """

    rules: tuple[Rule, ...]
    origin: str

    def rule_for(self, product: str, action: str) -> Rule | None:
        """Return the first rule that matches an API action; without one the action is allowed."""
        return next((rule for rule in self.rules if rule.matches(product, action)), None)


def read(environment: Mapping[str, str]) -> SafetyPolicy:
    """Return the policy of this user; without a file and variables it has no rules.

    Errors: AccessError R0418 if the file or a variable is damaged: it may forbid anything.
    """
    path = cli_config.home(environment) / cli_config.FOLDER / FILE
    enabled, rules = _read_file(path)
    origin = str(path)
    if ENABLED_VARIABLE in environment:
        enabled = _boolean(environment[ENABLED_VARIABLE])
    if RULES_VARIABLE in environment:
        rules, origin = _rules_of_text(environment[RULES_VARIABLE]), RULES_VARIABLE
    return SafetyPolicy(rules if enabled else (), origin)


def _read_file(path: Path) -> tuple[bool, tuple[Rule, ...]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False, ()
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(
            str(path), say("it cannot be read ({kind})", kind=type(error).__name__)
        ) from None
    if not isinstance(found, dict):
        raise _damaged(str(path), say("it is not a JSON object"))
    if unknown := sorted(found.keys() - _FIELDS):
        raise _damaged(str(path), say("`{unknown}` is unknown", unknown=unknown[0]))
    enabled, rows = found.get("enabled", False), found.get("rules")
    if not isinstance(enabled, bool):
        raise _damaged(str(path), say("`enabled` is neither true nor false"))
    if not isinstance(rows, list | None):
        raise _damaged(str(path), say("`rules` is not a list"))
    rules = (_rule_of_row(str(path), row, number) for number, row in enumerate(rows or []))
    return enabled, tuple(rules)


def _rule_of_row(origin: str, row: Any, number: int) -> Rule:
    if not isinstance(row, dict) or row.keys() != {"pattern", "action"}:
        raise _damaged(
            origin,
            say("rules[{number}] has other fields than `pattern` and `action`", number=number),
        )
    return _rule(origin, row["pattern"], row["action"], f"rules[{number}]")


def _rules_of_text(text: str) -> tuple[Rule, ...]:
    entries = text.split(",") if text.strip() else []
    rules = []
    for number, entry in enumerate(entries, 1):
        pattern, _, action = entry.partition("=")
        rules.append(_rule(RULES_VARIABLE, pattern, action, f"entry {number}"))
    return tuple(rules)


def _rule(origin: str, pattern: object, action: object, where: str) -> Rule:
    """Return a rule. `forbid` is another word for `confirm`, as in the CLI."""
    if not isinstance(pattern, str) or not pattern.strip():
        raise _damaged(origin, say("{where} has no pattern", where=where))
    word = action.strip().lower() if isinstance(action, str) else ""
    try:
        found = PolicyAction("confirm" if word == "forbid" else word)
    except ValueError:
        raise _damaged(
            origin, say("the action of {where} is none of allow, deny, confirm", where=where)
        ) from None
    return Rule(pattern.strip(), found)


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise _damaged(ENABLED_VARIABLE, say("it is neither true nor false"))
    return word in _TRUE


def _damaged(origin: str, why: Wording) -> AccessError:
    return AccessError.of(
        "R0418",
        say("the safety policy in {origin} is not usable: {why}", origin=origin, why=why),
        help=say("correct it; `aliyun configure safety-policy show` prints the policy")
        if origin not in (ENABLED_VARIABLE, RULES_VARIABLE)
        else say("correct or unset the variable"),
    )
