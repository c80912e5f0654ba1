"""The text of errors."""

import pytest

from rollout.cli.errors import rendering
from rollout.errors import InventoryError, Place, Problem, RolloutError, SpecError

LINE = '    - { by: "tag:quorum", maxUnavailable: 1 }'


def test_a_problem_of_a_file_shows_its_line() -> None:
    """Code, message, location, the line with a caret, and the fix."""
    place = Place("plans/prod.yaml", 38, LINE.index("max") + 1, LINE, len("maxUnavailable"))
    cure = "what kubectl calls `maxUnavailable` is `maxDown` here"
    error = SpecError.of("R0104", "unknown field `maxUnavailable`", place=place, help=cure)

    assert rendering.render(error) == (
        "error[R0104]: unknown field `maxUnavailable`\n"
        "  --> plans/prod.yaml:38:27\n"
        "   |\n"
        f"38 | {LINE}\n"
        "   |                           ^^^^^^^^^^^^^^\n"
        "  help: what kubectl calls `maxUnavailable` is `maxDown` here"
    )


def test_a_warning_shows_its_location_and_fix() -> None:
    """A warning names the file and the next step like an error."""
    place = Place("plans/prod.yaml", 8)
    problem = Problem("R0361", "the public key cannot be read", place, "create the key pair")

    assert rendering.warning(problem) == (
        "warning[R0361]: the public key cannot be read\n"
        "  --> plans/prod.yaml:8\n"
        "  help: create the key pair"
    )


def test_a_problem_of_the_service_shows_notes_and_request() -> None:
    """Without a location: notes, the fix, and the request id."""
    error = InventoryError.of(
        "R0211", "0 instances", notes=("first", "second"), help="look", request_id="473469C7"
    )

    assert rendering.render(error) == (
        "error[R0211]: 0 instances\n  first\n  second\n  help: look\n  RequestId 473469C7"
    )


def test_a_place_without_a_line_is_an_arrow() -> None:
    """For a whole file, or a row without text, only the arrow line is printed."""
    error = RolloutError((Problem("R0203", "bad id", Place("fleet.csv", 7)),))

    assert rendering.render(error) == "error[R0203]: bad id\n  --> fleet.csv:7"


def test_many_problems_end_with_a_count() -> None:
    """Fifty are printed, the others are counted."""
    error = RolloutError(tuple(Problem("R0203", f"row {n}") for n in range(62)))

    shown = rendering.render(error).split("\n\n")

    assert len(shown) == 51
    assert shown[-1] == "… and 12 more problems"


def test_the_way_on_is_printed_last() -> None:
    """An error of a run names the command that resumes it."""
    error = RolloutError((Problem("R0501", "in doubt"),), resume="rollout resume r-1")

    assert rendering.render(error).endswith("\n\nresume: rollout resume r-1")


def test_wide_characters_take_two_columns() -> None:
    """The caret is below a Chinese word in a terminal."""
    error = SpecError.of("R0105", "x", place=Place("a.yaml", 1, 5, "名称: 错误的", 3))

    assert rendering.render(error).splitlines()[-1] == "  |       ^^^^^^"


def test_a_long_line_is_cut_around_the_caret() -> None:
    """Of a row with a million characters, only the part around the caret is printed."""
    text = "x" * 500_000 + "HERE" + "y" * 500_000
    error = SpecError.of("R0105", "x", place=Place("a.json", 1, 500_001, text, 4))

    *_, line, caret = rendering.render(error).splitlines()

    assert len(line) < 140
    assert line[caret.index("^") :].startswith("HERE")


@pytest.mark.parametrize("steering", ["\x1b[31m", "\u202e", "\r", "\x07", "\ud800", "\u2028"])
def test_nothing_steers_the_terminal(steering: str) -> None:
    """Control characters in names and tags are escaped."""
    place = Place(f"a{steering}b", 1, 1, f"x{steering}y")
    error = SpecError.of("R0105", f"m{steering}", place=place, help=f"h{steering}")

    assert steering[0] not in rendering.render(error)


def test_no_secret_is_printed() -> None:
    """Strings with the form of a secret are removed."""
    shown = rendering.render(SpecError.of("R0105", "got LTAI5tAbCdEfGhIjKlMn"))

    assert shown == "error[R0105]: got ***"
