"""Loading a spec: the values read, the files refused before parsing, and no repeated secret."""

import os
from pathlib import Path

import pytest

from rollout import specfile
from rollout.cli.errors import rendering
from rollout.errors import Exit, Place, SpecError
from rollout.model import plan as plans
from rollout.model import spec
from tests import tree
from tests.app import factory
from tests.specfile import example

PEM = "-----BEGIN OPENSSH PRIVATE KEY-----"


def test_the_example_becomes_a_spec(tmp_path: Path) -> None:
    """Every field is parsed: durations in milliseconds, shares in millionths."""
    loaded = example.load(tmp_path, example.TEXT)

    read = loaded.spec
    assert loaded.warnings == ()
    assert (read.name, read.labels) == ("prod-2026q4", {"team": "platform"})
    assert read.key_pair == spec.KeyPairSpec("ops-2026q4", example.KEY, spec.Ensure.REQUIRE)
    source = read.inventory[0]
    assert isinstance(source, spec.EcsSource)
    assert source.regions == ("cn-hangzhou",)
    assert source.select is not None
    assert source.select.matches((("env", "prod"),))
    assert read.exclude[0].reason == "by hand"
    assert read.restart == spec.Restart(spec.Stopped.LEAVE, spec.Calls.SINGLE, 600_000, 5_000)
    assert read.budgets == (spec.Budget("fleet", spec.Amount(share_ppm=50_000)),)
    assert [wave.kind for wave in read.waves] == [spec.WaveKind.COVER, spec.WaveKind.REST]
    assert read.limits == spec.Limits(300_000, 100, 1_000)
    assert read.text == example.TEXT


def test_what_is_left_out_gets_its_default(tmp_path: Path) -> None:
    """Defaults of the shortest spec: one wave, five percent down, restarts in doubt are held."""
    head, _, _ = example.TEXT.partition("  exclude:")

    read = example.load(tmp_path, head).spec

    assert read.waves == (spec.WaveSpec("all", spec.WaveKind.REST),)
    assert read.budgets == (spec.Budget(),)
    assert read.restart == spec.Restart()
    assert read.on_unknown is spec.OnUnknown.HOLD
    assert read.limits == spec.Limits()
    assert read.allow_password_loss is False


def test_file_sources_keep_columns_and_region(tmp_path: Path) -> None:
    """A table's headings and the region of its rows are in the spec's source."""
    columns = "{ id: 实例, osType: 系统 }"
    source = f"    - {{ source: csv, path: fleet.csv, region: cn-beijing, columns: {columns} }}"
    text = example.TEXT.replace("    - source: ecs\n", source + "\n    - source: ecs\n")

    read = example.load(tmp_path, text).spec

    wanted = spec.FileSource("csv", "fleet.csv", {"id": "实例", "osType": "系统"}, "cn-beijing")
    assert read.inventory[0] == wanted


def test_a_rule_holds_through_its_last_day(tmp_path: Path) -> None:
    """`until` is the last day of the rule, which ends at the next midnight UTC."""
    text = example.TEXT.replace('reason: "by hand"', "reason: x, until: 2026-12-15")

    (rule,) = example.load(tmp_path, text).spec.exclude

    assert rule.until == 1_797_379_200_000  # 2026-12-16T00:00:00Z


@pytest.mark.parametrize("bom,newline", [("\ufeff", "\n"), ("", "\r\n"), ("\ufeff", "\r\n")])
def test_editors_of_windows_are_welcome(tmp_path: Path, bom: str, newline: str) -> None:
    """A BOM and CRLF change only the text that the plan stores."""
    text = bom + example.TEXT.replace("\n", newline)

    read = example.load(tmp_path, text).spec

    assert read.text == text
    assert read.name == "prod-2026q4"


def _unreadable(folder: Path, kind: str) -> Path:
    path = folder / "spec.yaml"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    return path


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "loop"])
def test_what_is_no_file_is_an_io_error(tmp_path: Path, kind: str) -> None:
    """A spec that cannot be read ends with 74, and a FIFO is refused without waiting."""
    with pytest.raises(SpecError) as caught:
        specfile.load(_unreadable(tmp_path, kind), tmp_path)

    assert caught.value.exit is Exit.IO
    assert caught.value.problems[0].code == "R0100"


