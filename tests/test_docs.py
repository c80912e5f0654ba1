"""The docs match the program: they name all commands, options, codes and fields, and no others."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from rollout import specfile
from rollout.cli import main, options
from rollout.core.running.journey import Phase
from rollout.errors import CODES, EXIT_ORDER, Exit
from rollout.model import command, event
from rollout.model.plan import Reason
from rollout.specfile.models import SpecForm
from tests import manual, reference, tree

DOCS = sorted([*(tree.ROOT / "docs").rglob("*.md"), tree.ROOT / "README.md"])
TEXTS = {path.relative_to(tree.ROOT).as_posix(): path.read_text("utf-8") for path in DOCS}
ERRORS = TEXTS["docs/errors.md"]
SPEC = TEXTS["docs/spec.md"]
GLOSSARY = TEXTS["docs/glossary.md"]

BANNED = {
    r"\bjobs?\b": "a batch",
    r"\bnodes?\b": "an instance",
    r"\bVMs?\b": "an instance",
    r"\brollbacks?\b": "undo",
    r"\bretry count\b": "attempts",
    r"\bsoak(?:ing)? time\b": "bake",
}


def test_the_command_line_reference_is_up_to_date() -> None:
    """docs/cli.md equals the output of its generator (`python -m tests.reference`)."""
    assert TEXTS["docs/cli.md"] == reference.page()


def test_the_manual_page_is_up_to_date() -> None:
    """`python -m tests.manual` writes it from the parser."""
    assert manual.PAGE.read_text("utf-8") == manual.page()


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_page_is_valid() -> None:
    """It is formatted without a warning, and its sections and options are there."""
    words = ["groff", "-man", "-Tascii", "-ww", "-P-cbou", str(manual.PAGE)]
    shown = subprocess.run(words, capture_output=True, text=True, check=True)

    assert shown.stderr == ""
    assert "--max-down MAX-DOWN" in shown.stdout and "EXIT STATUS" in shown.stdout


def test_every_option_has_a_help_text() -> None:
    """Every option and argument has a help text."""
    silent = [
        f"{words} {one.names[0]}"
        for words, app in reference.commands()
        for one in reference.arguments(app)
        if not one.parameter.help
    ]

    assert not silent


def test_error_codes_are_documented_with_exit_and_title() -> None:
    """The table of error codes has the program's codes, exit codes and titles, in order."""
    rows = re.findall(r"^\| (R\d{4}) \| (\d+) \| (.*?) \| (.+?) \|$", ERRORS, re.MULTILINE)

    assert [row[:3] for row in rows] == [
        (code, str(int(row.exit)), row.title) for code, row in sorted(CODES.items())
    ]
    assert all(cure for *_, cure in rows)


def test_exit_codes_are_documented() -> None:
    """The table of exit codes is complete and in order, and the page states their precedence."""
    documented = re.findall(r"^\| (\d+) \| [a-z]", ERRORS, re.MULTILINE)
    order = ", ".join(str(int(code)) for code in EXIT_ORDER)

    assert documented == [str(int(code)) for code in sorted(Exit)]
    assert order in " ".join(ERRORS.split())


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_codes_and_variables_in_prose_exist(name: str) -> None:
    """Error codes and environment variables in prose exist."""
    codes = set(re.findall(r"\bR0\d{3}\b", TEXTS[name]))
    variables = set(re.findall(r"\bROLLOUT_[A-Z_]+\b", TEXTS[name]))

    assert codes <= CODES.keys()
    assert {one for one in variables if not one.endswith("_")} <= {
        *options.ENVIRONMENT,
        *re.findall(r"ROLLOUT_[A-Z]+ED\b", TEXTS[name]),
    }


def test_every_field_of_a_spec_is_documented() -> None:
    """Every field of the spec is documented in docs/spec.md."""
    missing = [key for key in _keys(specfile.json_schema()) if f"`{key}" not in SPEC]

    assert not missing


def test_the_production_example_has_every_field_of_spec() -> None:
    """plans/production.yaml has each field that `spec` may have."""
    form = YAML(typ="safe").load(tree.ROOT / "plans" / "production.yaml")
    fields = {each.alias for each in SpecForm.model_fields.values()}

    assert set(form["spec"]) == fields


def _keys(schema: Any) -> set[str]:
    """Return the names of all properties of a JSON Schema, at any depth."""
    if isinstance(schema, list):
        return {key for part in schema for key in _keys(part)}
    if not isinstance(schema, dict):
        return set()
    own = set(schema.get("properties", {}))
    return own | {key for part in schema.values() for key in _keys(part)}


def test_every_phase_is_in_the_glossary() -> None:
    """Every phase is in the glossary."""
    missing = [phase.label for phase in Phase if phase.label not in GLOSSARY]

    assert not missing


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_no_banned_synonyms(name: str) -> None:
    """Docs use the glossary's terms and not their synonyms from other tools."""
    prose = re.sub(r"`[^`]*`|```.*?```|CronJobs?|cron jobs?", "", TEXTS[name], flags=re.DOTALL)
    found = [pattern for pattern in BANNED if re.search(pattern, prose)]

    assert not found


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_links_lead_to_files_and_headings(name: str) -> None:
    """Every relative link leads to an existing file, and its fragment to a heading of that file."""
    broken = []
    for target, heading in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", TEXTS[name]):
        path = (tree.ROOT / name).parent / target if target else tree.ROOT / name
        if not path.exists() or (heading and heading not in _headings(path.read_text("utf-8"))):
            broken.append(f"{target}#{heading}")

    assert not broken


