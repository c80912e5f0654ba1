"""A plan is applied only with the approvals that its spec requires."""

from __future__ import annotations

from pathlib import Path

import anyio
import msgspec
import pytest

from rollout.app import approval_files, approvals, execute, plan_file
from rollout.app.plan_file import SavedPlan
from rollout.app.session import Session
from rollout.core.invariant import Bug
from rollout.core.planning import planner
from rollout.core.running.decider import Decider
from rollout.errors import Exit, PlanError, RolloutError
from rollout.model import event as ev
from rollout.model.approval import Approvers, author_names
from rollout.model.plan import Identity, Plan
from rollout.model.spec import ApprovalRule
from tests.app import factory
from tests.journal.samples import ACTOR

NAMES = ("li.wei", "secops", "zhou.min")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory with three keys, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        approvals.new_key(name, tmp_path / name)
    return tmp_path


def keys() -> tuple[str, ...]:
    """The verifier keys of the project."""
    return tuple(Path(f"{name}.vkey").read_text().strip() for name in NAMES)


def saved(required: int = 2, author: tuple[str, ...] = ("zhou.min",), tool: str = "t") -> SavedPlan:
    """A plan file that needs these approvals."""
    rule = Approvers(required, keys(), not_author=True, author=author)
    plan = msgspec.structs.replace(factory.plan(), approvals=rule, tool=tool)
    plan_file.save_plan(plan_file.with_digest(plan), Path("fleet.plan.json"))
    return plan_file.load_plan(Path("fleet.plan.json"))


def approve(name: str) -> approvals.NewApproval:
    """Approve the plan file."""
    return approvals.approve(Path("fleet.plan.json"), Path(name), "CHG-48213")


def refused(code: str, exit_code: Exit) -> None:
    """Expect that the plan file is not applied."""
    with pytest.raises(RolloutError) as caught:
        approvals.check(plan_file.load_plan(Path("fleet.plan.json")))
    assert (caught.value.problems[0].code, caught.value.exit) == (code, exit_code)


def test_enough_approvals_of_different_keys_are_found() -> None:
    """One key counts once, and the digest stays that of the file."""
    saved()
    refused("R0704", Exit.CONFIRM)
    approve("li.wei")
    assert len(approve("li.wei").approved) == 1
    refused("R0704", Exit.CONFIRM)
    made = approve("secops")

    found = approvals.check(plan_file.load_plan(Path("fleet.plan.json")))
    assert tuple(event.key for event in found) == made.approved and len(found) == 2
    assert "comment CHG-48213" in found[0].note
    assert made.path.parent == Path("fleet.plan.approvals")


def test_apply_refuses_before_it_connects() -> None:
    """Neither the service nor the runs directory is reached."""
    with pytest.raises(RolloutError) as caught:
        anyio.run(execute.apply, saved(), Session())

    assert caught.value.exit is Exit.CONFIRM
    assert "may still approve: li.wei+" in str(caught.value.problems[0].notes[0])
    assert "zhou.min" not in str(caught.value.problems[0].notes[0])
    assert not Path("runs").exists()


def test_the_author_cannot_approve() -> None:
    """Neither through the command nor with a note that was written otherwise."""
    saved()
    with pytest.raises(RolloutError, match="R0707"):
        approve("zhou.min")
    saved(author=())
    approve("li.wei")
    made = approve("zhou.min")
    assert len(made.approved) == 2

    digest = saved().digest
    rewritten = [approve("li.wei").path.read_text()]
    assert digest in rewritten[0]
    refused("R0704", Exit.CONFIRM)


def test_approvals_of_another_plan_do_not_count() -> None:
    """A new plan in the same file needs new approvals."""
    saved()
    approve("li.wei")
    approve("secops")
    saved(tool="another")

    refused("R0704", Exit.CONFIRM)


@pytest.mark.parametrize("change", ["digest", "signature", "cut"])
def test_a_changed_approval_is_an_integrity_error(change: str) -> None:
    """Exit 9, even if other approvals would suffice."""
    saved(required=1)
    approve("secops")
    path = approve("li.wei").path
    note = path.read_text()
    changed = {
        "digest": note.replace("name fleet", "name feet"),
        "signature": note[:-4] + "AAA\n",
        "cut": note.partition("\n\n")[0],
    }
    path.write_text(changed[change])

    refused("R0910", Exit.INTEGRITY)


