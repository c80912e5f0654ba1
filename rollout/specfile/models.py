"""The pydantic models of a spec; `schemas/key-rotation.v1.json` is generated from them.

Used by `specfile.load`. The text after a field is its description in the JSON Schema, which editors
show. Fields of later versions are in `suggestions.LATER`.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from rollout.model import limits, time
from rollout.model.phrase import say
from rollout.model.spec import Calls, Ensure, OnUnknown, Stopped, WaveGate
from rollout.model.windows import Hours
from rollout.specfile.approvals import ApprovalsForm
from rollout.specfile.fields import (
    Amount,
    Date,
    Duration,
    InstanceId,
    KeyPairName,
    Name,
    PositiveDuration,
    PublicKeyFile,
    Quota,
    SelectorText,
    Share,
    Size,
    Text,
    fault,
    later,
)
from rollout.specfile.form import Form
from rollout.specfile.gate_forms import Gates
from rollout.specfile.notify_forms import NotifyForm
from rollout.specfile.schedule_form import NO_SCHEDULE, ScheduleForm
from rollout.specfile.source_forms import SourceForm
from rollout.specfile.verify import VerifyForm
from rollout.specfile.window_forms import WindowsForm

BY_PATTERN = (
    r"^(fleet|region|zone|account|resourceGroup|deploymentSet|scalingGroup"
    r"|tag:[^\x00-\x1f\x7f]{1,128})$"
)


def _by(value: object) -> object:
    if value == "loadBalancer":
        raise later(f"`by: {value}`", say("write `by: tag:KEY` with a tag of these instances"))
    if isinstance(value, str) and re.fullmatch(BY_PATTERN, value) is None:
        hint = say(
            "write `fleet`, `region`, `zone`, `account`, `resourceGroup`, `deploymentSet`, "
            "`scalingGroup` or `tag:KEY`"
        )
        raise fault(
            "R0105", say("`by: {value}` does not name an attribute", value=value[:80]), hint
        )
    return value


def _running(value: object) -> object:
    if value == "defer":
        raise later("`running: defer`", say("write `running: reboot`, or leave it out"))
    return value


def _stopped(value: object) -> object:
    if value == "startThenStop":
        raise later("`stopped: startThenStop`", say("write `stopped: start` or `stopped: leave`"))
    return value


class Metadata(Form):
    """Name and labels of the rotation."""

    name: Name
    """Name of the plan file and the runs, and the text that confirms `apply`."""
    labels: dict[str, str] = {}
    """Free texts. The plan contains them."""


class KeyPairForm(Form):
    """The new key pair."""

    name: KeyPairName
    """Name of the ECS key pair; it exists once per account and region."""
    public_key: PublicKeyFile = Field(alias="publicKeyFile")
    """Path of its OpenSSH public key. It is compared with the key pair of each region."""
    ensure: Annotated[Ensure, Field(strict=False)] = Ensure.REQUIRE
    """For regions without the key pair: `import` creates it, `require` refuses the plan."""


class _RuleForm(Form):
    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["select"]}, {"required": ["instances"]}]}
    )
    select: SelectorText = ""
    """Tag selector of the instances that the rule is about."""
    instances: Annotated[list[InstanceId], Field(min_length=1)] = []
    """Ids of the instances that the rule is about; use either this field or `select`."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if bool(self.select) == bool(self.instances):
            hint = say("give one of them; two rules apply to what either of them names")
            raise fault("R0105", say("a rule has either `select` or `instances`"), hint)
        return self


class ExcludeForm(_RuleForm):
    """A rule that excludes instances."""

    reason: Text
    """Reason, for the plan and the audit log."""
    until: Date = ""
    """Last day (UTC) of the rule; afterwards it is reported as expired."""


class LastForm(_RuleForm):
    """A rule that makes instances restart last, one at a time."""

    reason: Text = ""
    """Reason, for readers of the spec."""


