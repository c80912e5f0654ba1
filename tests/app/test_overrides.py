"""Overrides in plans, runs and the plans made from runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rollout.app import derived, runs
from rollout.app import plan as planning
from rollout.app.plan import Overriding
from rollout.cli import confirmation
from rollout.cli.views import preview
from rollout.errors import Exit, RolloutError
from rollout.model.event import Overridden
from rollout.model.plan import PlanOverride
from rollout.model.spec import Amount
from tests.app import factory
from tests.app import service as stage
from tests.app.test_preflight import RUNS, applied, code_of
from tests.cli.test_confirmation import UNATTENDED

LOOSER = PlanOverride("budgets[0].maxDown", "60%", "50%", looser=True, reason="CHG-1")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.asyncio
async def test_an_override_is_in_the_plan_the_journal_and_an_undo(project: Path) -> None:
    """The cap is that of the override. A looser value without a reason is refused; a value that is
    as safe needs none.
    """
    cloud = stage.emulated()
    spec = stage.write_spec(project)
    async with stage.connected(cloud) as service:
        with pytest.raises(RolloutError) as caught:
            looser = Overriding.of([f"{LOOSER.field}=60%"], "")
            await planning.create(spec, service, RUNS, looser=looser)
        assert code_of(caught) == ("R0151", Exit.USAGE)
        narrower = Overriding.of([f"{LOOSER.field}=40%"], "")
        assert (await planning.create(spec, service, RUNS, looser=narrower)).saved.plan.overridden()
        looser = Overriding.of([f"{LOOSER.field}=60%"], "CHG-1")
        saved = (await planning.create(spec, service, RUNS, looser=looser)).saved

    [group] = saved.plan.groups
    assert group.cap == group.members * 60 // 100
    assert saved.plan.overridden() == (LOOSER,)
    shown = preview.text(saved.plan, saved.digest, 80)
    assert "Override   budgets[0].maxDown=60% instead of 50%: CHG-1" in shown
    ended = await applied(cloud, saved)
    [stored] = RUNS.runs()
    journaled = [one for line in stored.read() for one in line.body if isinstance(one, Overridden)]
    assert ended.exit is Exit.DONE
    assert journaled == [Overridden("budgets[0].maxDown", "60%", "50%", "CHG-1")]
    folded = runs.fold(stored)
    assert derived.kept_overrides(folded.run.plan) == (LOOSER,)
    assert derived.spec_of(folded).budgets[0].max_down == Amount(share_ppm=600_000)


def test_a_plan_file_with_a_looser_value_needs_the_name() -> None:
    """Without a terminal: exit 7 and the option to add. Safer values and --confirm pass."""
    plan = msgspec.structs.replace(factory.plan(), overrides=(LOOSER,))
    safer = msgspec.structs.replace(LOOSER, looser=False)

    with pytest.raises(RolloutError) as caught:
        confirmation.confirm_file(UNATTENDED, plan, (), None)
    assert code_of(caught) == ("R0701", Exit.CONFIRM)
    assert f"--confirm {plan.name}" in (caught.value.problems[0].help or "")
    with pytest.raises(RolloutError) as caught:
        confirmation.confirm_file(UNATTENDED, plan, (), "other")
    assert code_of(caught) == ("R0702", Exit.CONFIRM)
    confirmation.confirm_file(UNATTENDED, plan, (), plan.name)
    confirmation.confirm_file(
        UNATTENDED, msgspec.structs.replace(plan, overrides=(safer,)), (), None
    )
