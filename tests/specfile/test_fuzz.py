"""Any content of a spec is read or refused with a place, without a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from rollout import specfile
from rollout.cli.errors import rendering
from rollout.errors import SpecError
from rollout.model import plan as plans
from tests.core import samples
from tests.fuzz import edited, fuzzed
from tests.specfile import example


@fuzzed
@given(edited(example.TEXT))
def test_no_spec_crashes_the_reader(tmp_path: Path, content: bytes) -> None:
    """Random bytes at any position; an accepted spec can be written to a plan."""
    path = example.project(tmp_path) / "spec.yaml"
    path.write_bytes(content)
    try:
        spec = specfile.load(path, tmp_path).spec
    except SpecError as error:
        rendering.render(error).encode()
    else:
        wide = samples.capped(4, labels=spec.labels, text=spec.text, name=spec.name)
        plans.encode(samples.make_plan(samples.fleet(4), wide))


@pytest.mark.parametrize(
    "old, new",
    [
        ("team: platform", 'team: "cut \\ud83d"'),
        ("team: platform", '"\\ud83d": x'),
        ('"env=prod"', '"env=\\udc00"'),
        ('"by hand"', '"\\ud83d"'),
    ],
)
def test_a_text_that_was_cut_inside_a_character_is_refused(
    tmp_path: Path, old: str, new: str
) -> None:
    """YAML escapes can produce lone surrogates, which plans cannot contain."""
    problems = example.problems(tmp_path, example.TEXT.replace(old, new))

    assert [problem.code for problem in problems] == ["R0105"]
    assert problems[0].place is not None and problems[0].place.line
