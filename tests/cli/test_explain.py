"""`rollout explain`: error codes and exit codes."""

from __future__ import annotations

import json

import pytest

from rollout.cli import main
from rollout.errors import CODES, Exit


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_is_explained(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The page has the meaning, the exit code and what to do."""
    assert main.main(["explain", code.lower()]) == Exit.DONE

    shown = capsys.readouterr().out
    assert shown.startswith(f"{code}     {CODES[code].title}\n")
    assert f"exit      {int(CODES[code].exit)}" in shown
    assert shown.partition("what to do\n")[2].strip()


def test_exit_codes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each exit code has a line, followed by the order in which they count."""
    assert main.main(["explain", "exit-codes"]) == Exit.DONE

    shown = capsys.readouterr().out
    assert all(f"\n{int(code):>5}  " in f"\n{shown}" for code in Exit)
    assert "the first of 9, 1, 74," in shown


def test_json_has_the_same_facts(capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts can read a page and the list of exit codes."""
    assert main.main(["explain", "R0603", "-o", "json"]) == Exit.DONE
    assert main.main(["explain", "exit-codes", "-o", "json"]) == Exit.DONE

    page, exits = map(json.loads, capsys.readouterr().out.splitlines())
    assert page["code"] == "R0603" and page["exit"] == 6 and page["cure"]
    assert {row["exit"] for row in exits["exit_codes"]} == {int(code) for code in Exit}


def test_an_unknown_code_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A code that does not exist is exit 64."""
    assert main.main(["explain", "R9999"]) == Exit.USAGE
    assert "error[R0016]" in capsys.readouterr().err
