"""The pages that `rollout explain` prints: one for each code, from the docs."""

from __future__ import annotations

import ast
import re

import pytest

from rollout.app import pages, shipped
from rollout.errors import CODES, Exit, UsageError
from tests import tree


def test_every_code_in_the_package_has_a_page() -> None:
    """An error code that the program can print can be explained, with a meaning and a fix."""
    raised = {
        node.value
        for path in tree.package_modules().values()
        for node in ast.walk(tree.parse(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"R0\d{3}", node.value)
    }

    found = [pages.explain(code) for code in sorted(raised)]

    assert raised == CODES.keys()
    assert all(page.cure and page.title and page.family for page in found)
    assert [page.exit for page in found] == [CODES[page.code].exit for page in found]


def test_a_page_has_no_markdown_links() -> None:
    """Links of the docs are printed as their text."""
    assert not [code for code in CODES if "](" in pages.explain(code).cure]


def test_every_exit_code_has_a_meaning() -> None:
    """The list is complete and in ascending order."""
    assert list(pages.exit_codes()) == sorted(Exit)
    assert all(pages.exit_codes().values())


def test_an_unknown_code_lists_its_neighbors() -> None:
    """A mistyped code is exit 64 and lists the codes of its family."""
    with pytest.raises(UsageError) as caught:
        pages.explain("r0499")

    assert caught.value.exit is Exit.USAGE
    assert "R0412" in (caught.value.problems[0].help or "")


def test_the_page_ships_with_the_package() -> None:
    """An installed wheel has the page where the program reads it."""
    wheel = tree.config()["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert wheel["force-include"][pages.PAGE] == f"rollout/{pages.PAGE}"
    assert shipped.find(pages.PAGE) == tree.ROOT / pages.PAGE
