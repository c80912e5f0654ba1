"""Other programs follow a run while it happens: events, a watched status, a reader that leaves."""

from __future__ import annotations

import json
import time
from pathlib import Path

from rollout.errors import Exit
from tests.e2e.stage import stage


def test_a_run_is_followed_while_it_happens(tmp_path: Path) -> None:
    """The followed stream equals the one read later, and the watch ends as the run does."""
    with stage(tmp_path, size=24, options=("--boot-time", "500ms")) as made:
        made.write_spec("fleet", max_down="80%")
        apply = made.begin("apply", "fleet.yaml", "--confirm", "fleet")
        while not list(tmp_path.glob("runs/r-*/journal-*")):
            assert apply.poll() is None, apply.communicate()
            time.sleep(0.05)
        late = made.begin("status", "--watch", "--timeout", "0s")
        follow = made.begin("events", "--follow")
        first = made.begin("events", "--follow")
        watch = made.begin("status", "--watch", "--exit-status", "-o", "json")
        assert first.stdout is not None
        assert '"rollout.version"' in first.stdout.readline()
        first.stdout.close()  # the reader leaves, as `| head -1` does

        assert "RUNNING" in late.communicate(timeout=60)[0]
        assert late.returncode == Exit.IN_PROGRESS
        followed = follow.communicate(timeout=60)[0]
        watched, talk = watch.communicate(timeout=60)
        apply.communicate(timeout=60)
        assert apply.returncode == Exit.DONE
        assert watch.returncode == Exit.DONE, talk
        assert json.loads(watched)["state"] == "closed" and "run.progress" in talk
        assert first.wait(20) == Exit.DONE
        assert first.stderr is not None and not first.stderr.read()
        first.stderr.close()
        assert followed == made.run("events").stdout

    assert json.loads(followed.splitlines()[-1])["type"] == "rollout.run.closed"
