"""Two runs of one region in one runs directory, the first of which is stopped with SIGSTOP."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from pathlib import Path

from tests.e2e.stage import stage

LEASED = (sys.executable, str(Path(__file__).with_name("leased.py")))
FLEET = "- { count: 6, tags: { case: one } }\n- { count: 2, tags: { case: two } }\n"


def test_a_stopped_run_loses_its_lease_and_sends_nothing_late(tmp_path: Path) -> None:
    """The second run is refused while the first is alive, and takes the region over after its lease
    expired. The first then ends with exit 6 without a further effect, and a resume finishes it.
    """
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(FLEET)
    options = ("--fleet", str(fleet), "--boot-time", "1s")
    with stage(tmp_path, size=None, options=options) as made:
        for name in ("one", "two"):
            made.write_spec(name, case=name, max_down="1")
            assert made.run("plan", f"{name}.yaml", "--out", f"{name}.plan.json").returncode == 0
        one, two = made.targets("one.plan.json"), made.targets("two.plan.json")
        first = made.begin("apply", "one.plan.json", "--no-input", program=LEASED)
        while not made.restarts().keys() & one:
            assert first.poll() is None, first.communicate()
            time.sleep(0.05)
        refused = made.run("apply", "two.plan.json", "--no-input", program=LEASED)
        assert refused.returncode == 6 and "error[R0618]" in refused.stderr, refused
        assert not made.restarts().keys() & two

        first.send_signal(signal.SIGSTOP)
        time.sleep(2)  # before that, its last renewal is too new for a process that hangs
        second = made.run("apply", "two.plan.json", "--no-input", program=LEASED)
        assert second.returncode == 0 and "lease.taken_over" in second.stderr, second
        before = _effects(made.admin("ledger"), one)
        first.send_signal(signal.SIGCONT)
        out, err = first.communicate(timeout=60)
        assert first.returncode == 6 and "R0619" in out + err, out + err
        assert _effects(made.admin("ledger"), one) == before

        log = made.run("audit", "show").stdout
        assert "taken over from run r-" in log
        resumed = made.run("resume", "--last", program=LEASED)
        assert resumed.returncode == 0, resumed
        restarts = made.restarts()
    assert {restarts[instance] for instance in one | two} == {1}


def _effects(rows: list[dict[str, object]], instances: set[str]) -> Counter[object]:
    return Counter(row["effect"] for row in rows if row["instance"] in instances)