def test_not_utf_8_is_refused_with_its_place(tmp_path: Path) -> None:
    """GB18030 is reported with line and column of its first byte."""
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"a: 1\nb: " + "华东".encode("gb18030"))

    with pytest.raises(SpecError) as caught:
        specfile.load(path, tmp_path)

    (problem,) = caught.value.problems
    assert problem.code == "R0101"
    assert str(problem.place) == f"{path}:2:4"


def test_a_huge_file_is_refused_unparsed(tmp_path: Path) -> None:
    """A spec of more than 5 MiB is refused."""
    found = example.problems(tmp_path, "#" * (5 * 1024**2 + 1))

    assert [problem.code for problem in found] == ["R0111"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_reported_as_empty(tmp_path: Path, text: str) -> None:
    """An empty file is one problem, not a list of missing fields."""
    (problem,) = example.problems(tmp_path, text)

    assert problem.code in {"R0103", "R0105"}


def test_a_list_is_no_spec(tmp_path: Path) -> None:
    """A document that is not a mapping has one problem."""
    (problem,) = example.problems(tmp_path, "- 1\n")

    assert (problem.code, problem.message) == ("R0105", "expected a mapping, found a list")


def test_a_world_writable_spec_is_warned_of(tmp_path: Path) -> None:
    """A world-writable spec causes a warning, because its writers can rotate the fleet."""
    path = example.project(tmp_path) / "spec.yaml"
    path.write_text(example.TEXT, "utf-8")
    path.chmod(0o666)

    (warning,) = specfile.load(path, tmp_path).warnings

    assert warning.code == "R0116"


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(f'*{old}' for _ in range(10))}]\n"
    for old, new in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize("text", [BOMB, "a: &a [*a]\n", "a: " + "[" * 40 + "]" * 40])
def test_aliases_and_nesting_have_bounds(tmp_path: Path, text: str) -> None:
    """An alias bomb, a recursive alias and deep nesting are each one problem."""
    assert "R0111" in [problem.code for problem in example.problems(tmp_path, text)]


def test_an_alias_within_bounds_is_fine(tmp_path: Path) -> None:
    """Repeating a value by alias is valid."""
    text = example.TEXT.replace('"env=prod"', '&prod "env=prod"').replace('"role=bastion"', "*prod")

    read = example.load(tmp_path, text).spec

    assert read.exclude[0].select is not None
    assert read.exclude[0].select.text == "env=prod"


SECRETS = [
    ("labels: { team: platform }", "labels: { team: LTAI5tSecretSecretSecret }"),
    ("labels: { team: platform }", f'labels: {{ team: "{PEM}" }}'),
    ("  onUnknown: hold", "  accessKeySecret: LongSecretSecretSecret"),
    ("  onUnknown: hold", f"  key: |\n    {PEM}\n    SecretSecret\n    -----END PRIVATE KEY-----"),
    ("name: ops-2026q4", "name: STS.NSecretSecretSecretSecret"),
    ("regions: [cn-hangzhou]", "regions: [LTAI5tSecretSecretSecret]"),
    ("by: fleet", "by: LTAI5tSecretSecretSecret"),
    ("onUnknown: hold", "onUnknown: LTAI5tSecretSecretSecret"),
]


@pytest.mark.parametrize("old,new", SECRETS)
def test_a_secret_is_refused_and_never_repeated(tmp_path: Path, old: str, new: str) -> None:
    """A key or AccessKey in any value is reported without its text."""
    text = example.TEXT.replace(old, new)

    with pytest.raises(SpecError) as caught:
        example.load(tmp_path, text)

    assert "R0112" in [problem.code for problem in caught.value.problems]
    assert "Secret" not in rendering.render(caught.value).replace("accessKeySecret", "")
    assert "Secret" not in str(caught.value).replace("accessKeySecret", "")


