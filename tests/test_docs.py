"""The docs say what the program does: nothing undocumented, nothing documented that is absent."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from rollout import specfile
from rollout.cli import main, options
from rollout.core.running.journey import Phase
from rollout.errors import CODES, EXIT_ORDER, Exit
from rollout.model import command, event
from rollout.model.plan import Reason
from tests import reference, tree

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


def test_the_command_line_reference_is_the_parser_s() -> None:
    """Every command and option is documented as it is, and no other (python -m tests.reference)."""
    assert TEXTS["docs/cli.md"] == reference.page()


def test_every_option_has_a_sentence() -> None:
    """Neither help nor reference has an empty cell."""
    silent = [
        f"{words} {one.names[0]}"
        for words, app in reference.commands()
        for one in reference.arguments(app)
        if not one.parameter.help
    ]

    assert not silent


def test_error_codes_are_documented_with_exit_and_title() -> None:
    """The table of codes says the same as the program's, row by row, and nothing else."""
    rows = re.findall(r"^\| (R\d{4}) \| (\d+) \| (.*?) \| (.+?) \|$", ERRORS, re.MULTILINE)

    assert [row[:3] for row in rows] == [
        (code, str(int(row.exit)), row.title) for code, row in sorted(CODES.items())
    ]
    assert all(cure for *_, cure in rows)


def test_exit_codes_are_documented() -> None:
    """Every exit code has its line, in order, and the order of precedence is told as it is."""
    documented = re.findall(r"^\| (\d+) \| [a-z]", ERRORS, re.MULTILINE)
    order = ", ".join(str(int(code)) for code in EXIT_ORDER)

    assert documented == [str(int(code)) for code in sorted(Exit)]
    assert order in " ".join(ERRORS.split())


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_codes_and_variables_in_prose_exist(name: str) -> None:
    """No page names an error code or an environment variable that there is not."""
    codes = set(re.findall(r"\bR0\d{3}\b", TEXTS[name]))
    variables = set(re.findall(r"\bROLLOUT_[A-Z_]+\b", TEXTS[name]))

    assert codes <= CODES.keys()
    assert {one for one in variables if not one.endswith("_")} <= {
        *options.ENVIRONMENT,
        *re.findall(r"ROLLOUT_[A-Z]+ED\b", TEXTS[name]),
    }


def test_every_field_of_a_spec_is_documented() -> None:
    """Each key that a spec may have stands on the spec's page as code."""
    missing = [key for key in _keys(specfile.json_schema()) if f"`{key}" not in SPEC]

    assert not missing


def _keys(schema: Any) -> set[str]:
    """Names of all properties of a JSON Schema, at any depth."""
    if isinstance(schema, list):
        return {key for part in schema for key in _keys(part)}
    if not isinstance(schema, dict):
        return set()
    own = set(schema.get("properties", {}))
    return own | {key for part in schema.values() for key in _keys(part)}


def test_the_words_of_the_code_are_in_the_glossary() -> None:
    """Phases are explained where a reader looks for words."""
    missing = [phase.word for phase in Phase if phase.word not in GLOSSARY]

    assert not missing


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_no_banned_synonyms(name: str) -> None:
    """One word for one thing: none of the words that other tools use for ours."""
    prose = re.sub(r"`[^`]*`|```.*?```|CronJobs?|cron jobs?", "", TEXTS[name], flags=re.DOTALL)
    found = [pattern for pattern in BANNED if re.search(pattern, prose)]

    assert not found


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_links_lead_somewhere(name: str) -> None:
    """Every relative link of a page names a file that exists."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", TEXTS[name])
    folder = (tree.ROOT / name).parent

    assert [one for one in targets if not (folder / one).exists()] == []


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_files_named_in_code_exist(name: str) -> None:
    """A path of this repository that a page names in code marks is there."""
    named = re.findall(r"`((?:tests|plans|schemas|deploy|benchmarks|docs)/[\w./-]+)`", TEXTS[name])

    assert [one for one in named if not (tree.ROOT / one).exists()] == []


def commands_in(text: str) -> list[str]:
    """Command lines of `rollout` in a page: in console blocks, and in code marks."""
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
    """No page names a command or an option that the parser does not take."""
    words = [word for word in shlex.split(line)[1:] if not word.startswith("[") and word != "&"]
    app, rest = _command(words)
    taken = {name for one in reference.arguments(app) for name in one.names} | {"--help"}

    assert {word for word in rest if word.startswith("-") and word != "-"} <= taken


def _command(words: list[str]) -> tuple[Any, list[str]]:
    """The parser of the command that the words name, and what follows the name."""
    app: Any = main.make_app()
    while words and words[0] in app and not words[0].startswith("-"):
        app, words = app[words[0]], words[1:]
    assert app.default_command is not None, words
    return app, words


def test_hints_in_the_code_name_real_commands() -> None:
    """No help line, summary or message of the program names a command that does not exist."""
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
    """The texts in a module that are no docstrings."""
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
    """A text that tells somebody what to type, and not just mentions the program."""
    return bool(re.search(r"(?:^|[`:;·(] ?|type |try )rollout [a-z]", text))


def test_events_and_commands_are_told_in_the_journal_page() -> None:
    """Whoever reads a journal finds each type of event and of command explained."""
    page = TEXTS["docs/journal.md"]
    kinds = (*event.AnyEvent.__args__, *command.Command.__args__)
    names = [kind.__struct_config__.tag for kind in kinds]

    assert [name for name in names if f"`{name}`" not in page] == []


def test_reasons_are_told() -> None:
    """Each reason to be left out stands where an operator looks for it."""
    assert [reason.value for reason in Reason if f"`{reason.value}`" not in SPEC] == []


def test_the_committed_schema_is_the_program_s() -> None:
    """`rollout schema spec` prints what schemas/ holds."""
    committed = json.loads((tree.ROOT / "schemas" / specfile.SCHEMA_ID).read_text("utf-8"))

    assert committed == specfile.json_schema()


def test_the_readme_s_commands_work(tmp_path: Path) -> None:
    """What a newcomer types from the README, in order, against an emulator: each ends with 0."""
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
