"""Facts that many instances share, stored once: images, shapes (what was bought, where) and tags.

Filled by the fleets, read by the rows and filters. An instance holds two small numbers instead of a
tree of objects; everything that cannot change through the API lives here.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from rollout.ecs import wire
from rollout.emulator.cloud.cache import Cache
from rollout.emulator.cloud.regions import EmulatedRegion
from rollout.emulator.cloud.texts import Numbered

FAR_EXPIRY: Final = "2099-12-31T15:59Z"  # what pay-as-you-go instances show as ExpiredTime

TAG_SETS_CACHED_MAX: Final = 16_384
"""Sets of tags remembered as rows show them: all that most fleets have. About 5 MiB."""

_REPEATED: Final = (('","TagValue":"', "\t"), ('"},{"TagKey":"', "\n"))
"""What a row writes for each tag, and what stands for it in the store: no JSON text has those."""


class Image(msgspec.Struct, frozen=True):
    """An image. `os_type` is `linux` or `windows`, or empty where the service does not know."""

    image_id: str
    os_type: str
    os_name: str
    login_user: str = "root"


class Shape(msgspec.Struct, frozen=True):
    """What an instance is, apart from its id, its state, its names and its tags."""

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
        """`ecs.g7` of `ecs.g7.large`."""
        return self.instance_type.rpartition(".")[0]

    @property
    def spot(self) -> bool:
        """Whether it is a spot instance."""
        return self.spot_strategy != "NoSpot"

    @property
    def windows(self) -> bool:
        """Whether the service counts it as Windows."""
        return self.image.os_type.lower() == "windows"


Tags = tuple[tuple[str, str], ...]


class _Tag(msgspec.Struct, gc=False):
    TagKey: str
    TagValue: str


class _Tagged(msgspec.Struct, gc=False):
    Tags: dict[str, list[_Tag]]


_TAGGED: Final = msgspec.json.Decoder(_Tagged)


class Shapes:
    """Shapes with a small number each: equal ones share one."""

    def __init__(self) -> None:
        self.values: list[Shape] = []
        self._numbers: dict[Shape, int] = {}

    def add(self, shape: Shape) -> int:
        """The number of a shape, a new one the first time."""
        number = self._numbers.setdefault(shape, len(self.values))
        if number == len(self.values):
            self.values.append(shape)
        return number


class TagSets:
    """Sets of tags with a small number each: equal ones share one.

    A set is stored as the text that a row shows, shortened: each instance may have one of its own.
    `rendered` is that text by number: the member `Tags` of a row with a leading comma, or empty, as
    the service leaves the member out of the row of an instance without tags.
    """

    def __init__(self) -> None:
        self.rendered = Cache(self._rendered, TAG_SETS_CACHED_MAX)
        self._stored = Numbered()

    def add(self, tags: Tags) -> int:
        """The number of a set, a new one the first time."""
        text = f",{fragment({'Tags': tags_field(tags)})}" if tags else ""
        for long, short in _REPEATED:
            text = text.replace(long, short)
        return self._stored.add(text)

    def value(self, number: int) -> Tags:
        """The set of a number."""
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
    """JSON members without the braces, ready to be set between others."""
    return wire.encode_json(fields).decode()[1:-1]


def tags_field(tags: Tags) -> dict[str, list[dict[str, str]]]:
    """Tags as the service writes them."""
    return {"Tag": [{"TagKey": key, "TagValue": value} for key, value in tags]}
