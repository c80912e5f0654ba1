"""A file-size limit of the operating system, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rollout.journal import writer
from rollout.model.event import Halted
from tests import tree

WRITER = """
import json, resource, sys
from pathlib import Path
from rollout.errors import RolloutError
from rollout.journal import writer
from tests.journal import samples

runs, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
durable = 0
try:
    journal = writer.create(runs, samples.RUN, b"{}")
    journal.append([samples.started()], samples.NOW)
    for number in range(1, 100_000):
        for part in range(20):
            journal.append(samples.turn(number * 20 + part), samples.NOW)
        journal.sync_now()
        durable = journal.seq
except RolloutError as error:
    words = durable > 0 and journal.append_final([samples.HALTED], samples.NOW)
    print(json.dumps([error.problems[0].code, int(error.exit), durable, words]))
"""


def limited(runs_dir: Path, limit: int) -> tuple[str, int, int, bool]:
    """Write until the limit: code, exit, last durable line, whether final events were written."""
    command = [sys.executable, "-c", WRITER, str(runs_dir), str(limit)]
    done = subprocess.run(command, cwd=tree.ROOT, check=True, capture_output=True, text=True)
    code, exit_code, durable, words = json.loads(done.stdout)
    return code, exit_code, durable, words


@pytest.mark.parametrize("limit", [4_200_000, 4_200_321])
def test_what_was_durable_stays_and_the_halt_is_written(tmp_path: Path, limit: int) -> None:
    """EFBIG after a short write: cut back to the last durable line, then the final events."""
    code, exit_code, durable, words = limited(tmp_path, limit)

    assert (code, exit_code, words) == ("R0801", 74, True)
    reader = writer.read(tmp_path / "r-abcdefghij")
    lines = list(reader)
    assert reader.torn is None
    assert len(lines) == durable + 21  # the turns that were refused, and the halt
    assert isinstance(lines[-1].body[0], Halted)


def test_without_room_for_the_reserve_nothing_begins(tmp_path: Path) -> None:
    """Exit 74 before any call, where not even the space reserve fits."""
    assert limited(tmp_path, 1_000_000) == ("R0802", 74, 0, False)
