"""The pydantic models of `spec.windows`.

Used by `models`. The text after a field is its description in the JSON Schema.
"""

from __future__ import annotations

import re
from datetime import date
from difflib import get_close_matches
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
    model_validator,
)

from rollout.model.phrase import say
from rollout.model.windows import DAY_MINUTES, WEEKDAYS, OnClose, Rule
from rollout.model.windows import Dates as DatesRule
from rollout.model.windows import Hours as HoursRule
from rollout.specfile import zones
from rollout.specfile.fields import FilePath, fault
from rollout.specfile.form import Form

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _zone(text: str) -> str:
    known = zones.names()
    if text in known:
        return text
    close = next((name for name in known if name.lower() == text.lower()), "")
    city = {name.rpartition("/")[2].lower(): name for name in known}
    found = get_close_matches(text.rpartition("/")[2].lower(), city, n=1, cutoff=0.75)
    close = close or (city[found[0]] if found else "")
    hint = (
        say("did you mean `{suggestion}`?", suggestion=close)
        if close
        else say("write an IANA name such as `Asia/Shanghai`")
    )
    raise fault("R0139", say("unknown time zone `{text}`", text=text[:80]), hint)


def _day(value: object) -> str:
    if value in WEEKDAYS:
        return str(value)
    text = str(value)[:80]
    short = text[:3].capitalize()
    hint = (
        say("did you mean `{suggestion}`?", suggestion=short)
        if short in WEEKDAYS
        else say("write {days}", days=", ".join(WEEKDAYS))
    )
    raise fault("R0140", say("`{text}` is not a day of the week", text=text), hint)


def _point(value: object) -> str:
    text = value if isinstance(value, str) else ""
    if _TIME.fullmatch(text):
        return text
    if _DATE.fullmatch(text):
        try:
            return date.fromisoformat(text).isoformat()
        except ValueError:
            raise fault(
                "R0140", say("there is no day {text}", text=text), say("correct the date")
            ) from None
    hint = say("write a time such as `22:30`, or a date such as `2026-12-31`")
    raise fault("R0140", say("`{text}` is not a time or a date", text=str(value)[:80]), hint)


Point = Annotated[
    str,
    BeforeValidator(_point),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(([01]\d|2[0-3]):[0-5]\d|24:00|\d{4}-\d{2}-\d{2})$",
            "examples": ["22:30", "2026-12-31"],
        }
    ),
]
Day = Annotated[str, BeforeValidator(_day), WithJsonSchema({"enum": list(WEEKDAYS)})]
ZoneName = Annotated[
    str, AfterValidator(_zone), Field(json_schema_extra={"examples": ["Asia/Shanghai", "UTC"]})
]


class RuleForm(Form):
    """A daily time, or a range of dates."""

    days: Annotated[list[Day], Field(min_length=1)] = []
    """Days of the week on which the time opens; all days if left out."""
    begin: Point = Field("", alias="from")
    """Start: a time of day, or the first date. `00:00` if left out."""
    end: Point = Field("", alias="to")
    """End: a time of day, or the last date. `24:00` if left out. A time that is not after `from`
    is on the next day.
    """

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check()
        return self

    def _check(self) -> None:
        if not (self.days or self.begin or self.end):
            raise fault("R0140", say("an empty rule"), say("write `days`, `from` or `to`"))
        kinds = {"-" in text for text in (self.begin, self.end) if text}
        if len(kinds) == 2:
            hint = say("write two times, such as `22:30`, or two dates, such as `2026-12-31`")
            raise fault("R0140", say("`from` and `to` must both be times or both be dates"), hint)
        if kinds == {True}:
            self._check_dates()
        elif (self.begin or "00:00") == self.end or self.begin == "24:00":
            hint = say("leave out `from` and `to` for whole days")
            raise fault("R0140", say("a window of no length"), hint)

    def _check_dates(self) -> None:
        if not (self.begin and self.end):
            raise fault(
                "R0140", say("a range of dates has `from` and `to`"), say("add the other date")
            )
        if self.end < self.begin:
            raise fault(
                "R0140",
                say("{later} is before {earlier}", later=self.end, earlier=self.begin),
                say("exchange the dates"),
            )
        if self.days:
            raise fault("R0140", say("`days` go with times, not with dates"), say("remove `days`"))

    def rule(self) -> Rule:
        """Return the rule of this form."""
        if "-" in self.begin:
            return DatesRule(date.fromisoformat(self.begin), date.fromisoformat(self.end))
        days = tuple(sorted({WEEKDAYS.index(day) for day in self.days})) or tuple(range(7))
        return HoursRule(_minutes(self.begin or "00:00"), _minutes(self.end or "24:00"), days)


class DenyForm(RuleForm):
    """A denied time, or a file with denied times."""

    calendar: FilePath = ""
    """Path of an iCalendar file. The time of each of its events is denied."""

    def _check(self) -> None:
        if not self.calendar:
            super()._check()
        elif self.days or self.begin or self.end:
            hint = say("write two rules")
            raise fault(
                "R0140", say("a rule has either `calendar`, or days, times and dates"), hint
            )


class WindowsForm(Form):
    """When attaches and restarts may begin."""

    time_zone: ZoneName
    """IANA time zone of all days and times, such as `Asia/Shanghai`."""
    allow: list[RuleForm] = []
    """Open times. If left out, every time is open that is not denied."""
    deny: list[DenyForm] = []
    """Closed times; they have priority over `allow`."""
    on_close: Annotated[OnClose, Field(strict=False)] = OnClose.DRAIN
    """`drain`: restarts that began end normally, and none begins."""

    @model_validator(mode="after")
    def _any(self) -> Self:
        if self.time_zone and not (self.allow or self.deny):
            hint = say("add a rule, or remove `windows`")
            raise fault("R0140", say("windows without `allow` and `deny`"), hint)
        return self


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return min(int(hours) * 60 + int(minutes), DAY_MINUTES)
