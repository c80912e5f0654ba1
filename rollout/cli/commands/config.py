"""`rollout config show` and `config path`: the settings, and the files that they come from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rollout.cli import origins, output, settings
from rollout.cli.language import tr
from rollout.cli.options import CloudOptions, Common, Flag
from rollout.cli.output import Output, Shown
from rollout.cli.terminal import Terminal
from rollout.cli.views import render


def show(
    *,
    origin: Flag = False,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
    cloud: CloudOptions = CloudOptions(),  # noqa: B008 - frozen
) -> None:
    """List all settings with their values.

    Parameters
    ----------
    origin
        Also show what gave each value: an option, a variable, a file or the default.
    """
    rows = [
        {
            "setting": name,
            "value": str(value) if isinstance(value, Path) else value,
            "origin": origins.of(name),
        }
        for name, value in _values(common, cloud).items()
    ]
    columns = ("setting", "value", "origin") if origin else ("setting", "value")

    def table() -> str:
        cells = [[_text(row[column]) for column in columns] for row in rows]
        lines = render.table([render.heading(columns), *cells], "<" * len(columns), indent=0)
        return "\n".join(lines)

    result = Shown(
        text=table,
        document=lambda: {"format_version": "1.0", "settings": rows},
        rows=lambda: rows,
        ids=lambda: (str(row["setting"]) for row in rows),
    )
    output.show(Terminal.of(common), form, result)


def path(
    *,
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Print the paths of the settings files, the strongest first."""
    terminal = Terminal.of(common)
    for file in (Path("rollout.toml"), Path("pyproject.toml"), settings.user_path()):
        absent = "" if file.exists() else tr("  (does not exist)")
        terminal.show(f"{file.absolute()}{absent}")


def _values(common: Common, cloud: CloudOptions) -> dict[str, Any]:
    """Return the value of each setting, by name."""
    given = {
        name.replace("_", "-"): value for name, value in {**asdict(common), **asdict(cloud)}.items()
    }
    return {name: given[name] for name in sorted(settings.SETTINGS)}


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return str(value).lower()
        case _:
            return str(value)
