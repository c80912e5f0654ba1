"""The spec's form as pydantic models; `schemas/key-rotation.v1.json` is generated from them.

Used by `specfile.load`. The text below a field is its description in the JSON Schema, which an
editor shows. Fields that come with later versions are not here but in `words.LATER`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from rollout.model import limits, time
from rollout.model.spec import Calls, Ensure, OnUnknown, Stopped
from rollout.specfile.fields import (
    Amount,
    Date,
    Duration,
    FilePath,
    InstanceId,
    KeyPairName,
    Name,
    PositiveDuration,
    PublicKeyFile,
    Quota,
    Region,
    SelectorText,
    Size,
    Text,
    fault,
    later,
)


class Form(BaseModel):
    """What all parts share: camelCase, no unknown field, no conversion of types.

    A field that may be left out defaults to an empty value of its type, never to None: written
    without a value (`select:`) it is refused, for nobody should mean a whole region by it.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        model_title_generator=lambda form: form.__name__.removesuffix("Form"),
        strict=True,
        use_attribute_docstrings=True,
        validate_default=False,
    )


def _by(value: object) -> object:
    if isinstance(value, str) and value != "fleet":
        raise later(f"`by: {value}`", "write `by: fleet`")
    return value


def _running(value: object) -> object:
    if value == "defer":
        raise later("`running: defer`", "write `running: reboot`, or leave it out")
    return value


def _stopped(value: object) -> object:
    if value == "startThenStop":
        raise later("`stopped: startThenStop`", "write `stopped: start` or `stopped: leave`")
    return value


class Metadata(Form):
    """What the rotation is called."""

    name: Name
    """Names the plan file, the runs and the typed confirmation."""
    labels: dict[str, str] = {}
    """Free words, copied into journal, events and reports."""


class KeyPairForm(Form):
    """The wanted key pair."""

    name: KeyPairName
    """Name of the ECS key pair; it exists once per account and region."""
    public_key: PublicKeyFile = Field(alias="publicKeyFile")
    """Path of its OpenSSH public key. The pair of every region is compared with it."""
    ensure: Annotated[Ensure, Field(strict=False)] = Ensure.REQUIRE
    """What to do where a region has no pair of that name: `import` it, or refuse (`require`)."""


class EcsForm(Form):
    """Instances that the service lists."""

    source: Literal["ecs"]
    """`ecs`: ask DescribeInstances."""
    regions: Annotated[list[Region], Field(min_length=1)]
    """Regions to read, all at once."""
    select: SelectorText = ""
    """Tag selector; without it every instance of the regions is in scope."""


class _FileForm(Form):
    path: FilePath
    """Path of the file, from the project folder; `-` is the standard input."""
    region: Region = ""
    """Region of the rows that name none."""
    select: SelectorText = ""
    """Tag selector; without it every instance that the file names is in scope."""


class ColumnsForm(Form):
    """Which heading stands for which field; common headings, also Chinese ones, are known."""

    id: Text = ""
    """Heading of the instance ids."""
    region: Text = ""
    """Heading of the region ids."""
    zone: Text = ""
    """Heading of the zone ids; this and all below matter only to `--offline`."""
    os_type: Text = ""
    """Heading of `linux` or `windows`."""
    os_name: Text = ""
    """Heading of the operating system's full name."""
    status: Text = ""
    """Heading of the state (`Running`, `Stopped`)."""
    key_pair: Text = ""
    """Heading of the key pair on record."""
    image: Text = ""
    """Heading of the image ids."""
    start_time: Text = ""
    """Heading of the last start (`2026-01-02T03:04Z`)."""
    expired_time: Text = ""
    """Heading of the expiry (`2026-01-02T03:04Z`)."""
    locks: Text = ""
    """Heading of the lock reasons, separated by `;`."""
    tags: Text = ""
    """Heading of the tags, written `key=value;key=value`."""


class CsvForm(_FileForm):
    """Instances that a CSV file names, with a line of headings."""

    source: Literal["csv"]
    """`csv`: a table with headings."""
    columns: ColumnsForm = ColumnsForm()
    """Headings of columns that are not recognised by themselves."""


class JsonForm(_FileForm):
    """Instances that a JSON file names."""

    source: Literal["json"]
    """`json`: a list of ids or objects, or pages of DescribeInstances."""


class JsonlForm(_FileForm):
    """Instances that a JSON Lines file names."""

    source: Literal["jsonl"]
    """`jsonl`: one id, object or page of DescribeInstances a line."""