class RestartForm(Form):
    """How instances are restarted, so that the key takes effect."""

    running: Annotated[Literal["reboot"], BeforeValidator(_running)] = "reboot"
    """How to restart Running instances."""
    stopped: Annotated[Stopped, Field(strict=False), BeforeValidator(_stopped)] = Stopped.START
    """What to do with Stopped instances: `start` them, or `leave` them out of the plan."""
    calls: Annotated[Calls, Field(strict=False)] = Calls.SINGLE
    """One restart call per instance (`single`), or up to 100 ids per call (`batch`)."""
    timeout: PositiveDuration = time.format_duration(limits.RESTART_TIMEOUT_MS)
    """An instance that is not Running after this time has failed."""
    settle_window: Duration = time.format_duration(limits.SETTLE_WINDOW_MS)
    """How long a request may take effect after its reply was lost; no second restart before."""


class BudgetForm(Form):
    """How many instances may be down at once, and how many restarts may begin in ten minutes."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["maxDown"]}, {"required": ["restartsPer10m"]}],
        }
    )

    by: Annotated[str, BeforeValidator(_by), Field(json_schema_extra={"pattern": BY_PATTERN})]
    """Groups: `fleet`, `region`, `zone`, `account`, `resourceGroup`, `deploymentSet`,
    `scalingGroup`, or each value of a tag (`tag:KEY`)."""
    max_down: Amount = ""
    """Maximum number of instances of a group down at once: a count, or a percentage."""
    at_least: Annotated[int, Field(ge=1)] = 0
    """Maximum for groups in which the percentage rounds down to less, so that none has 0."""
    restarts_per_10m: Annotated[int, Field(ge=1, alias="restartsPer10m")] = 0
    """Maximum number of restarts of a group that begin in any ten minutes: a count."""

    @model_validator(mode="after")
    def _share(self) -> Self:
        if not self.max_down and not self.restarts_per_10m:
            hint = say("write `maxDown`, `restartsPer10m`, or both")
            raise fault("R0130", say("the budget `by: {by}` limits nothing", by=self.by), hint)
        if self.at_least and not self.max_down.endswith("%"):
            hint = say("write a percentage, or leave out `atLeast`")
            raise fault("R0105", say("`atLeast` needs a percentage in `maxDown`"), hint)
        return self


class OnFailureForm(Form):
    """When failures halt the run. The first limit that is reached applies."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["failed"]}, {"required": ["failedPercent"]}]}
    )
    failed: Annotated[int, Field(ge=1)] = 0
    """Number of failed instances at which the run halts."""
    failed_percent: Share = ""
    """Share of failed instances that halts the run: in total, in a wave, or in a budget's group."""
    min_sample: Annotated[int, Field(ge=1)] = limits.SAMPLE_MIN
    """Number of finished instances from which on `failedPercent` counts."""
    strict: bool = False
    """Count open attaches and restarts as failures: `failed` is never passed."""
    quarantine: bool = False
    """Hold the rest of an image, zone, OS or instance type that fails alone; others continue."""

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: object) -> object:
        if isinstance(value, dict) and "halt" in value:
            hint = say("write its fields in `onFailure` itself: `onFailure: {{ failed: 3 }}`")
            raise fault("R0136", say("`onFailure` has no field `halt`"), hint, at=("halt",))
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.failed and not self.failed_percent:
            hint = say("write `failed: 3` or `failedPercent: 1%`, or leave out `onFailure`")
            raise fault("R0136", say("`onFailure` needs `failed` or `failedPercent`"), hint)
        if self.strict and not self.failed:
            hint = say("add `failed`, or leave out `strict`")
            raise fault("R0136", say("`strict` needs `failed`"), hint, at=("strict",))
        if self.quarantine and 0 < self.failed <= limits.COHORT_FAILURES_MIN:
            least = limits.COHORT_FAILURES_MIN
            hint = say("write `failed: {least}` or more", least=least + 1)
            message = say(
                "`quarantine` needs {failures} failures, but `failed` halts the run then",
                failures=least,
            )
            raise fault("R0136", message, hint, at=("quarantine",))
        if "min_sample" in self.model_fields_set and not self.failed_percent:
            hint = say("add `failedPercent`, or leave out `minSample`")
            raise fault("R0136", say("`minSample` needs `failedPercent`"), hint, at=("minSample",))
        return self