def test_a_reference_to_a_secret_is_none(tmp_path: Path) -> None:
    """`env:NAME` names the variable with the secret and is accepted."""
    text = example.TEXT.replace(
        "  onUnknown: hold", '  notify: [{ to: "env:URL", secret: "env:HOOK" }]'
    )

    (receiver,) = example.load(tmp_path, text).spec.notify
    assert (receiver.to, receiver.secret) == ("env:URL", "env:HOOK")


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\u2029"])
def test_a_comment_does_not_end_at_an_invisible_character(tmp_path: Path, mark: str) -> None:
    """U+0085, U+2028 and U+2029 in a comment are refused with their place, because the text after
    them would be read as YAML.
    """
    text = example.TEXT.replace("apiVersion", f"# note{mark}labels: 1\napiVersion", 1)

    (problem,) = example.problems(tmp_path, text)

    assert (problem.code, f"U+{ord(mark):04X}" in problem.message) == ("R0101", True)


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\x0c"])
def test_the_comment_of_a_public_key_may_hold_any_character(tmp_path: Path, mark: str) -> None:
    """A key file has one line, by OpenSSH's definition of a line."""
    folder = example.project(tmp_path)
    (folder / "keys" / "odd.pub").write_bytes(f"{example.KEY}{mark}desk\r\n".encode())

    found = example.load(folder, example.TEXT.replace("ops.pub", "odd.pub"))

    assert found.spec.key_pair.public_key == f"{example.KEY}{mark}desk"


@pytest.mark.parametrize(
    "path", ["../ops.pub", "keys/../../ops.pub", "/etc/passwd", "link.pub", "keys/out/ops.pub"]
)
def test_paths_stay_in_the_project(tmp_path: Path, path: str) -> None:
    """Paths with dots, absolute paths and links must not leave the project."""
    inside = tmp_path / "project"
    inside.mkdir()
    (tmp_path / "ops.pub").write_text(example.KEY, "utf-8")
    (inside / "link.pub").symlink_to(tmp_path / "ops.pub")
    example.project(inside)
    (inside / "keys" / "out").symlink_to(tmp_path)

    (problem,) = example.problems(inside, example.TEXT.replace("keys/ops.pub", path))

    assert problem.code == "R0114"


def test_an_absolute_path_inside_is_fine(tmp_path: Path) -> None:
    """A path is checked by its real location, not by its spelling."""
    text = example.TEXT.replace("keys/ops.pub", str(tmp_path / "keys" / "ops.pub"))

    assert example.load(tmp_path, text).spec.key_pair.public_key == example.KEY


@pytest.mark.parametrize(
    "content,code",
    [
        (PEM + "\nSecret\n", "R0112"),
        ("PuTTY-User-Key-File-2: ssh-rsa\n", "R0112"),
        ("", "R0113"),
        ("ssh-rsa\n", "R0113"),
        ("ssh-rsa AAAA\n", "R0113"),
        (example.KEY + "\n" + example.KEY + "\n", "R0113"),
        ("x" * 20_000, "R0113"),
    ],
)
def test_the_public_key_is_checked(tmp_path: Path, content: str, code: str) -> None:
    """The key file must have one OpenSSH line; a private key is refused and not repeated."""
    example.project(tmp_path)
    (tmp_path / "keys" / "other.pub").write_text(content, "utf-8")

    (problem,) = example.problems(tmp_path, example.TEXT.replace("ops.pub", "other.pub"))

    assert problem.code == code
    assert "Secret" not in f"{problem.message}{problem.help}"


@pytest.mark.parametrize("path", sorted((tree.ROOT / "plans").glob("*.yaml")), ids=lambda p: p.name)
def test_the_shipped_specs_are_right(path: Path) -> None:
    """Every example of the repository loads without a warning from the repository's directory."""
    loaded = specfile.load(path, tree.ROOT)

    assert loaded.spec.name
    assert [warning.code for warning in loaded.warnings] == []