class IdsForm(_FileForm):
    """Instances that a list of ids names."""

    source: Literal["ids"]
    """`ids`: one instance id a line, as `rollout plan -o ids` prints them."""
    regions: Annotated[list[Region], Field(min_length=1)] = []
    """Regions that the instances are in, where it is not one; the service is asked in each."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if bool(self.region) == bool(self.regions):
            hint = "a list of ids does not say where the instances are"
            raise fault("R0105", "a list of ids has either `region` or `regions`", hint)
        return self


SourceForm = Annotated[
    EcsForm | CsvForm | JsonForm | JsonlForm | IdsForm, Field(discriminator="source")
]


class ExcludeForm(Form):
    """A rule that leaves instances out."""

    select: SelectorText = ""
    """Tag selector of the instances that stay out."""
    instances: Annotated[list[InstanceId], Field(min_length=1)] = []
    """Ids of the instances that stay out; give this or `select`."""
    reason: Text
    """Why, for the plan and the audit log."""
    until: Date = ""
    """Last day (UTC) the rule holds; afterwards it is reported as expired."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if bool(self.select) == bool(self.instances):
            hint = "give one of them; two rules exclude what either of them names"
            raise fault("R0105", "a rule has either `select` or `instances`", hint)
        return self


class RestartForm(Form):
    """How a key is put in force."""

    running: Annotated[Literal["reboot"], BeforeValidator(_running)] = "reboot"
    """What happens to Running instances."""
    stopped: Annotated[Stopped, Field(strict=False), BeforeValidator(_stopped)] = Stopped.START
    """What happens to Stopped instances: `start` them, or `leave` them out of the plan."""
    calls: Annotated[Calls, Field(strict=False)] = Calls.SINGLE
    """One restart call an instance (`single`), or up to 100 ids a call (`batch`)."""
    timeout: PositiveDuration = time.format_duration(limits.RESTART_TIMEOUT_MS)
    """An instance that is not Running again by then has failed."""
    settle_window: Duration = time.format_duration(limits.SETTLE_WINDOW_MS)
    """How long a lost reply may still take effect; no second restart inside it."""


class BudgetForm(Form):
    """How many instances may be down at once."""

    by: Annotated[Literal["fleet"], BeforeValidator(_by)]
    """What the instances are grouped by."""
    max_down: Amount
    """Most instances of a group that are down at once: a count, or a share rounded down."""


class WaveForm(Form):
    """An ordered slice of the fleet."""

    name: Name
    """What the wave is called."""
    size: Size
    """A count, a share of all targets, `cover` (one of each image, zone and tier) or `rest`."""


class LimitsForm(Form):
    """Bounds of the run."""

    leave_quota: Quota = "30%"
    """Share of the API's rate that stays with people, console and other tools."""
    max_instances: Annotated[int, Field(ge=1)] = 0
    """A plan with more targets is refused."""
    max_exposed: Annotated[int, Field(ge=1)] = limits.EXPOSED_MAX
    """How far attaching may run ahead of restarting."""


class SpecForm(Form):
    """What to rotate, and how carefully."""

    key_pair: KeyPairForm
    """The wanted key pair."""
    inventory: Annotated[list[SourceForm], Field(min_length=1)]
    """Where the instances come from; several sources are joined."""
    exclude: list[ExcludeForm] = []
    """Rules that leave instances out."""
    allow_password_loss: bool = False
    """Also rotate instances that have no key today: their password login ends for good."""
    restart: RestartForm = RestartForm()
    """How a key is put in force."""
    budgets: Annotated[list[BudgetForm], Field(min_length=1)] = [
        BudgetForm(by="fleet", maxDown="5%")
    ]
    """How many instances may be down at once; the most restrictive one wins."""
    waves: Annotated[list[WaveForm], Field(min_length=1)] = [WaveForm(name="all", size="rest")]
    """The order; the first wave is the canary, the last one takes the rest."""
    on_unknown: Annotated[OnUnknown, Field(strict=False)] = OnUnknown.HOLD
    """A restart that stays in doubt: keep it for a person, try once more, or assume it is done."""
    limits: LimitsForm = LimitsForm()
    """Bounds of the run."""


class KeyRotation(Form):
    """A rotation of the SSH key pair of a fleet."""

    api_version: Literal["rollout/v1"]
    """Version of this form."""
    kind: Literal["KeyRotation"]
    """What the file describes."""
    metadata: Metadata
    """What the rotation is called."""
    spec: SpecForm
    """What to rotate, and how carefully."""
