"""Find files of the repository that the package includes: the quickstart spec, pages of the docs.

Called by use cases. An installed package has copies of them (see pyproject.toml).
"""

from __future__ import annotations

from pathlib import Path


def find(name: str) -> Path:
    """Return a file of the installed package, or of the repository in a clone."""
    package = Path(__file__).parents[1]
    places = (package / name, package.parent / name)
    return next((place for place in places if place.is_file()), places[0])
