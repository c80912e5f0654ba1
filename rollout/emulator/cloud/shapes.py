"""Values that many instances share, stored once: images, shapes (type and zone) and tags.

Filled by the fleets, read by rows and filters. An instance stores two small numbers instead of a
tree of objects. Values here cannot change through the API.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from rollout.ecs import wire
from rollout.emulator.cloud.cache import Cache
from rollout.emulator.cloud.regions import EmulatedRegion
from rollout.emulator.cloud.texts import Numbered

FAR_EXPIRY: Final = "2099-12-31T15:59Z"  # ExpiredTime of pay-as-you-go instances

TAG_SETS_CACHED_MAX: Final = 16_384
"""Sets of tags cached as text, enough for most fleets. About 5 MiB."""

_REPEATED: Final = (('","TagValue":"', "\t"), ('"},{"TagKey":"', "\n"))
"""JSON text around each tag in a row, and the control characters that replace it in the store."""


class Image(msgspec.Struct, frozen=True):
    """An image. `os_type` is `linux` or `windows`, or empty if the service does not know."""

    image_id: str
    os_type: str
    os_name: str
    login_user: str = "root"


class Shape(msgspec.Struct, frozen=True):
    """The properties of an instance other than id, state, name and tags."""

    region: EmulatedRegion
    zone: str
    image: Image
    instance_type: str = "ecs.g7.large"
    cpu: int = 2
    memory_mb: int = 8192
    vpc: str = ""
    vswitch: str = ""
    security_group: str = ""
    network_type: str = "vpc"
    charge_type: str = "PostPaid"
    internet_charge_type: str = "PayByTraffic"
    spot_strategy: str = "NoSpot"
    io_optimized: bool = True
    resource_group: str = ""
    deployment_set: str = ""
    expired_time: str = FAR_EXPIRY

    @property
    def family(self) -> str:
        """Return the family, such as `ecs.g7` of `ecs.g7.large`."""
        return self.instance_type.rpartition(".")[0]

    @property
    def spot(self) -> bool:
        """Return whether this is a spot instance."""
        return self.spot_strategy != "NoSpot"

    @property
    def windows(self) -> bool:
        """Return whether the service treats it as Windows."""
        return self.image.os_type.lower() == "windows"


Tags = tuple[tuple[str, str], ...]


class _Tag(msgspec.Struct, gc=False):
    TagKey: str
    TagValue: str


class _Tagged(msgspec.Struct, gc=False):
    Tags: dict[str, list[_Tag]]


_TAGGED: Final = msgspec.json.Decoder(_Tagged)


class Shapes:
    """Numbers shapes: equal ones share a number."""

    def __init__(self) -> None:
        self.values: list[Shape] = []
        self._numbers: dict[Shape, int] = {}

    def add(self, shape: Shape) -> int:
        """Return the number of a shape; a new number on first use."""
        number = self._numbers.setdefault(shape, len(self.values))
        if number == len(self.values):
            self.values.append(shape)
        return number


class TagSets:
    """Numbers sets of tags: equal ones share a number.

    A set is stored as the JSON text of a row, shortened, because each instance may have its own.
    `rendered` is that text by number: the member `Tags` of a row with a leading comma, or empty,
    because the service omits the member for an instance without tags.
    """

    def __init__(self) -> None:
        self.rendered = Cache(self._rendered, TAG_SETS_CACHED_MAX)
        self._stored = Numbered()

    def add(self, tags: Tags) -> int:
        """Return the number of a set; a new number on first use."""
        text = f",{fragment({'Tags': tags_field(tags)})}" if tags else ""
        for long, short in _REPEATED:
            text = text.replace(long, short)
        return self._stored.add(text)

    def value(self, number: int) -> Tags:
        """Return the set of a number."""
        if not (text := self._rendered(number)):
            return ()
        row = _TAGGED.decode(f"{{{text[1:]}}}")
        return tuple([(tag.TagKey, tag.TagValue) for tag in row.Tags["Tag"]])

    def _rendered(self, number: int) -> str:
        text = self._stored.texts[number]
        for long, short in _REPEATED:
            text = text.replace(short, long)
        return text


def fragment(fields: Mapping[str, object]) -> str:
    """Return JSON members without the braces."""
    return wire.encode_json(fields).decode()[1:-1]


def tags_field(tags: Tags) -> dict[str, list[dict[str, str]]]:
    """Return tags as the service writes them."""
    return {"Tag": [{"TagKey": key, "TagValue": value} for key, value in tags]}
