"""Patterns of `--limit` and `--exclude`: ids, globs, selectors, files."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rollout.app import narrow
from rollout.app import plan as planning
from rollout.cli.views import preview
from rollout.core.planning.narrowing import Narrowing, Pattern
from rollout.errors import RolloutError
from rollout.journal.directory import DirectoryStore
from rollout.model.spec import FileSource
from tests.app import service
from tests.core import samples


def test_each_form_is_read(tmp_path: Path) -> None:
    """Ids, globs and selectors are distinguished; a file has one on each line, with comments."""
    listed = tmp_path / "list"
    listed.write_text("# fragile\ni-bp1a\r\n\ni-bp2*\ntier in (db,queue)\n", "utf-8")

    found = narrow.read(limit=["i-bp9", f"@{listed}"], exclude=["*7", "!rollout"], max_down=2)

    assert found.limit[0].instances == {"i-bp9"}
    assert found.limit[1].instances == {"i-bp1a"} and found.limit[1].globs == ("i-bp2*",)
    assert found.limit[1].selectors[0].text == "tier in (db,queue)"
    assert found.exclude[0].globs == ("*7",) and found.exclude[1].selectors
    assert found.max_down == 2 and found.wave == ""


@pytest.mark.parametrize(
    "limit, code",
    [
        (["i-BP1"], "R0001"),
        (["tier=("], "R0001"),
        ([""], "R0001"),
        (["@missing"], "R0200"),
        (["@empty"], "R0017"),
        (["@-", "@-"], "R0002"),
    ],
)
def test_malformed_patterns_are_refused(
    limit: list[str], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that cannot be understood is an error that names it."""
    monkeypatch.chdir(tmp_path)
    Path("empty").write_text("# nothing\n", "utf-8")

    with pytest.raises(RolloutError) as caught:
        narrow.read(limit=limit)

    assert caught.value.problems[0].code == code


def test_a_cap_below_one_is_refused() -> None:
    """--max-down 0 would never restart anything."""
    with pytest.raises(RolloutError) as caught:
        narrow.read(max_down=0)

    assert caught.value.problems[0].code == "R0001"


def test_the_standard_input_has_one_reader() -> None:
    """`@-` and an inventory source that reads `-` contradict each other."""
    narrowing = Narrowing(limit=(Pattern("@-"),))
    spec = msgspec.structs.replace(samples.spec(), inventory=(FileSource("ids", "-"),))

    narrow.check_input(narrowing, samples.spec())
    with pytest.raises(RolloutError) as caught:
        narrow.check_input(narrowing, spec)

    assert caught.value.problems[0].code == "R0002"


@pytest.mark.asyncio
async def test_a_live_plan_is_narrowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan of an emulated fleet has one target, and its preview shows the option."""
    monkeypatch.chdir(tmp_path)
    async with service.connected(service.emulated()) as found:
        spec = service.write_spec(tmp_path)
        whole = await planning.create(spec, found, DirectoryStore(Path("runs")))
        one = next(whole.saved.plan.targets()).instance
        narrowing = narrow.read(limit=[one], max_down=1)
        made = await planning.create(spec, found, DirectoryStore(Path("runs")), narrowing=narrowing)

    plan = made.saved.plan
    assert [target.instance for target in plan.targets()] == [one]
    assert plan.counts.excluded["narrowed"] == whole.saved.plan.counts.targets - 1
    text = preview.text(plan, made.saved.digest, 100)
    assert f"Narrowed   --limit {one} · --max-down 1" in text
    assert "narrowed" in text and "at most 1 of the fleet" in text