def test_all_problems_of_the_waves_are_reported_at_once(tmp_path: Path) -> None:
    """Names, sizes and the position of `rest` are checked, also if another wave is invalid."""
    waves = """  waves:
    - { name: a, size: 0 }
    - { name: a, size: rest }
    - { name: b, size: rest }
    - { name: b, size: 300% }
"""
    start, end = example.TEXT.index("  waves:"), example.TEXT.index("  onUnknown")
    text = example.TEXT[:start] + waves + example.TEXT[end:]

    problems = example.problems(tmp_path, text)

    codes = [(problem.code, (problem.place or Place("")).line) for problem in problems]
    first = text[:start].count("\n") + 2
    assert sorted(codes) == [
        ("R0108", first),
        ("R0108", first + 3),
        ("R0115", first + 1),
        ("R0115", first + 1),
        ("R0115", first + 2),
        ("R0115", first + 3),
        ("R0115", first + 3),
    ]


def test_a_plan_is_not_read_as_a_spec(tmp_path: Path) -> None:
    """A plan file, which is valid YAML too, gives one problem that says so."""
    raw = plans.encode(factory.plan(40)).decode()

    for text in (raw, raw.replace(":", ": "), f" {raw}\n"):
        (problem,) = example.problems(tmp_path, text)
        assert problem.code == "R0119"
        assert "rollout apply" in (problem.help or "")


@pytest.mark.parametrize(
    "fields, good",
    [
        ("region: cn-hangzhou", True),
        ("regions: [cn-hangzhou, cn-shanghai]", True),
        ('select: "env=prod"', False),
        ("region: cn-hangzhou, regions: [cn-shanghai]", False),
    ],
)
def test_a_list_of_ids_needs_a_region(tmp_path: Path, fields: str, *, good: bool) -> None:
    """An id source has one region or several, not both; ids alone name no region."""
    source = f"    - {{ source: ids, path: fleet.ids, {fields} }}\n"
    start, end = example.TEXT.index("    - source: ecs"), example.TEXT.index("  exclude:")
    text = example.TEXT[:start] + source + example.TEXT[end:]

    if good:
        (found,) = example.load(tmp_path, text).spec.inventory
        assert isinstance(found, spec.FileSource) and found.format == "ids"
    else:
        assert [one.code for one in example.problems(tmp_path, text)] == ["R0105"]


def test_the_spec_of_a_plan_is_read_without_its_files(tmp_path: Path) -> None:
    """The stored text and key give the spec again, although the key file is gone; problems of the
    text are reported as for a file.
    """
    spec = example.load(tmp_path, example.TEXT).spec
    (tmp_path / "keys" / "ops.pub").unlink()

    assert specfile.parse_stored(spec.text, spec.key_pair.public_key, tmp_path) == spec
    with pytest.raises(SpecError, match="R0104"):
        specfile.parse_stored(spec.text.replace("budgets:", "budgetz:"), example.KEY, tmp_path)


def test_a_public_key_file_outside_a_spec_is_checked_too(tmp_path: Path) -> None:
    """It is returned without white space; a private key is refused and not repeated."""
    (example.project(tmp_path) / "private").write_text(f"{PEM}\nabc\n")

    assert specfile.read_public_key(tmp_path / "keys" / "ops.pub") == example.KEY
    with pytest.raises(SpecError, match="R0112") as caught:
        specfile.read_public_key(tmp_path / "private")
    assert "abc" not in str(caught.value)


def test_rules_of_last(tmp_path: Path) -> None:
    """A selector or ids, the reason is optional; the last wave may then have a bake and a gate."""
    rules = """\
  last:
    - { select: "role in (bastion,dns)", reason: other instances need them }
    - instances: [i-bp1legacy0001]
"""
    text = example.TEXT.replace("size: rest }", "size: rest, bake: 30m, gate: manual }")

    first, second = example.load(tmp_path, text + rules).spec.last

    assert first.matches("i-1", (("role", "dns"),)) and not first.matches("i-1", ())
    assert first.reason == "other instances need them"
    assert second.matches("i-bp1legacy0001", ()) and second.reason == ""


def test_a_suggested_command_quotes_the_path(tmp_path: Path) -> None:
    """A path with spaces or a semicolon is one word of the shell."""
    path = tmp_path / "a b;c.yaml"
    path.write_bytes(plans.encode(factory.plan(4)))

    with pytest.raises(SpecError) as caught:
        specfile.load(path, tmp_path)

    assert f"rollout apply '{path}'" in (caught.value.problems[0].help or "")