class WaveForm(Form):
    """An ordered slice of the fleet."""

    name: Name
    """Name of the wave."""
    size: Size
    """A count, a percentage of all targets, `cover` (one of each image, zone, tier) or `rest`."""
    bake: Duration = "0s"
    """How long the next wave waits after this wave is finished."""
    gate: Annotated[WaveGate, Field(strict=False)] = WaveGate.AUTO
    """After the bake, `auto` asks `gates`, and `manual` waits for `rollout promote`."""


NO_WINDOWS = WindowsForm.model_construct(time_zone="")
"""The default of `windows`: every time is open."""


class LimitsForm(Form):
    """Limits of the run."""

    leave_quota: Quota = "30%"
    """Share of the API's rate that is left to console, other tools and users."""
    max_instances: Annotated[int, Field(ge=1)] = 0
    """Maximum number of targets; larger plans are refused."""
    max_exposed: Annotated[int, Field(ge=1)] = limits.EXPOSED_MAX
    """Maximum number of instances with an attached key that is not in force yet."""


class SpecForm(Form):
    """The key pair, the instances and the limits of the rotation."""

    key_pair: KeyPairForm
    """The new key pair."""
    inventory: Annotated[list[SourceForm], Field(min_length=1)]
    """Sources of the instances; several sources are merged."""
    exclude: list[ExcludeForm] = []
    """Rules that exclude instances."""
    allow_password_loss: bool = False
    """Also rotate instances without a key pair: their password login ends permanently."""
    restart: RestartForm = RestartForm()
    """How instances are restarted, so that the key takes effect."""
    budgets: Annotated[list[BudgetForm], Field(min_length=1)] = [
        BudgetForm.model_validate({"by": "fleet", "maxDown": "5%"})
    ]
    """How many instances may be down at once; the most restrictive budget applies."""
    waves: Annotated[list[WaveForm], Field(min_length=1)] = [WaveForm(name="all", size="rest")]
    """The waves in order; the first is the canary, the last takes the rest."""
    last: list[LastForm] = []
    """Rules for the instances that restart after all others, one at a time."""
    on_failure: OnFailureForm = Field(default_factory=OnFailureForm.model_construct)
    """When failures halt the run. Default: see the documentation of `onFailure`."""
    windows: Annotated[WindowsForm, Field(default_factory=lambda: NO_WINDOWS)]
    """When attaches and restarts may begin; at any time if left out."""
    gates: Gates = []
    """What waves with `gate: auto` ask before the next wave starts; all must be open."""
    on_unknown: Annotated[OnUnknown, Field(strict=False)] = OnUnknown.HOLD
    """For a restart that stays in doubt: hold it, retry it once, or assume that it is done."""
    schedule: Annotated[ScheduleForm, Field(default_factory=lambda: NO_SCHEDULE)]
    """When rotations by this spec are due. Default: only operators start them."""
    approvals: ApprovalsForm = Field(default_factory=lambda: ApprovalsForm.model_construct(keys=[]))
    """Signatures that `rollout apply` requires. Default: none."""
    notify: Annotated[list[NotifyForm], Field(min_length=1)] = []
    """Who is notified about the run."""
    limits: LimitsForm = LimitsForm()
    """Limits of the run."""
    verify: VerifyForm = Field(default_factory=VerifyForm.model_construct)
    """Probes that prove the new key on each instance after its restart; none without this field."""

    @model_validator(mode="after")
    def _windows_are_long_enough(self) -> Self:
        longest = limits.CALL_TIMEOUT_MS + time.parse_duration(self.restart.timeout)
        for index, form in enumerate(self.windows.allow):
            rule = form.rule()
            if isinstance(rule, Hours) and rule.minutes * time.MINUTE <= longest:
                message = say(
                    "this window lasts {length}, but a restart may take {longest}"
                    " (restart.timeout and a call)",
                    length=time.format_duration(rule.minutes * time.MINUTE),
                    longest=time.format_duration(longest),
                )
                hint = say("make the window longer, or restart.timeout shorter")
                raise fault("R0142", message, hint, at=("windows", "allow", index))
        return self


class KeyRotation(Form):
    """A rotation of the SSH key pair of a fleet."""

    api_version: Literal["rollout/v1"]
    """Version of the spec format."""
    kind: Literal["KeyRotation"]
    """Kind of document."""
    metadata: Metadata
    """Name and labels of the rotation."""
    spec: SpecForm
    """The key pair, the instances and the limits of the rotation."""