def _headings(page: str) -> set[str]:
    """Return the fragments of a page's headings, as GitHub creates them."""
    prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_files_named_in_code_marks_exist(name: str) -> None:
    """Paths in code marks exist, in the repository or in the package."""
    rooted = r"(?:tests|plans|schemas|deploy|benchmarks|docs|rollout)/[\w./-]+"
    sources = r"[\w-]+(?:/[\w-]+)*/[\w-]+\.py"
    named = re.findall(rf"`(?!rollout/v1`)({rooted}|{sources})`", TEXTS[name])
    roots = (tree.ROOT, tree.ROOT / "rollout")

    assert [one for one in named if not any((root / one).exists() for root in roots)] == []


def commands_in(text: str) -> list[str]:
    """Return the `rollout` command lines of a page: in code blocks and in code marks."""
    blocks = re.findall(r"```(?:console|sh|bash|shell)?\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    typed = [line.removeprefix("$ ").partition("  #")[0] for line in lines]
    marked = re.findall(r"`(rollout [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = [one.strip() for one in [*typed, *marked]]
    return [one for one in found if one.startswith("rollout ")]


NAMED = sorted(
    {line for text in TEXTS.values() for line in commands_in(text) if "COMMAND" not in line}
)


@pytest.mark.parametrize("line", NAMED)
def test_commands_in_the_docs_exist(line: str) -> None:
    """Command lines in the docs use only commands and options that exist."""
    words = [word for word in shlex.split(line)[1:] if not word.startswith("[") and word != "&"]
    app, rest = _command(words)
    taken = {name for one in reference.arguments(app) for name in one.names} | {"--help"}

    assert {word for word in rest if word.startswith("-") and word != "-"} <= taken


def _command(words: list[str]) -> tuple[Any, list[str]]:
    """Return the parser of the named command, and the remaining words."""
    app: Any = main.make_app()
    while words and words[0] in app and not words[0].startswith("-"):
        app, words = app[words[0]], words[1:]
    assert app.default_command is not None, words
    return app, words


def test_hints_in_the_code_name_real_commands() -> None:
    """Messages and help texts of the program name only commands that exist."""
    known = {words for words, _ in reference.commands()}
    strangers = [
        f"{name}: {text}"
        for name, path in tree.package_modules().items()
        if not tree.is_within(name, "rollout.sim")
        for text in _texts(path)
        for first, second in re.findall(r"\brollout ([a-z]+)(?: ([a-z]+))?", text)
        if _is_hint(text) and (f"{first} {second}" if first in main.PARENTS else first) not in known
    ]

    assert not strangers


def _texts(path: Path) -> list[str]:
    """Return the string constants of a module without its docstrings."""
    module = tree.parse(path)
    docstrings = {
        node.body[0].value
        for node in ast.walk(module)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings
    ]


def _is_hint(text: str) -> bool:
    """Return whether a text contains a command for the user to type."""
    return bool(re.search(r"(?:^|[`:;·(] ?|type |try )rollout [a-z]", text))


def test_every_event_and_command_is_documented() -> None:
    """Every type of event and command is documented in docs/journal.md."""
    page = TEXTS["docs/journal.md"]
    kinds = (*event.AnyEvent.__args__, *command.Command.__args__)
    names = [kind.__struct_config__.tag for kind in kinds]

    assert [name for name in names if f"`{name}`" not in page] == []


def test_every_reason_is_documented() -> None:
    """Every reason for an exclusion is documented in docs/spec.md."""
    assert [reason.value for reason in Reason if f"`{reason.value}`" not in SPEC] == []


def test_the_committed_schema_is_up_to_date() -> None:
    """The schema in schemas/ equals the output of `rollout schema spec`."""
    committed = json.loads((tree.ROOT / "schemas" / specfile.SCHEMA_ID).read_text("utf-8"))

    assert committed == specfile.json_schema()


def test_the_commands_of_the_readme_work(tmp_path: Path) -> None:
    """The README's commands, run in order against an emulator, succeed."""
    from tests.e2e.stage import Stage, stage

    lines = commands_in(TEXTS["README.md"].partition("## What it")[0])
    typed = [line for line in lines if "quickstart" in line or line.startswith("rollout audit v")]
    with stage(tmp_path, size=45, options=("--boot-time", "300ms")) as made:
        here = Stage(tree.ROOT, made.url)
        runs = str(tmp_path / "runs")
        for line in typed[:5]:
            words = shlex.split(line.replace("quickstart.plan.json", f"{tmp_path}/q.plan.json"))
            ended = here.run(*words[1:], "--runs-dir", runs, timeout=120)
            assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"

    assert len(typed) >= 5
