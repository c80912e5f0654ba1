"""`rollout explain`: what an error code or the exit codes mean, and what to do."""

from __future__ import annotations

from rollout.cli import output
from rollout.cli.options import Common
from rollout.cli.output import Output, Shown
from rollout.cli.terminal import Terminal
from rollout.cli.views import explanation


def explain(
    code: str,
    /,
    *,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Explain an error code, or all exit codes.

    Parameters
    ----------
    code
        An error code, such as R0412, or `exit-codes`.
    """
    terminal = Terminal.of(common)
    result = _exit_codes(terminal) if code == "exit-codes" else _page(terminal, code)
    output.show(terminal, form, result)


def _exit_codes(terminal: Terminal) -> Shown:
    from rollout.app import pages

    meanings = pages.exit_codes()
    return Shown(
        text=lambda: "\n".join(explanation.exits(meanings, terminal.width)),
        document=lambda: explanation.exits_data(meanings),
        rows=lambda: explanation.exit_rows(meanings),
        ids=lambda: (str(int(code)) for code in meanings),
    )


def _page(terminal: Terminal, code: str) -> Shown:
    from rollout.app import pages

    page = pages.explain(code)
    return Shown(
        text=lambda: "\n".join(explanation.text(page, terminal.width)),
        document=lambda: explanation.data(page),
        rows=lambda: [explanation.row(page)],
        ids=lambda: [page.code],
    )
