"""The safety policy of the aliyun CLI: the same decisions as the CLI's, and no way around them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.ecs import cli_policy
from rollout.ecs.cli_policy import PolicyAction, Rule, SafetyPolicy
from rollout.errors import AccessError, Exit
from tests.fuzz import edited, fuzzed, json_values

DENY_DELETE = {"pattern": "*:Delete*", "action": "deny"}
POLICY = {"enabled": True, "rules": [DENY_DELETE, {"pattern": "ecs:*", "action": "confirm"}]}


def write(folder: Path, content: str | bytes) -> dict[str, str]:
    """An environment whose home directory has this policy file."""
    (folder / ".aliyun").mkdir(exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    (folder / ".aliyun" / "safety-policy.json").write_bytes(data)
    return {"HOME": str(folder)}


def decided(policy: SafetyPolicy, name: str) -> str:
    """What the policy says about `PRODUCT:ACTION`."""
    rule = policy.rule_for(*name.split(":"))
    return "allow" if rule is None else rule.action


@pytest.mark.parametrize(
    "pattern,name,matches",
    [
        ("*:Delete*", "ecs:DeleteKeyPairs", True),
        ("*:delete*", "ecs:DeleteKeyPairs", True),
        (" ecs:Delete* ", "ecs:DeleteKeyPairs", True),
        ("ecs:DeleteKeyPairs", "ecs:DeleteKeyPairs", True),
        ("ecs:Delete", "ecs:DeleteKeyPairs", False),
        ("cs:Delete*", "ecs:DeleteKeyPairs", False),
        ("*", "ecs:AttachKeyPair", True),
        ("ecs:delete-*", "ecs:DeleteKeyPairs", True),
        ("ecs:attach-key-pair", "ecs:AttachKeyPair", True),
        ("ecs:Delete.*", "ecs:DeleteKeyPairs", False),
        ("*:DELETE", "ecs:DeleteKeyPairs", False),
    ],
)
def test_a_pattern_matches_as_in_the_cli(
    tmp_path: Path, pattern: str, name: str, *, matches: bool
) -> None:
    """`*` is any text, case does not count, other signs stand for themselves, and the whole name
    must match, in either of its two spellings.
    """
    rules = [{"pattern": pattern, "action": "deny"}]
    policy = cli_policy.read(write(tmp_path, json.dumps({"enabled": True, "rules": rules})))

    assert decided(policy, name) == ("deny" if matches else "allow")


def test_the_first_matching_rule_decides(tmp_path: Path) -> None:
    """An earlier rule wins, and an action without a rule is allowed."""
    policy = cli_policy.read(write(tmp_path, json.dumps(POLICY)))

    assert decided(policy, "ecs:DeleteKeyPairs") == "deny"
    assert decided(policy, "ecs:AttachKeyPair") == "confirm"
    assert decided(policy, "sts:GetCallerIdentity") == "allow"
    assert policy.origin.endswith("safety-policy.json")


@pytest.mark.parametrize(
    "content,variables,expected",
    [
        (None, {}, "allow"),
        ({}, {}, "allow"),
        ({"enabled": True}, {}, "allow"),
        ({"enabled": True, "rules": None}, {}, "allow"),
        ({"enabled": False, "rules": [DENY_DELETE]}, {}, "allow"),
        ({"enabled": True, "rules": [DENY_DELETE], "ossutil": {}}, {}, "deny"),
        ({"enabled": False, "rules": [DENY_DELETE]}, {"ENABLED": " TRUE "}, "deny"),
        (POLICY, {"ENABLED": "false"}, "allow"),
        (POLICY, {"RULES": ""}, "allow"),
        (POLICY, {"RULES": "*:Delete*=FORBID , ecs:*=allow"}, "confirm"),
        (None, {"ENABLED": "1", "RULES": "ecs:Delete*=deny"}, "deny"),
        (None, {"RULES": "ecs:Delete*=deny"}, "allow"),
    ],
)
def test_variables_replace_the_parts_of_the_file(
    tmp_path: Path, content: dict[str, Any] | None, variables: dict[str, str], expected: str
) -> None:
    """`enabled` and `rules` have a variable each; `forbid` is another word for `confirm`."""
    environment = {"HOME": str(tmp_path)}
    if content is not None:
        environment = write(tmp_path, json.dumps(content))
    named = {f"ALIBABA_CLOUD_SAFETY_POLICY_{name}": text for name, text in variables.items()}

    assert decided(cli_policy.read(environment | named), "ecs:DeleteKeyPairs") == expected


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"enabled": true} {}',
        '{"enabled": "yes"}',
        '{"enabled": true, "rule": []}',
        '{"enabled": true, "rules": {}}',
        '{"enabled": true, "rules": ["*:Delete*"]}',
        '{"enabled": true, "rules": [{"pattern": "ecs:*"}]}',
        '{"enabled": true, "rules": [{"pattern": " ", "action": "deny"}]}',
        '{"enabled": false, "rules": [{"pattern": "*", "action": "block"}]}',
        '{"enabled": true, "rules": [{"pattern": "*", "action": "deny", "until": 1}]}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_allows_nothing(tmp_path: Path, content: str | bytes) -> None:
    """A file whose meaning is not certain may forbid anything, so the command ends with exit 4,
    also where variables would replace its content.
    """
    environment = write(tmp_path, content)
    for extra in ({}, {cli_policy.ENABLED_VARIABLE: "false", cli_policy.RULES_VARIABLE: ""}):
        with pytest.raises(AccessError) as caught:
            cli_policy.read(environment | extra)
        assert (caught.value.problems[0].code, caught.value.exit) == ("R0418", Exit.DENIED)
        assert "safety-policy.json" in str(caught.value)


@pytest.mark.parametrize(
    "name,text",
    [
        (cli_policy.ENABLED_VARIABLE, "maybe"),
        (cli_policy.RULES_VARIABLE, "ecs:*"),
        (cli_policy.RULES_VARIABLE, "ecs:*=deny,"),
        (cli_policy.RULES_VARIABLE, "=deny"),
        (cli_policy.RULES_VARIABLE, "ecs:*=block"),
    ],
)
def test_a_damaged_variable_allows_nothing(tmp_path: Path, name: str, text: str) -> None:
    """The error names the variable."""
    with pytest.raises(AccessError, match=name) as caught:
        cli_policy.read({"HOME": str(tmp_path), name: text})
    assert caught.value.problems[0].code == "R0418"


def test_an_unreadable_file_allows_nothing(tmp_path: Path) -> None:
    """A directory in the place of the file is damage, not a missing file."""
    (tmp_path / ".aliyun" / "safety-policy.json").mkdir(parents=True)
    with pytest.raises(AccessError) as caught:
        cli_policy.read({"HOME": str(tmp_path)})
    assert caught.value.problems[0].code == "R0418"


@given(st.lists(st.tuples(st.text("ecs:AKPt*.-", max_size=8), st.sampled_from(PolicyAction))))
def test_a_rule_for_everything_ends_the_search(rules: list[tuple[str, PolicyAction]]) -> None:
    """Rules after `*` never count, and a pattern without `*` matches only its own name."""
    before = tuple(Rule(pattern, action) for pattern, action in rules)
    last = Rule("*", PolicyAction.DENY)
    policy = SafetyPolicy((*before, last, Rule("*", PolicyAction.ALLOW)), "")
    found = policy.rule_for("ecs", "AttachKeyPair")

    assert found == next((rule for rule in before if rule.matches("ecs", "AttachKeyPair")), last)
    for rule in before:
        if "*" not in rule.pattern and rule.matches("ecs", "AttachKeyPair"):
            assert rule.pattern.lower() in ("ecs:attachkeypair", "ecs:attach-key-pair")


def read_or_refused(environment: dict[str, str]) -> bool:
    """Whether reading the policy gives rules or R0418."""
    try:
        return isinstance(cli_policy.read(environment), SafetyPolicy)
    except AccessError as error:
        return error.problems[0].code == "R0418"


@fuzzed
@given(edited(json.dumps(POLICY)))
def test_no_policy_file_crashes_its_reader(tmp_path: Path, content: bytes) -> None:
    """Odd bytes anywhere in the file: rules, or R0418."""
    assert read_or_refused(write(tmp_path, content))


@fuzzed
@given(json_values(st.sampled_from(["enabled", "rules", "pattern", "action"])))
def test_no_value_crashes_its_reader(tmp_path: Path, value: Any) -> None:
    """Values of any form under the names that the file has: rules, or R0418."""
    assert read_or_refused(write(tmp_path, json.dumps(value)))
    assert read_or_refused(write(tmp_path, json.dumps({"enabled": True, "rules": [value]})))
