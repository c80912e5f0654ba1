"""Print help pages in the current language, wrapped to the width of the terminal.

Given to the parser by `main`. The English texts are those of the parser: summaries of commands,
docstrings of options, and titles of the parser itself. Imports nothing that only a page needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rollout.cli.views import render

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement

_USAGE = "Usage: "
_NOTHING = '""'
"""How the parser writes a default that is an empty text. A page does not mention it."""


@dataclass(frozen=True, slots=True)
class _Paragraph:
    """A text without the line breaks of its docstring, wrapped by the rules of its language."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        lines = render.wrap(self.text, options.max_width, rest="")
        yield Text("\n".join(lines))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement

        return Measurement(1, min(render.columns(self.text), options.max_width))


class HelpPages:
    """Translates every text of a help page, then lets the parser's own formatter print it."""

    def __init__(self, translate: Callable[[str], str]) -> None:
        """Take the function that translates one paragraph."""
        self._translate = translate

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print one list of commands or options."""
        from cyclopts.help import DefaultFormatter

        entries = [self._entry(entry) for entry in panel.entries]
        title = self._translate(str(panel.title))
        DefaultFormatter()(console, options, panel.copy(title=title, entries=entries))

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Print the usage line, whose names stay as they are typed."""
        from rich.text import Text

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
            ("default", (entry.default or "").replace(_NOTHING, "")),
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
