"""Print help pages in another language than English.

Given to the parser by `main`. The English texts are those of the parser: summaries of commands,
docstrings of options, and titles of the parser itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cyclopts.help import DefaultFormatter, HelpEntry, HelpPanel
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from rollout.cli.views import render

_USAGE = "Usage: "


@dataclass(frozen=True, slots=True)
class _Paragraph:
    """A text that is wrapped by the rules of its language: Chinese has no spaces."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = render.wrap(self.text, options.max_width, rest="")
        yield Text("\n".join(lines))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, min(render.columns(self.text), options.max_width))


class TranslatedHelp:
    """Translates every text of a help page, then lets the parser's own formatter print it."""

    def __init__(self, translate: Callable[[str], str]) -> None:
        """Take the function that translates one paragraph."""
        self._translate = translate
        self._print = DefaultFormatter()

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print one list of commands or options."""
        entries = [self._entry(entry) for entry in panel.entries]
        title = self._translate(str(panel.title))
        self._print(console, options, panel.copy(title=title, entries=entries))

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Print the usage line, whose names stay as they are typed."""
        if text := str(usage or "").strip().removeprefix(_USAGE):
            console.print(Text(self._translate(_USAGE) + text))
            console.print()

    def render_description(
        self, console: Console, options: ConsoleOptions, description: Any
    ) -> None:
        """Print the summary of the command."""
        console.print(_Paragraph(self._paragraph(description)))
        console.print()

    def _entry(self, entry: HelpEntry) -> HelpEntry:
        """Return the entry with its description and the facts that the parser appends to it."""
        facts = (
            ("choices", ", ".join(entry.choices or ())),
            ("env var", ", ".join(entry.env_var or ())),
            ("default", entry.default or ""),
        )
        parts = [self._paragraph(entry.description)]
        parts += [f"[{self._translate(name)}: {value}]" for name, value in facts if value]
        if entry.required:
            parts.append(f"[{self._translate('required')}]")
        return entry.copy(
            description=_Paragraph(" ".join(filter(None, parts))),
            choices=None,
            env_var=None,
            default=None,
            required=False,
        )

    def _paragraph(self, description: Any) -> str:
        """Return a description without the line breaks of its docstring, translated."""
        plain = getattr(description, "primary_renderable", description)
        english = " ".join(str(plain or "").split())
        return self._translate(english) if english else ""
