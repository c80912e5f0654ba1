"""The pydantic models of the sources of a spec: where its instances are listed."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rollout.model.phrase import say
from rollout.specfile.fields import FilePath, Region, SelectorText, Text, fault
from rollout.specfile.form import Form


class EcsForm(Form):
    """Instances that the service lists."""

    source: Literal["ecs"]
    """`ecs`: read instances from DescribeInstances."""
    regions: Annotated[list[Region], Field(min_length=1)]
    """Regions to read, in parallel."""
    select: SelectorText = ""
    """Tag selector; without it every instance of the regions is in scope."""


class _FileForm(Form):
    path: FilePath
    """Path of the file, relative to the project directory; `-` is the standard input."""
    region: Region = ""
    """Region of rows without a region."""
    select: SelectorText = ""
    """Tag selector; without it every instance of the file is in scope."""


class ColumnsForm(Form):
    """Headings of fields. Common headings, including Chinese ones, are recognized automatically."""

    id: Text = ""
    """Heading of the instance ids."""
    region: Text = ""
    """Heading of the region ids."""
    zone: Text = ""
    """Heading of the zone ids; this field and all following ones are used only with `--offline`."""
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
    """Instances of a CSV file with a heading line."""

    source: Literal["csv"]
    """`csv`: a table with headings."""
    columns: ColumnsForm = ColumnsForm()
    """Headings of columns that are not recognized automatically."""


class JsonForm(_FileForm):
    """Instances of a JSON file."""

    source: Literal["json"]
    """`json`: a list of ids or objects, or pages of DescribeInstances."""


class JsonlForm(_FileForm):
    """Instances of a JSON Lines file."""

    source: Literal["jsonl"]
    """`jsonl`: one id, object or page of DescribeInstances per line."""


class IdsForm(_FileForm):
    """Instances of a list of ids."""

    source: Literal["ids"]
    """`ids`: one instance id per line, as printed by `rollout plan -o ids`."""
    regions: Annotated[list[Region], Field(min_length=1)] = []
    """Regions of the instances, if there are several; the ids are looked up in each region."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if bool(self.region) == bool(self.regions):
            hint = say("a list of ids does not say where the instances are")
            raise fault("R0105", say("a list of ids has either `region` or `regions`"), hint)
        return self


SourceForm = Annotated[
    EcsForm | CsvForm | JsonForm | JsonlForm | IdsForm, Field(discriminator="source")
]
