"""A plan is compared with the fleet as it is now."""

from __future__ import annotations

import json
from pathlib import Path

from rollout.errors import Exit
from tests.e2e.stage import stage


def test_a_reviewed_plan_is_compared_with_the_fleet(tmp_path: Path) -> None:
    """Nothing differs at first. A plan that leaves one target out differs in it, and no instance
    is changed.
    """
    with stage(tmp_path, size=24) as made:
        made.write_spec("fleet")
        made.run("plan", "fleet.yaml", "--out", "a.plan.json")
        same = made.run("diff", "a.plan.json", "--live", "--detailed-exitcode")
        target = min(made.targets("a.plan.json"))
        spec = (made.folder / "fleet.yaml").read_text()
        rule = f"  exclude:\n    - {{ instances: [{target}], reason: frozen }}\n  budgets:"
        (made.folder / "fleet.yaml").write_text(spec.replace("  budgets:", rule))
        made.run("plan", "fleet.yaml", "--out", "b.plan.json")
        found = made.run("diff", "a.plan.json", "b.plan.json", "--detailed-exitcode", "-o", "json")

        assert (same.returncode, same.stdout) == (Exit.DONE, "No differences.\n"), same.stderr
        assert found.returncode == Exit.CHANGES
        rows = {one["instance"]: one for one in json.loads(found.stdout)["instances"]}
        assert rows[target]["change"] == "removed"
        assert rows[target]["after"] == "excluded: rule (frozen)"
        assert not made.restarts()
