"""Ask for confirmation before a spec's plan is executed, a run aborted or a key pair deleted.

Called by `apply`, `abort`, `schedule add` and `keys`. A plan file was reviewed, so it needs a
confirmation only for its overrides and for the safety policy of the aliyun CLI.
Makes no API calls.
"""

from __future__ import annotations

from collections.abc import Sequence

from rollout.cli.terminal import Terminal
from rollout.cli.views import preview
from rollout.errors import ConfirmationError
from rollout.model.plan import Plan

_POLICY = "The safety policy wants a confirmation for"


def confirm_plan(terminal: Terminal, plan: Plan, given: str | None, again_max: int) -> None:
    """Return when an operator, or options, confirmed this plan.

    `given` is the value of --confirm. `again_max` is the value of --restart-again: the number of
    targets that already have the key and may be restarted. Without it, the operator must type it.

    Errors: ConfirmationError R0701 if a confirmation is missing, R0702 if it does not match.
    """
    again = preview.restarts_again(plan)
    covered = again <= again_max
    if given is not None:
        _check_name(given, plan)
        if not covered:
            raise _uncovered(again)
        return
    if not terminal.interactive:
        cure = f"add --confirm {plan.name}{'' if covered else f' --restart-again {again}'}"
        raise _required(f"{cure}, or apply a reviewed plan file")
    wanted = plan.name if covered else f"{plan.name} {again}"
    if " ".join(_prompt(terminal, plan, wanted, again).split()) != wanted:
        raise ConfirmationError.of(
            "R0702", f"the answer is not `{wanted}`; nothing was started", help="run apply again"
        )


def confirm_file(terminal: Terminal, plan: Plan, rules: Sequence[str], given: str | None) -> None:
    """Return when an operator, or --confirm, confirmed a plan file that needs it.

    It needs it for overrides that are less safe than the spec, and for `rules`: the actions that
    the safety policy of the aliyun CLI wants confirmed. Errors: R0701, R0702 as above.
    """
    looser = [one.text for one in plan.overridden() if one.looser]
    if not (looser or rules) or not plan.counts.targets:
        return
    if given is None:
        if not terminal.interactive:
            why = f"the plan has {looser[0]}" if looser else f"{_POLICY} {rules[0]}"
            raise _required(f"add --confirm {plan.name}: {why}")
        question = ["This plan may be less safe than its spec:", *looser] if looser else []
        question += [f"{_POLICY} {rule}" for rule in rules]
        question.append(f"Type the spec's name, {plan.name}, to start:")
        given = terminal.prompt("\n".join(question))
    _check_name(given, plan)


def confirm_abort(terminal: Terminal, run: str, name: str, given: str | None) -> None:
    """Return when an operator, or --confirm, confirmed that this run is aborted.

    The answer is the run's id or its spec's name. Errors: R0701, R0702 as above.
    """
    if given is None:
        if not terminal.interactive:
            raise _required(f"add --confirm {name}")
        given = terminal.prompt(
            f"Abort run {run}? It cannot be continued afterwards.\n"
            f"Type the run's id or the spec's name, {name}:"
        )
    if given not in (run, name):
        raise ConfirmationError.of(
            "R0702",
            f"the answer is neither {run} nor {name}; the run was not aborted",
            help=f"add --confirm {name}",
        )


def confirm_import(
    terminal: Terminal,
    name: str,
    regions: Sequence[str],
    rules: Sequence[str],
    given: str | None,
) -> None:
    """Return when an operator, or --confirm, confirmed that this key pair is imported, which the
    safety policy of the aliyun CLI wants.

    The answer is the key pair's name. Errors: R0701, R0702 as above.
    """
    if given is None:
        if not terminal.interactive:
            raise _required(f"add --confirm {name}: {_POLICY} {rules[0]}")
        given = terminal.prompt(
            f"{_POLICY} {rules[0]}\nType the key pair's name, {name}, to import it in "
            f"{', '.join(regions)}:"
        )
    if given != name:
        raise ConfirmationError.of(
            "R0702", f"the answer is not {name}; nothing was imported", help=f"add --confirm {name}"
        )


def confirm_retire(
    terminal: Terminal, name: str, regions: Sequence[str], given: str | None
) -> None:
    """Return when an operator, or --confirm, confirmed that this key pair is deleted.

    The answer is the key pair's name. Errors: R0701, R0702 as above.
    """
    if given is None:
        if not terminal.interactive:
            raise _required(f"add --confirm {name}")
        given = terminal.prompt(
            f"Delete key pair {name} in {', '.join(regions)}? It cannot be restored.\n"
            "Type its name:"
        )
    if given != name:
        raise ConfirmationError.of(
            "R0702", f"the answer is not {name}; nothing was deleted", help=f"add --confirm {name}"
        )


def confirm_schedule(terminal: Terminal, name: str, given: str | None) -> None:
    """Return when an operator, or --confirm, confirmed that a schedule applies plans by itself.

    The answer is the spec's name. Errors: R0701, R0702 as above.
    """
    if given is None:
        if not terminal.interactive:
            raise _required(f"add --confirm {name}")
        given = terminal.prompt(
            "The schedule has onDue: planAndApply. Its plans are applied without a review.\n"
            f"Type the spec's name, {name}:"
        )
    if given != name:
        raise ConfirmationError.of(
            "R0702", f"the answer is not {name}; nothing was added", help=f"add --confirm {name}"
        )


def _required(cure: str) -> ConfirmationError:
    return ConfirmationError.of(
        "R0701", "confirmation required, but the input is not a terminal", help=cure
    )


def _check_name(given: str, plan: Plan) -> None:
    if given != plan.name:
        raise ConfirmationError.of(
            "R0702",
            f"--confirm does not match the spec's name {plan.name}; nothing was started",
            help=f"add --confirm {plan.name}",
        )


def _uncovered(again: int) -> ConfirmationError:
    targets, them = ("1 target", "it") if again == 1 else (f"{again:,} targets", "them")
    return ConfirmationError.of(
        "R0701",
        f"--confirm does not cover {targets} with the key already attached; this runs directory "
        f"has no proof of a later boot, so apply would restart {them} again",
        help=f"check --runs-dir; add --restart-again {again} if this is intended",
    )


def _prompt(terminal: Terminal, plan: Plan, wanted: str, again: int) -> str:
    where = "EMULATOR" if plan.emulated else "the real service"
    accounts = ", ".join(identity.account for identity in plan.identity)
    lines = [f"Rotate {plan.counts.targets:,} instances of account {accounts} on {where}?"]
    if wanted == plan.name:
        lines.append(f"Type the spec's name, {plan.name}, to start:")
    else:
        lines.append(f"{again:,} of them already have the key and would be restarted again.")
        lines.append(f"Type the spec's name and this number, `{wanted}`, to start:")
    try:
        return terminal.prompt("\n".join(lines))
    except KeyboardInterrupt:
        terminal.say("\nInterrupted; nothing was started.")
        raise
