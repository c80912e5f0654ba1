"""Check what a spec asks outside the service: its gates, and its proofs of login.

Called by `doctor`. Gates are asked as during a run. No instance is called, and no login is tried.
"""

from __future__ import annotations

from rollout.app import preflight, proofs
from rollout.app.checks import Checkup
from rollout.engines.service import Service
from rollout.errors import CODES, Problem
from rollout.model import gate as gates_of_plans
from rollout.model.gate import GateAnswer
from rollout.model.phrase import say
from rollout.model.plan import Plan
from rollout.model.spec import Spec


async def gates(found: Checkup, spec: Spec) -> None:
    """Ask each gate once. An answer that keeps it shut now is no problem, no answer is one."""
    source = preflight.gate_source()
    for gate in spec.gates:
        name = gates_of_plans.name(gate)
        if problems := list(source.problems(gate)):
            for one in problems:
                found.problem("gate", one, CODES["R0343"].exit)
            continue
        reply = await source.ask(gate)
        if reply.answer is GateAnswer.UNKNOWN:
            text = say("{name} gave no answer: {text}", name=name, text=reply.text)
            cure = say("a gate without an answer stays shut; check its address from this machine")
            found.problem("gate", Problem("R0343", text, cure=cure), CODES["R0343"].exit)
        else:
            found.ok(
                "gate",
                say(
                    "{name} answers, and is {answer} now: {text}",
                    name=name,
                    answer=reply.answer.value,
                    text=reply.text,
                ),
            )


async def logins(found: Checkup, spec: Spec) -> None:
    """Check the programs of hooks, the SSH library, and the private key of the new key pair."""
    if spec.verify is None:
        return
    with found.problems("verify"):
        warning = await proofs.check_local(spec.verify, spec.key_pair)
        if warning:
            found.warn("verify", Problem("R0349", warning))
        parts = ["the new key is present"] if spec.verify.ssh else []
        if spec.verify.command:
            parts.append(f"{len(spec.verify.command)} programs can be started")
        if parts:
            found.ok("verify", ", ".join(parts))
    for hook in spec.verify.http:
        found.unknown("verify", say("GET {url} is sent only after a restart", url=hook.url))


async def former_logins(found: Checkup, plan: Plan, service: Service) -> None:
    """Check that the private keys of all former key pairs are present, if they are to be tried."""
    verify = plan.logins()
    if verify is None or verify.ssh is None or not verify.ssh.expect_old_key_refused:
        return
    with found.problems("former keys"):
        async with proofs.prober(plan, service):
            count = len({key.name for key in plan.former()})
            found.ok(
                "former keys",
                say("the private keys of {count} former key pairs are present", count=count),
            )
