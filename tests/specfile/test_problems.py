"""All problems of a spec are reported at once, each with its place and a fix."""

from pathlib import Path

import pytest

from tests.specfile import example

_AT = "  onUnknown: hold"


def _gate(text: str) -> str:
    return f"  gates: [{text}]\n{_AT}"


def _windows(text: str, code: str, hint: str | None) -> list[tuple[str, str, str, str | None]]:
    """Return the row of a spec with these windows."""
    return [(_AT, f"  windows: {{ {text} }}", code, hint)]


BAD = [
    # head and names
    ("rollout/v1", "@@rollout/v2", "R0102", "rollout/v1"),
    ("KeyRotation", "@@KeyRotations", "R0102", "KeyRotation"),
    ("name: prod-2026q4", "name: @@Prod", "R0110", "a-z"),
    ("name: prod-2026q4", "name: @@../../etc", "R0110", "file names"),
    ("name: prod-2026q4", "name: @@" + "a" * 64, "R0110", "63"),
    ("name: ops-2026q4", "name: @@2fast", "R0110", "letter"),
    ("{ team: platform }", "{ team: @@48213 }", "R0105", "quotes"),
    # unknown names, and names of other tools
    ("  onUnknown: hold", "  @@onUnkown: hold", "R0104", "onUnknown"),
    ("  onUnknown: hold", "  @@on_unknown: hold", "R0104", "write `onUnknown`"),
    ("maxDown: 5%", "@@maxUnavailable: 5%", "R0104", "of kubectl is called"),
    ("size: cover }", "size: cover, @@soak: 30m }", "R0104", "a pipeline is called `bake` here"),
    ('select: "env=prod"', '@@filters: "env=prod"', "R0104", "select"),
    ("onUnknown: hold", "onUnknown: @@hodl", "R0105", "hold"),
    ("stopped: leave", "stopped: @@leaf", "R0105", "leave"),
    ("source: ecs", "source: @@ec2", "R0105", "ecs"),
    ("    - source: ecs\n      regions", "    - @@regions", "R0103", "source: ecs"),
    ("keys/ops.pub\n", "keys/ops.pub\n    ensure: @@imprt\n", "R0105", "import"),
    # types
    ("maxInstances: 100", "maxInstances: @@many", "R0105", None),
    ("maxInstances: 100", "maxInstances: @@0", "R0105", None),
    ("maxInstances: 100", "maxInstances: @@1.5", "R0105", None),
    ("regions: [cn-hangzhou]", "regions: @@cn-hangzhou", "R0105", None),
    ("regions: [cn-hangzhou]", "regions: @@[]", "R0105", "at least one"),
    ('select: "env=prod"', "@@select:", "R0105", None),
    ("regions: [cn-hangzhou]", "@@regions:", "R0105", None),
    ("[cn-hangzhou]", "[cn-hangzhou, @@CN-Shanghai]", "R0105", "cn-shanghai"),
    ("[cn-hangzhou]", "[@@nowhere]", "R0105", "cn-hangzhou"),
    ('reason: "by hand"', 'reason: @@""', "R0105", "at least one"),
    ('select: "role=bastion"', "instances: @@[]", "R0105", None),
    ('select: "role=bastion"', "instances: [@@i_bp1]", "R0105", "i-bp1legacy0001"),
    ('reason: "by hand"', 'reason: "x", until: @@2026-13-01', "R0105", "2026-12-15"),
    ('reason: "by hand"', 'reason: "x", until: @@tomorrow', "R0105", "2026-12-15"),
    # durations
    ("timeout: 10m", "timeout: @@30", "R0107", "`30s`, `30m`"),
    ("timeout: 10m", "timeout: @@1d", "R0107", "1h30m"),
    ("timeout: 10m", "timeout: @@-5m", "R0107", None),
    ("timeout: 10m", "timeout: @@0s", "R0107", None),
    ("timeout: 10m", "timeout: @@169h", "R0107", "week"),
    ("timeout: 10m", "timeout: @@500ms", "R0107", None),
    ("timeout: 10m", "timeout: @@ten minutes", "R0107", None),
    ("timeout: 10m", "timeout: @@[10m]", "R0107", None),
    ("settleWindow: 5s", "settleWindow: @@true", "R0107", None),
    # approvals
    ("  onUnknown: hold", "  approvals: { keys: [@@keys/none.vkey] }", "R0166", "--new-key"),
    ("  onUnknown: hold", "  approvals: { keys: [@@keys/ops.pub] }", "R0166", "--new-key"),
    ("  onUnknown: hold", "  approvals: { keys: [@@../a.vkey] }", "R0114", "project directory"),
    ("  onUnknown: hold", "  approvals: { @@reviewers: [] }", "R0104", "GitHub is called `keys`"),
    ("  onUnknown: hold", "  @@approvals: { required: 1 }", "R0103", None),
    ("  onUnknown: hold", "  approvals: { required: @@0, keys: [] }", "R0105", None),
    # notifications
    ("  onUnknown: hold", "  notify: [ { to: @@hooks } ]", "R0168", "env:NAME"),
    ("  onUnknown: hold", "  notify: [ { to: @@'http://h.org/x' } ]", "R0168", "https://"),
    ("  onUnknown: hold", "  notify: [ { to: @@'https://h.org/x?key=1' } ]", "R0168", "env:NAME"),
    ("  onUnknown: hold", "  notify: [ { to: @@'https://u:p@h.org' } ]", "R0168", "env:NAME"),
    (
        "  onUnknown: hold",
        "  notify: [ { to: @@'https://oapi.dingtalk.com/robot/send' } ]",
        "R0168",
        "env:NAME",
    ),
    ("  onUnknown: hold", "  notify: [ { to: 'env:A', on: [@@gates] } ]", "R0105", "gate"),
    ("  onUnknown: hold", "  notify: [ { to: 'env:A', lang: @@fr } ]", "R0105", "zh"),
    (
        "  onUnknown: hold",
        "  notify: [ { to: 'env:A', format: slack, secret: @@'env:B' } ]",
        "R0168",
        "leave it out",
    ),
    ("  onUnknown: hold", "  notify: [ { @@url: 'env:A' } ]", "R0104", "`to`"),
    # counts and shares
    ("maxDown: 5%", "maxDown: @@10%%", "R0108", "5%"),
    ("maxDown: 5%", "maxDown: @@-1", "R0108", None),
    ("maxDown: 5%", "maxDown: @@0", "R0108", None),
    ("maxDown: 5%", "maxDown: @@0%", "R0108", None),
    ("maxDown: 5%", "maxDown: @@101%", "R0108", None),
    ("maxDown: 5%", "maxDown: @@1e9", "R0108", None),
    ("maxDown: 5%", "maxDown: @@.nan", "R0108", None),
    ("maxDown: 5%", "maxDown: @@NaN", "R0108", None),
    ("maxDown: 5%", "maxDown: @@0", "R0108", None),
    ("size: cover", "size: @@most", "R0108", "`cover` or `rest`"),
    ("leaveQuota: 30%", "leaveQuota: @@100%", "R0108", "30%"),
    ("leaveQuota: 30%", "leaveQuota: @@5", "R0108", "30%"),
    # selectors, down to the character
    ('"env=prod"', "'env in @@prod'", "R0109", "env=prod"),
    ('"env=prod"', '"env=prod,@@,a=b"', "R0109", None),
    ('"env=prod"', "env=prod @@tier=web", "R0109", None),
    # order of the waves
    ("size: rest", "size: @@10%", "R0115", "never be rotated"),
    ("size: cover", "size: @@rest", "R0115", None),
    ("name: bulk", "name: @@canary", "R0115", "unique name"),
    # gates
    (_AT, _gate("@@{ url: x }"), "R0133", "- http:"),
    (_AT, _gate("{ http: @@ftp://a/b }"), "R0133", None),
    (_AT, _gate('{ http: @@"https://u:p@a/b" }'), "R0134", "headers"),
    (_AT, _gate("{ http: https://a/, headers: { Token: @@abc } }"), "R0134", "env:NAME"),
    (_AT, _gate("@@{ http: http://a/, headers: { Token: env:T } }"), "R0134", "https"),
    (_AT, _gate("@@{ http: https://a/, query: x }"), "R0133", "equals"),
    (_AT, _gate("{ exec: @@[] }"), "R0105", None),
    (_AT, _gate('{ prometheus: https://p, query: up, is: @@"=< 1" }'), "R0133", "< 0.01"),
    (_AT, _gate("{ exec: [check], @@timout: 5s }"), "R0104", "timeout"),
    # fields of later versions
    ("  onUnknown: hold", "  @@accounts: []", "R0106", None),
    ("  onUnknown: hold", "  onFailure: @@{}", "R0136", "failedPercent"),
    ("  onUnknown: hold", "  onFailure: { halt: @@{ failed: 3 } }", "R0136", "in `onFailure`"),
    ("  onUnknown: hold", "  onFailure: { strict: @@true, failedPercent: 1% }", "R0136", "failed"),
    ("  onUnknown: hold", "  onFailure: { failed: 3, minSample: @@9 }", "R0136", "failedPercent"),
    ("  onUnknown: hold", "  onFailure: { failedPercent: @@3 }", "R0108", "`3%`"),
    ("  onUnknown: hold", "  onFailure: { failed: @@0 }", "R0105", None),
    ("  onUnknown: hold", "  onFailure: { failed: 1, @@strickt: true }", "R0104", "`strict`"),
    ("  onUnknown: hold", "  @@windows: {}", "R0103", None),
    ("  onUnknown: hold", "  windows: @@{ timeZone: UTC }", "R0140", "add a rule"),
    *_windows("timeZone: @@Asia/Shanghia", "R0139", "`Asia/Shanghai`"),
    *_windows("timeZone: @@asia/shanghai", "R0139", "`Asia/Shanghai`"),
    *_windows("timeZone: @@CST", "R0139", "IANA"),
    *_windows("timeZone: UTC, allow: [{ from: @@22 }]", "R0140", "`22:30`"),
    *_windows('timeZone: UTC, allow: [{ from: @@"25:00" }]', "R0140", None),
    *_windows("timeZone: UTC, allow: [{ days: [@@monday] }]", "R0140", "`Mon`"),
    *_windows("timeZone: UTC, allow: [@@{ from: 22:30, to: 22:30 }]", "R0140", "whole days"),
    *_windows("timeZone: UTC, allow: [@@{ from: 22:30, to: 22:40 }]", "R0142", "longer"),
    *_windows("timeZone: UTC, allow: [{ days: [Mon] }, @@{ to: 00:11 }]", "R0142", "longer"),
    *_windows("timeZone: UTC, deny: [{ from: @@2026-02-30, to: 2026-03-01 }]", "R0140", None),
    *_windows("timeZone: UTC, deny: [@@{ from: 2026-03-02, to: 2026-03-01 }]", "R0140", "exchange"),
    *_windows("timeZone: UTC, deny: [@@{ from: 2026-03-02 }]", "R0140", "other date"),
    *_windows("timeZone: UTC, deny: [@@{ from: 2026-03-02, to: 05:00 }]", "R0140", "two times"),
    *_windows("timeZone: UTC, deny: [@@{ calendar: a.ics, days: [Mon] }]", "R0140", "two rules"),
    *_windows("timeZone: UTC, deny: [{ calendar: @@../a.ics }]", "R0114", None),
    ("  onUnknown: hold", "  @@terraform: {}", "R0106", None),
    ("  onUnknown: hold", "  @@schedule: { cron: '0 9 * * *' }", "R0103", None),
    ("  onUnknown: hold", "  schedule: { cron: @@9 9 9, timeZone: UTC }", "R0160", "minute"),
    ("  onUnknown: hold", "  schedule: { cron: @@0 9 31 2 *, timeZone: UTC }", "R0160", None),
    ("  onUnknown: hold", "  schedule: { cron: 0 9 1 1 *, timeZone: @@UTCC }", "R0139", "UTC"),
    (
        "  onUnknown: hold",
        "  schedule: { cron: 0 9 1 1 *, timeZone: UTC, catchUp: @@2h }",
        "R0162",
        "10m",
    ),
    (
        "  onUnknown: hold",
        "  schedule: { cron: 0 9 1 1 *, timeZone: UTC, onDue: @@apply }",
        "R0105",
        "planAndApply",
    ),
    ("name: ops-2026q4", "name: ops-@@{yaer}", "R0163", "{year}"),
    ("name: ops-2026q4", "name: ops-@@{hour}", "R0163", "{month}"),
    ("  onUnknown: hold", "  @@spreadOver: [zone]", "R0106", None),
    ("size: cover }", "size: cover, bake: @@30 }", "R0107", None),
    ("size: cover }", "size: cover, gate: @@open }", "R0105", "manual"),
    ("size: rest }", "size: rest, bake: @@30m }", "R0120", "remove `bake`"),
    ("  onUnknown: hold", "  onFailure: { failed: 3, quarantine: @@true }", "R0136", "`failed: 4`"),
    ("  onUnknown: hold", "  last: [@@{ reason: x }]", "R0105", "give one"),
    ("  onUnknown: hold", "  last: [{ select: @@=x }]", "R0109", None),
    ("  onUnknown: hold", "  last: [{ instances: [i-1], @@until: 2026-01-01 }]", "R0104", None),
    ("size: rest }", "size: rest, gate: @@auto }", "R0120", "remove `gate`"),
    ("maxDown: 5%", "maxDown: 5%, restartsPer10m: @@0", "R0105", None),
    ("maxDown: 5%", "restartsPer10m: @@5%", "R0105", None),
    ("{ by: fleet, maxDown: 5% }", "@@{ by: fleet }", "R0130", "`restartsPer10m`"),
    ("{ by: fleet, maxDown: 5% }", "@@{ by: fleet, restartsPer10m: 5, atLeast: 1 }", "R0105", None),
    ("by: fleet", "by: @@loadBalancer", "R0106", "tag:KEY"),
    ("by: fleet", "by: @@scalinggroup", "R0105", "`scalingGroup`"),
    ("by: fleet", "by: @@zones", "R0105", "`zone`"),
    ("by: fleet", 'by: @@"tag:"', "R0105", "tag:KEY"),
    ("maxDown: 5%", "maxDown: 5%, atLeast: @@0", "R0105", None),
    ("{ by: fleet, maxDown: 5% }", "@@{ by: fleet, maxDown: 5, atLeast: 1 }", "R0105", "leave out"),
    ("stopped: leave", "stopped: @@startThenStop", "R0106", "start"),
    ("stopped: leave", "running: @@defer", "R0106", "reboot"),
    ("source: ecs", "source: @@terraform", "R0106", "csv"),
    # YAML
    ("kind: KeyRotation", "kind: KeyRotation\n@@kind: KeyRotation", "R0101", "line 2"),
    ("timeout: 10m", "timeout: @@!foo 10m", "R0111", None),
    ("  onUnknown: hold", "  @@<<: {}", "R0111", None),
    ("  onUnknown: hold", "  ? @@[a]\n  : b", "R0105", None),
    ("timeout: 10m", "timeout: &a @@*a", "R0101", None),
    ("apiVersion", "@@%YAML 1.1\n---\napiVersion", "R0111", None),
    ("  limits:", "@@---\n  limits:", "R0111", "one spec"),
    ("hold\n", '@@"hold\n', "R0101", None),
    ("  onUnknown: hold", "@@\tonUnknown: hold", "R0101", "spaces"),
    ("team: platform", "team: '@@\x07'", "R0101", None),
]
"""Part of the example, its replacement with the mark, the code, a word of the fix."""


