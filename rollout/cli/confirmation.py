"""Ask for confirmation before a spec's plan is executed, a run aborted or a key pair deleted.

Called by `apply`, `abort`, `schedule add` and `keys`. A plan file was reviewed, so it needs a
confirmation only for its overrides and for the safety policy of the aliyun CLI.
Makes no API calls.
"""

from __future__ import annotations

from collections.abc import Sequence

from rollout.cli.language import tr, translated
from rollout.cli.terminal import Terminal
from rollout.cli.views import preview
from rollout.errors import ConfirmationError
from rollout.model.phrase import Phrase, Wording, say, say_many
from rollout.model.plan import Plan


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
        options = f"--confirm {plan.name}{'' if covered else f' --restart-again {again}'}"
        raise _required(say("add {options}, or apply a reviewed plan file", options=options))
    wanted = plan.name if covered else f"{plan.name} {again}"
    if " ".join(_prompt(terminal, plan, wanted, again).split()) != wanted:
        raise ConfirmationError.of(
            "R0702",
            say("the answer is not `{wanted}`; nothing was started", wanted=wanted),
            help=say("run apply again"),
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
            why = (
                say("the plan has {override}", override=looser[0]) if looser else _policy(rules[0])
            )
            raise _required(say("add --confirm {name}: {why}", name=plan.name, why=why))
        question = [tr("This plan may be less safe than its spec:"), *looser] if looser else []
        question += [translated(_policy(rule)) for rule in rules]
        question.append(tr("Type the spec's name, {name}, to start:", name=plan.name))
        given = terminal.prompt("\n".join(question))
    _check_name(given, plan)


def confirm_abort(terminal: Terminal, run: str, name: str, given: str | None) -> None:
    """Return when an operator, or --confirm, confirmed that this run is aborted.

    The answer is the run's id or its spec's name. Errors: R0701, R0702 as above.
    """
    lines = (
        tr("Abort run {run}? It cannot be continued afterwards.", run=run),
        tr("Type the run's id or the spec's name, {name}:", name=name),
    )
    wrong = say(
        "the answer is neither {run} nor {name}; the run was not aborted", run=run, name=name
    )
    _confirm(terminal, name, given, lines, wrong, others=(run,))


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
    question = tr(
        "Type the key pair's name, {name}, to import it in {regions}:",
        name=name,
        regions=", ".join(regions),
    )
    why = _policy(rules[0])
    wrong = say("the answer is not {name}; nothing was imported", name=name)
    _confirm(terminal, name, given, (translated(why), question), wrong, why=why)


def confirm_retire(
    terminal: Terminal, name: str, regions: Sequence[str], given: str | None
) -> None:
    """Return when an operator, or --confirm, confirmed that this key pair is deleted.

    The answer is the key pair's name. Errors: R0701, R0702 as above.
    """
    question = tr(
        "Delete key pair {name} in {regions}? It cannot be restored.",
        name=name,
        regions=", ".join(regions),
    )
    wrong = say("the answer is not {name}; nothing was deleted", name=name)
    _confirm(terminal, name, given, (question, tr("Type its name:")), wrong)


def confirm_schedule(terminal: Terminal, name: str, given: str | None) -> None:
    """Return when an operator, or --confirm, confirmed that a schedule applies plans by itself.

    The answer is the spec's name. Errors: R0701, R0702 as above.
    """
    lines = (
        tr("The schedule has onDue: planAndApply. Its plans are applied without a review."),
        tr("Type the spec's name, {name}:", name=name),
    )
    wrong = say("the answer is not {name}; nothing was added", name=name)
    _confirm(terminal, name, given, lines, wrong)


def _confirm(
    terminal: Terminal,
    name: str,
    given: str | None,
    question: Sequence[str],
    wrong: Phrase,
    *,
    why: Phrase | None = None,
    others: Sequence[str] = (),
) -> None:
    """Return when `given`, or an operator's answer to the question, is the name or one of `others`.
    `why` a confirmation is required is part of the error without a terminal.
    """
    if given is None:
        if not terminal.interactive:
            cure = say("add --confirm {name}", name=name)
            raise _required(say("add --confirm {name}: {why}", name=name, why=why) if why else cure)
        given = terminal.prompt("\n".join(question))
    if given not in (name, *others):
        raise ConfirmationError.of("R0702", wrong, help=say("add --confirm {name}", name=name))


def _policy(rule: str) -> Phrase:
    return say("The safety policy wants a confirmation for {rule}", rule=rule)


def _required(cure: Wording) -> ConfirmationError:
    return ConfirmationError.of(
        "R0701", say("confirmation required, but the input is not a terminal"), help=cure
    )


def _check_name(given: str, plan: Plan) -> None:
    if given != plan.name:
        raise ConfirmationError.of(
            "R0702",
            say(
                "--confirm does not match the spec's name {name}; nothing was started",
                name=plan.name,
            ),
            help=say("add --confirm {name}", name=plan.name),
        )


def _uncovered(again: int) -> ConfirmationError:
    return ConfirmationError.of(
        "R0701",
        say_many(
            "--confirm does not cover {number:,} target with the key already attached; this runs "
            "directory has no proof of a later boot, so apply would restart it again",
            "--confirm does not cover {number:,} targets with the key already attached; this runs "
            "directory has no proof of a later boot, so apply would restart them again",
            again,
        ),
        help=say("check --runs-dir; add --restart-again {again} if this is intended", again=again),
    )


def _prompt(terminal: Terminal, plan: Plan, wanted: str, again: int) -> str:
    lines = [
        tr(
            "Rotate {targets:,} instances of account {accounts} on {where}?",
            targets=plan.counts.targets,
            accounts=", ".join(identity.account for identity in plan.identity),
            where="EMULATOR" if plan.emulated else say("the real service"),
        )
    ]
    if wanted == plan.name:
        lines.append(tr("Type the spec's name, {name}, to start:", name=plan.name))
    else:
        lines.append(
            tr("{again:,} of them already have the key and would be restarted again.", again=again)
        )
        lines.append(
            tr("Type the spec's name and this number, `{wanted}`, to start:", wanted=wanted)
        )
    try:
        return terminal.prompt("\n".join(lines))
    except KeyboardInterrupt:
        terminal.say(say("\nInterrupted; nothing was started."))
        raise
