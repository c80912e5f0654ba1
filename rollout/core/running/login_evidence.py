"""Judge what login probes observed: proved, not yet, or failed.

Called by the decider for every probe, and by `evolve`, which checks each proof again. Reads the
state only.
"""

from __future__ import annotations

from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model.plan import Target
from rollout.model.probe import KeyAccess, LoginSeen, LoginVerdict, ProbeLogin
from rollout.model.time import Duration

DETAIL_MAX = 200
"""Characters of a probe's detail that the journal holds."""


def probe(run: Run, ordinal: int) -> ProbeLogin:
    """Return the probe of an instance."""
    target, site = run.layout.targets[ordinal], run.layout.site_of(ordinal)
    former, before = former_digest(run, ordinal), run.host_keys.get(ordinal, "")
    return ProbeLogin(site, ordinal, target.instance, target.key, former, before)


def former_digest(run: Run, ordinal: int) -> str:
    """Return the digest of the public key that the instance must refuse; empty where there is none:
    it had no other key, or the plan does not want this proof.
    """
    verify, layout = run.plan.logins(), run.layout
    target: Target = layout.targets[ordinal]
    if verify is None or verify.ssh is None or not verify.ssh.expect_old_key_refused:
        return ""
    site = layout.site_of(ordinal)
    digest = next(
        (
            one.public_key_digest
            for one in run.plan.former()
            if one.site == site and one.name == target.former_key
        ),
        "",
    )
    return "" if digest == layout.wanted(ordinal).public_key_digest else digest


def judge(run: Run, ordinal: int, seen: LoginSeen, waited_ms: Duration) -> ev.LoginProbed | None:
    """Return the result of a probe, `waited_ms` after the instance was observed Running; None where
    it is to be repeated.

    A guest may install its keys some time after its boot, so that only a proof and a changed host
    key are final before the time-out.
    """
    verdict = _verdict(run, ordinal, seen)
    final = verdict in (LoginVerdict.PROVED, LoginVerdict.HOST_KEY_CHANGED)
    verify = run.plan.logins()
    timeout_ms = verify.timeout_ms(hooks=verdict is LoginVerdict.HOOK_FAILED) if verify else 0
    if not final and waited_ms < timeout_ms:
        return None
    detail = (seen.failed_hook or seen.why)[:DETAIL_MAX]
    return ev.LoginProbed(ordinal, verdict, seen.new_key, seen.former_key, seen.host_key, detail)


def unmet(run: Run, event: ev.LoginProbed) -> str:
    """Return which condition of a proof an event does not meet; empty where it meets all."""
    seen = LoginSeen(event.new_key, event.former_key, event.host_key, event.detail)
    verdict = _verdict(run, event.ordinal, seen)
    return "" if verdict is LoginVerdict.PROVED else f"the observations mean {verdict.value}"


def _verdict(run: Run, ordinal: int, seen: LoginSeen) -> LoginVerdict:
    before, verify = run.host_keys.get(ordinal, ""), run.plan.logins()
    ssh = verify is not None and verify.ssh is not None
    if before and seen.host_key and seen.host_key != before:
        return LoginVerdict.HOST_KEY_CHANGED
    if ssh and seen.new_key is KeyAccess.REFUSED:
        return LoginVerdict.KEY_REFUSED
    if seen.former_key is KeyAccess.ACCEPTED:
        return LoginVerdict.FORMER_KEY_ACCEPTED
    tried = seen.new_key is KeyAccess.ACCEPTED and (not before or seen.host_key == before)
    former = not former_digest(run, ordinal) or seen.former_key is KeyAccess.REFUSED
    if ssh and not (tried and former):
        return LoginVerdict.UNPROVED
    return LoginVerdict.HOOK_FAILED if seen.failed_hook else LoginVerdict.PROVED