MISSING = [
    ("kind: KeyRotation\n", "kind", 1),
    ("  name: prod-2026q4\n", "name", 3),
    ("    name: ops-2026q4\n", "name", 7),
    (', reason: "by hand"', "reason", 15),
    (", size: rest", "size", 21),
    ("      regions: [cn-hangzhou]\n", "regions", 11),
]
"""The part to remove from the example, the missing field, the line of its mapping."""


@pytest.mark.parametrize("old,new,code,hint", BAD, ids=[f"{row[2]} {row[1]!r}" for row in BAD])
def test_a_wrong_part_is_reported_at_its_place(
    tmp_path: Path, old: str, new: str, code: str, hint: str | None
) -> None:
    """Each problem has its code, the exact line and column, and a fix if one is known."""
    text, line, column = example.edited(old, new)

    found = example.problems(tmp_path, text)

    place = found[0].place
    assert place is not None
    assert (found[0].code, place.line, place.column) == (code, line, column), found
    assert hint is None or hint in (found[0].help or ""), found[0].help


@pytest.mark.parametrize("part,field,line", MISSING)
def test_a_missing_field_is_reported_at_its_mapping(
    tmp_path: Path, part: str, field: str, line: int
) -> None:
    """A missing field has the place of its mapping."""
    (found,) = example.problems(tmp_path, example.TEXT.replace(part, "", 1))

    assert (found.code, found.message) == ("R0103", f"`{field}` is missing")
    assert found.place is not None
    assert found.place.line == line


