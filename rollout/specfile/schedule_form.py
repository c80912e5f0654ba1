"""The pydantic model of `spec.schedule`.

Used by `models`. The text after a field is its description in the JSON Schema.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from rollout.core.scheduling import cron as crons
from rollout.model import time
from rollout.model.phrase import say
from rollout.model.schedule import CATCH_UP_MAX_MS, OnDue, Overlap, Schedule
from rollout.specfile.fields import Duration, fault
from rollout.specfile.form import Form
from rollout.specfile.window_forms import ZoneName


def _cron(text: str) -> str:
    try:
        crons.check(text)
    except ValueError as error:
        hint = say("write minute, hour, day of month, month and day of week: `30 9 20 1,4,7,10 *`")
        raise fault("R0160", say("not a cron expression: {cause}", cause=error), hint) from None
    return text


def _catch_up(text: str) -> str:
    if not time.MINUTE <= time.parse_duration(text) <= CATCH_UP_MAX_MS:
        hint = say("write `10m`: an operator starts a rotation that is hours late")
        raise fault("R0162", say("`catchUp` is at least 1m and at most 1h"), hint)
    return text


class ScheduleForm(Form):
    """When a running `rollout serve --scheduler` rotates by this spec."""

    cron: Annotated[str, AfterValidator(_cron), Field(examples=["30 9 20 1,4,7,10 *"])]
    """Minute, hour, day of month, month and day of week, as Debian's cron reads them."""
    time_zone: ZoneName
    """IANA time zone of the cron expression and of the dates in the key pair's name."""
    overlap: Annotated[Overlap, Field(strict=False)] = Overlap.SKIP
    """While a run is open: `skip` a due tick, or `queue` one until the run is closed."""
    catch_up: Annotated[Duration, AfterValidator(_catch_up)] = time.format_duration(CATCH_UP_MAX_MS)
    """How late a tick may fire, as after a restart of the scheduler. Later ticks are missed."""
    on_due: Annotated[OnDue, Field(strict=False)] = OnDue.PLAN
    """`plan` saves a plan for review; `planAndApply` applies it without a review."""

    def built(self) -> Schedule:
        """Return the schedule of the spec."""
        catch_up_ms = time.parse_duration(self.catch_up)
        return Schedule(self.cron, self.time_zone, self.overlap, catch_up_ms, self.on_due)


NO_SCHEDULE = ScheduleForm.model_construct(cron="", time_zone="")
"""The default of `schedule`: only operators start rotations."""
