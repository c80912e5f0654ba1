"""A plan is compared with a new plan of the spec that it stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.app import approvals, diff, plan_file
from rollout.app import plan as planning
from rollout.app.session import Connection, Session
from rollout.emulator.http import server
from rollout.journal.directory import DirectoryStore
from tests.app import service as stage

APPROVALS = "  approvals: { required: 1, keys: [li.wei.vkey] }\n"
WINDOWS = """\
  windows:
    timeZone: Asia/Shanghai
    allow: [ { from: "00:00", to: "11:00" }, { from: "11:30", to: "23:59" } ]
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory with a key, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    approvals.new_key("li.wei", tmp_path / "li.wei")
    return tmp_path


@pytest.mark.asyncio
@pytest.mark.parametrize("more", ["", APPROVALS, WINDOWS], ids=["plain", "approvals", "windows"])
@pytest.mark.parametrize("dates", [False, True], ids=["name", "dates"])
async def test_nothing_differs_while_nothing_changes(
    project: Path, more: str, *, dates: bool
) -> None:
    """Approvers, windows and dates of a stored spec are those of its plan."""
    text = stage.SPEC + more
    if dates:
        name = text.partition("keyPair: { name: ")[2].partition(",")[0]
        text = text.replace(f"keyPair: {{ name: {name}", 'keyPair: { name: "ops-{year}"')
    path, cloud = stage.write_spec(project, text=text), stage.emulated()
    async with stage.connected(cloud) as service:
        made = await planning.create(path, service, DirectoryStore(Path("runs")))
    plan_file.save_plan(made.saved, Path("a.plan.json"))
    (project / "li.wei.vkey").unlink()
    path.chmod(0o666)

    async with server.serve(cloud) as url:
        session = Session(connection=Connection(endpoint=url, emulator=True))
        found = await diff.with_live(Path("a.plan.json"), session)

    assert not found, found