def test_all_problems_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """One run of validate reports all problems."""
    text = (
        example.TEXT.replace("rollout/v1", "v1")
        .replace("ops.pub", "none.pub")
        .replace("env=prod", "env=")
        .replace("5%", "5")
        .replace("timeout: 10m", "timeout: 10")
        .replace("onUnknown", "onUnkown")
    )

    found = example.problems(tmp_path, text)

    assert [problem.code for problem in found] == ["R0102", "R0113", "R0109", "R0107", "R0104"]
    lines = [problem.place.line for problem in found if problem.place and problem.place.line]
    assert lines == sorted(lines)


def test_a_typo_is_one_problem(tmp_path: Path) -> None:
    """A misspelled required field is one problem, not also a missing field."""
    text = example.TEXT.replace("maxDown", "maxUnavailable")

    (found,) = example.problems(tmp_path, text)

    assert found.code == "R0104"


def test_a_typo_next_to_the_right_field_hides_nothing(tmp_path: Path) -> None:
    """A misspelled field is combined with a missing field only, not with an invalid value."""
    text = example.TEXT.replace('select: "env=prod"', 'select: "env="\n      slect: x')

    assert [each.code for each in example.problems(tmp_path, text)] == ["R0109", "R0104"]


def test_the_marked_width_is_that_of_the_name(tmp_path: Path) -> None:
    """The caret marks the whole word with its quotes, or one character of a selector."""
    text = example.TEXT.replace("onUnknown: hold", "onUnknown: 'hodl'")

    (found,) = example.problems(tmp_path, text)

    assert found.place is not None
    assert (found.place.text, found.place.width) == ("  onUnknown: 'hodl'", 6)