def test_unknown_keys_and_plans_without_approvals_are_refused() -> None:
    """An approval that nobody can verify is not written."""
    saved()
    approvals.new_key("mallory", Path("mallory"))
    with pytest.raises(RolloutError, match="R0705: key mallory"):
        approve("mallory")
    plan_file.save_plan(plan_file.with_digest(factory.plan()), Path("fleet.plan.json"))
    with pytest.raises(RolloutError, match="R0705"):
        approve("li.wei")

    assert not Path("fleet.plan.approvals").exists()


def test_a_private_key_that_others_can_read_is_refused() -> None:
    """So is a file that holds no private key; no message repeats the content."""
    saved()
    Path("li.wei").chmod(0o640)
    with pytest.raises(RolloutError, match=r"R0706.*0640"):
        approve("li.wei")
    Path("zhou.min.vkey").chmod(0o600)
    with pytest.raises(RolloutError, match="R0706"):
        approve("zhou.min.vkey")
    with pytest.raises(RolloutError, match="R0706"):
        approve("missing")


def test_keys_are_private_and_never_replaced(project: Path) -> None:
    """Mode 0600, and an existing file stays."""
    before = (project / "secops").read_text()
    assert (project / "secops").stat().st_mode & 0o777 == 0o600
    with pytest.raises(RolloutError, match="R0001"):
        approvals.new_key("secops", project / "secops")
    for name in ("", "a b", "a+b", "x" * 129):
        with pytest.raises(RolloutError, match="R0001"):
            approvals.new_key(name, project / "new")

    assert (project / "secops").read_text() == before
    assert not (project / "new").exists()


@pytest.mark.parametrize("comment", ["two\nlines", "x" * 501, "LTAI5tAbCdEfGhIjKlMn"])
def test_a_comment_is_one_short_line_without_secrets(comment: str) -> None:
    """It is signed and journaled, so that it cannot be changed later."""
    saved()
    with pytest.raises(RolloutError, match="R0001"):
        approvals.approve(Path("fleet.plan.json"), Path("li.wei"), comment)

    assert not approval_files.read_notes(Path("fleet.plan.json"))


def plan_of(rule: ApprovalRule, user: str) -> Plan:
    """The plan of a spec with this rule, created by a user."""
    spec = msgspec.structs.replace(factory.spec(), approvals=rule)
    identity = Identity("1", "acs:ram::1:role/ops/li.wei", "env")
    context = planner.PlanContext("rollout", (identity,), user=user)
    return planner.make_plan(spec, factory.inventory(), {}, factory.NOW, context)


def test_a_plan_that_can_never_be_approved_is_refused() -> None:
    """OS user and role session are authors; their keys are recognized up to the `@`."""
    plan = plan_of(ApprovalRule(1, keys()), "zhou.min")
    approvers = plan.approvers()
    assert approvers is not None and [key.name for key in approvers.eligible()] == ["secops"]

    with pytest.raises(PlanError, match="R0363"):
        plan_of(ApprovalRule(2, keys()), "zhou.min")
    assert plan_of(ApprovalRule(3, keys(), not_author=False), "zhou.min").approvers()
    assert author_names("root", ["acs:ram::1:user/li.wei"]) == ("root", "li.wei")


def test_no_wave_starts_without_the_approvals() -> None:
    """I-90: the core refuses to start the first wave of a journal that lacks one."""
    plan = saved().plan
    decider = Decider(plan)
    decider.start("r-1", "sha256:0", ACTOR, factory.NOW)
    decider.put(ev.Approved("li.wei+1", ""), factory.NOW)
    assert decider.run.missing_approvals == 1
    with pytest.raises(RolloutError, match="R0704"):
        approvals.check_resumed(decider.run)
    with pytest.raises(Bug, match="I-90"):
        decider.put(ev.WaveStarted(0, "canary"), factory.NOW)

    decider.put(ev.Approved("secops+2", ""), factory.NOW)
    approvals.check_resumed(decider.run)


def test_the_help_names_the_plan_that_lacks_approvals() -> None:
    """A plan file is approved where it is; only a spec is planned first. Numbers read well."""
    saved(required=1)
    named = Path("sp ace.plan.json")
    plan_file.save_plan(plan_file.load_plan(Path("fleet.plan.json")), named)
    texts = []
    for one in (plan_file.load_plan(named), plan_file.load_plan(named)._replace(path=None)):
        with pytest.raises(RolloutError) as caught:
            approvals.check(one)
        (problem,) = caught.value.problems
        assert problem.message == "the plan needs 1 approval and has 0"
        texts.append(problem.help)

    assert texts[0] == "rollout approve 'sp ace.plan.json' --key KEY"
    assert (texts[1] or "").startswith("rollout plan SPEC --out FILE.plan.json")
