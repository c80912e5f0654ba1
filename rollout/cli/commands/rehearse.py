"""`rollout rehearse`: simulate a plan. It makes no API calls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from rollout.cli.options import OUTPUT, Common, duration
from rollout.cli.terminal import Terminal
from rollout.cli.views import render
from rollout.errors import Exit, UsageError
from rollout.model.phrase import say


def rehearse(
    plan: Path,
    /,
    *,
    seeds: int | None = None,
    faults: Path | None = None,
    boot_time: str | None = None,
    quota: int | None = None,
    out: Path | None = None,
    digest: str | None = None,
    output: Annotated[Literal["table", "json"], OUTPUT] = "table",
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Simulate a plan. Makes no API calls and changes nothing.

    Parameters
    ----------
    plan
        Plan file.
    seeds
        Number of simulations, each with another seed. The default is smaller for larger plans.
    faults
        Faults to inject: a YAML list of `{ fault, probability, actions, delay, code }`, or
        `hostile`.
    boot_time
        Time from an accepted restart until the instance is Running, as `90s` or `2m`.
    quota
        Calls a minute that the service accepts for each action in each region.
    out
        File to write the forecast to as well, as one HTML page.
    digest
        Expected digest of the plan file, instead of the one in its `.sha256` file.
    output
        Format of the result. json: also lists each seed.
    """
    from rollout.app import out_file, plan_file, preflight
    from rollout.app import rehearse as rehearsing
    from rollout.cli.rehearsal_progress import RehearsalProgress
    from rollout.cli.views import forecast, page

    terminal = Terminal.of(common)
    given = rehearsing.RehearsalOptions(
        _positive(seeds, "--seeds"), _boot_ms(boot_time), _positive(quota, "--quota"), faults
    )
    _check_out(out)
    saved = plan_file.load_plan(plan, digest)
    preflight.check_rules(made := saved.plan)
    if not made.counts.targets:
        terminal.say(say("Nothing to rehearse: no instance needs rotation."))
        return Exit.DONE
    with RehearsalProgress(terminal) as progress:
        rehearsed = rehearsing.rehearse(made, given, common.runs_dir, progress.show)
    result = (made, saved.digest, rehearsed)
    if out is not None:
        out_file.write(out, page.page(*result).encode(), say("page"))
    if output == "json":
        terminal.show(render.as_json(forecast.data(*result)))
    else:
        terminal.show(forecast.text(*result, terminal.width))
    return Exit.DONE


def _check_out(out: Path | None) -> None:
    from rollout.app import out_file
    from rollout.cli.views import page

    if out is not None:
        own = say("the file exists and is not a rehearsal page")
        out_file.check(out, say("page"), page.is_page, own)


def _positive(number: int | None, option: str) -> int | None:
    if number is not None and number < 1:
        raise UsageError.of(
            "R0001", say("{option} {number}: at least 1", option=option, number=number)
        )
    return number


def _boot_ms(text: str | None) -> int | None:
    return None if text is None else duration(text, "--boot-time", milliseconds=True)
