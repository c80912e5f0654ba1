"""Generate docs/rollout.1, the manual page, from the parser: `python -m tests.manual` writes it.

test_docs.py fails if the page is out of date. Its texts are those of docs/cli.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cyclopts import App
from cyclopts.argument import Argument

from rollout.app import about, pages
from rollout.cli import main, options
from tests import reference, tree

PAGE = tree.ROOT / "docs" / "rollout.1"
DESCRIPTION = """\
rollout rotates SSH key pairs over whole fleets of Alibaba Cloud ECS instances: within disruption
budgets, resumable after a kill at any moment, and with an audit log that can be verified. A plan is
created and reviewed first, and exactly this plan is applied. An instance counts as done only after
proof was observed."""
FILES = {
    "runs/": "the runs directory: plans, journals and schedules; --runs-dir names another",
    "rollout.toml": "settings of the project in the working directory",
    "~/.config/rollout/config.toml": "settings of the user",
    "~/.aliyun/config.json": "profiles of the aliyun CLI",
}
_MARKED = re.compile(r"`([^`]+)`")


def page() -> str:
    """Return the whole page in the macros of man(7)."""
    blocks = [
        f'.TH ROLLOUT 1 "" "{about.tool()}" "User Commands"',
        ".SH NAME",
        r"rollout \- rotate SSH key pairs over fleets of Alibaba Cloud ECS instances",
        ".SH SYNOPSIS",
        r"\fBrollout\fR \fICOMMAND\fR [\fIOPTIONS\fR]",
        ".SH DESCRIPTION",
        _text(DESCRIPTION),
        ".SH COMMANDS",
        *(line for words, app in reference.commands() for line in _command(words, app)),
        *_shared("COMMON OPTIONS", options.COMMON.name),
        *_shared("CLOUD OPTIONS", options.CLOUD.name),
        ".SH EXIT STATUS",
        *(
            line
            for code, text in pages.exit_codes().items()
            for line in _item(str(int(code)), text)
        ),
        ".SH FILES",
        *(line for name, text in FILES.items() for line in _item(name, text)),
    ]
    return "\n".join(blocks) + "\n"


def _command(words: str, app: App) -> Iterator[str]:
    yield f'.SS "{_escaped(reference.usage(words, app))}"'
    yield _text(str(app.help).partition("\n")[0])
    for one in reference.arguments(app):
        if reference.group_of(one) not in reference.SHARED:
            yield from _argument(one)


def _shared(title: str, group: str) -> Iterator[str]:
    yield f".SH {title}"
    for one in reference.arguments(main.make_app()["plan"]):
        if reference.group_of(one) == group:
            yield from _argument(one)


def _argument(one: Argument) -> Iterator[str]:
    return _item(", ".join(reference.spelled(one)), reference.meaning(one))


def _item(name: str, text: str) -> Iterator[str]:
    """Yield an indented paragraph with a bold tag."""
    yield ".TP"
    yield rf"\fB{_escaped(name)}\fR"
    yield _text(text)


def _text(text: str) -> str:
    """Return a paragraph. What is marked as code is bold."""
    return _MARKED.sub(r"\\fB\1\\fR", _escaped(text))


def _escaped(text: str) -> str:
    """Escape what roff would interpret, also at the start of a line."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    escaped = escaped.replace("…", "...")
    return "\n".join(
        f"\\&{line}" if line[:1] in (".", "'") else line for line in escaped.split("\n")
    )


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
