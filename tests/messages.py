"""The catalogues of translations: `python -m tests.messages` brings them up to date.

It collects every English text of the program, adds what is new to each catalogue without a
translation, drops what no longer exists, and compiles. test_catalogues.py fails until
each text is translated.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages import mofile, pofile
from babel.messages.catalog import Catalog, Message
from rich.console import Console

from rollout.app import pages
from rollout.cli import language, main
from rollout.cli.help_page import HelpPages
from rollout.errors import CODES
from tests import tree

Key = str | tuple[str, str]
"""A text, or the two forms of a text about a number."""

MARKERS = {"say": 1, "tr": 1, "say_many": 2, "tr_many": 2}
"""The functions whose first arguments are English texts, and how many of them."""
DEFINED_IN = ("rollout.model.phrase", "rollout.cli.language")
_FIXED = datetime(2026, 1, 1, tzinfo=UTC)
"""The date in the heads of the files, so that they change only if texts change."""
_NEEDLESS = (b'"Project', b'"Report', b'"Last', b'"Language-Team', b'"Generated', b'"POT', b'"PO-')
"""Lines of the head that name persons, versions and dates."""
_HEAD = "# Texts of rollout in {language}. `make messages` keeps this file up to date."


def catalogues() -> dict[str, Path]:
    """Return the file of each language but English by its locale."""
    return {path.parts[-3]: path for path in sorted(language.FOLDER.glob("*/LC_MESSAGES/*.po"))}


def read(path: Path, locale: str) -> Catalog:
    """Return the catalogue in a file."""
    with path.open("rb") as file:
        return pofile.read_po(file, locale=locale, domain=language.DOMAIN, abort_invalid=True)


def texts() -> dict[Key, list[str]]:
    """Return every text of the program, with the files that contain it."""
    found: dict[Key, list[str]] = {}
    for key, file in (*_marked(), *_titles(), *_explanations(), *_help_pages()):
        files = found.setdefault(key, [])
        if file not in files:
            files.append(file)
    return found


def calls(module: ast.Module) -> Iterator[ast.Call]:
    """Yield the calls of functions whose first arguments are English texts."""
    nodes = list(ast.walk(module))
    imported = {
        name.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module in DEFINED_IN
        for name in node.names
    }
    for node in nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id in imported & set(MARKERS):
            yield node


def plain_texts(module: ast.Module) -> Iterator[ast.expr]:
    """Yield the texts of errors, messages and questions that are no phrases, except commands, which
    have no language.
    """
    constants = _assigned(module.body)
    for scope in ast.walk(module):
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
            assigned = {**constants, **_assigned(ast.walk(scope))}
            for given in (text for node in ast.walk(scope) for text in _texts_of(node)):
                values = assigned.get(given.id, []) if isinstance(given, ast.Name) else [given]
                yield from (value for value in values if _is_plain(value))


def _assigned(nodes: Iterable[ast.AST]) -> dict[str, list[ast.expr]]:
    """Return the values of each name."""
    values: dict[str, list[ast.expr]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            values.setdefault(node.targets[0].id, []).append(node.value)
    return values


def _texts_of(node: ast.AST) -> list[ast.expr]:
    """Return the texts that a call gives to an error, or prints as a message or a question."""
    if not isinstance(node, ast.Call):
        return []
    called = ast.unparse(node.func)
    if called.endswith((".say", ".prompt")) and not called.startswith("logs."):
        return node.args[:1]
    if called != "Problem" and not called.endswith("Error.of"):
        return []
    named = [one.value for one in node.keywords if one.arg in {"help", "cure", "notes"}]
    given = [*node.args[1:2], *node.args[3:4], *named]
    return [part for one in given for part in (one.elts if isinstance(one, ast.Tuple) else [one])]


def _is_plain(value: ast.expr) -> bool:
    """Return whether an expression is text in the code, other than a command."""
    if isinstance(value, ast.IfExp):
        return _is_plain(value.body) or _is_plain(value.orelse)
    if isinstance(value, ast.BinOp):
        return _is_plain(value.left) or _is_plain(value.right)
    if isinstance(value, ast.JoinedStr):
        first = value.values[0] if value.values else value
        return not (isinstance(first, ast.Constant) and _is_command(first.value))
    return isinstance(value, ast.Constant) and not _is_command(value.value)


def _is_command(text: object) -> bool:
    """Return whether a text begins like something that is typed, or is empty."""
    return (
        not isinstance(text, str)
        or not text.strip()
        or text.startswith(("rollout ", "pip ", "127."))
    )


def literals(call: ast.Call) -> tuple[str, ...]:
    """Return the English texts of such a call; empty if one of them is no literal."""
    assert isinstance(call.func, ast.Name)
    given = call.args[: MARKERS[call.func.id]]
    values = [one.value for one in given if isinstance(one, ast.Constant)]
    known = tuple(value for value in values if isinstance(value, str))
    return known if len(known) == MARKERS[call.func.id] else ()


def marked_texts() -> list[Key]:
    """Return the texts that the code marks; only they have placeholders."""
    return [key for key, _ in _marked()]


def _marked() -> Iterator[tuple[Key, str]]:
    """Yield the texts that the code marks."""
    for path in tree.package_modules().values():
        for call in calls(tree.parse(path)):
            match literals(call):
                case (one,):
                    yield one, _name(path)
                case (one, many):
                    yield (one, many), _name(path)


def _titles() -> Iterator[tuple[Key, str]]:
    """Yield the titles of the error codes."""
    return ((code.title, "rollout/errors.py") for code in CODES.values())


def _explanations() -> Iterator[tuple[Key, str]]:
    """Yield what `rollout explain` prints."""
    for code in CODES:
        page = pages.explain(code)
        yield from ((text, pages.PAGE) for text in (page.family, page.cure))
    yield from ((meaning, pages.PAGE) for meaning in pages.exit_codes().values())


def _help_pages() -> Iterator[tuple[Key, str]]:
    """Yield what the help pages print, by printing them all."""
    found: list[str] = []

    def translate(text: str) -> str:
        found.append(text)
        return text

    language.use("en")
    app = main.make_app()
    app.help_formatter = HelpPages(translate)
    pages_of_help = (
        [],
        *([name] for name in main.PARENTS),
        *(one.split() for one in main.COMMANDS),
    )
    for words in pages_of_help:
        del found[:]
        app.help_print(words, console=Console(file=io.StringIO(), width=100))
        file = f"rollout/cli/commands/{words[0]}.py" if words else "rollout/cli/main.py"
        yield from ((text, file) for text in found)


def _name(path: Path) -> str:
    return path.relative_to(tree.ROOT).as_posix()


def updated(old: Catalog, found: dict[Key, list[str]]) -> Catalog:
    """Return a catalogue of these texts, with the translations that the old one has of them."""
    new = Catalog(
        locale=old.locale,
        domain=language.DOMAIN,
        header_comment=_HEAD.format(language=old.locale.english_name if old.locale else ""),
        creation_date=_FIXED,
        revision_date=_FIXED,
        fuzzy=False,
    )
    for key, files in sorted(found.items(), key=lambda item: (item[1][0], str(item[0]))):
        known = old.get(key if isinstance(key, str) else key[0])
        string = known.string if known is not None and known.id == key else ""
        new.add(key, string, locations=[(file, 0) for file in files[:1]])
    return new


def text_of(catalogue: Catalog) -> bytes:
    """Return the bytes of the catalogue's .po file."""
    file = io.BytesIO()
    pofile.write_po(file, catalogue, width=100, include_lineno=False, ignore_obsolete=True)
    head, blank, body = file.getvalue().partition(b"\n\n")
    kept = [line for line in head.splitlines() if not line.startswith(_NEEDLESS)]
    return b"\n".join(kept) + blank + body


def compiled(catalogue: Catalog) -> bytes:
    """Return the bytes of the catalogue's .mo file."""
    file = io.BytesIO()
    mofile.write_mo(file, catalogue)
    return file.getvalue()


def write() -> None:
    """Bring all catalogues up to date and report how many texts have no translation."""
    found = texts()
    for locale, path in catalogues().items():
        catalogue = updated(read(path, locale), found)
        path.write_bytes(text_of(catalogue))
        path.with_suffix(".mo").write_bytes(compiled(catalogue))
        missing = [one for one in catalogue if one.id and not is_translated(one)]
        print(f"{locale}: {len(catalogue)} texts, {len(missing)} without a translation")


def forms(key: Key) -> tuple[str, ...]:
    """Return the forms of a text."""
    return (key,) if isinstance(key, str) else key


def strings(message: Message) -> tuple[str, ...]:
    """Return the translations of a text: one, or one for each plural form."""
    return (message.string,) if isinstance(message.string, str) else tuple(message.string or ())


def is_translated(message: Message) -> bool:
    """Return whether each form of a text has a translation."""
    return bool(strings(message)) and all(strings(message))


if __name__ == "__main__":
    write()
