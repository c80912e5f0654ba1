"""Format the explanation of an error code and the list of exit codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollout.app.pages import ErrorPage
from rollout.cli.language import tr, translated
from rollout.cli.views import render
from rollout.errors import EXIT_ORDER, Exit


def text(page: ErrorPage, width: int) -> list[str]:
    """Return the lines of one error code's page."""
    warning = tr("0: a warning never changes the exit code")
    rows = {
        page.code: translated(page.title),
        tr("area"): translated(page.family),
        tr("exit"): str(int(page.exit)) if page.exit else warning,
        tr("what to do"): "",
    }
    lines = [f"{render.padded(name, 10)}{value}".rstrip() for name, value in rows.items()]
    return [*lines, *render.wrap(translated(page.cure), width, first="  ")]


def row(page: ErrorPage) -> dict[str, Any]:
    """Return the fields of one error code's page."""
    return {**page._asdict(), "exit": int(page.exit)}


def data(page: ErrorPage) -> dict[str, Any]:
    """Return one error code's page as plain data."""
    return {"format_version": "1.0", **row(page)}


def exits(meanings: Mapping[Exit, str], width: int) -> list[str]:
    """Return a line for each exit code, and the order in which they count."""
    lines = [
        line
        for code, meaning in meanings.items()
        for line in render.wrap(translated(meaning), width, first=f"{int(code):>5}  ", rest=" " * 7)
    ]
    order = ", ".join(str(int(code)) for code in EXIT_ORDER)
    note = tr("If several exit codes apply to a run, the first of {order} is used.", order=order)
    return [*lines, "", *render.wrap(note, width, rest="")]


def exit_rows(meanings: Mapping[Exit, str]) -> list[dict[str, Any]]:
    """Return the fields of each exit code."""
    return [{"exit": int(code), "meaning": meaning} for code, meaning in meanings.items()]


def exits_data(meanings: Mapping[Exit, str]) -> dict[str, Any]:
    """Return the exit codes as plain data."""
    order = [int(one) for one in EXIT_ORDER]
    return {"format_version": "1.0", "exit_codes": exit_rows(meanings), "order": order}
