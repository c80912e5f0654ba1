"""A public class name is unique in the package."""

from __future__ import annotations

import ast

from tests import tree


def test_no_two_modules_define_a_public_class_of_the_same_name() -> None:
    """A class name identifies one class, without a check of the imports."""
    modules: dict[str, list[str]] = {}
    for module, path in tree.package_modules().items():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules.setdefault(node.name, []).append(module)
    assert {name: several for name, several in modules.items() if len(several) > 1} == {}
