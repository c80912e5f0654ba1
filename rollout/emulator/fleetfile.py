"""Fleets from a file: JSONL or CSV with the fields of `/_admin/instances`, or YAML with counts.

Called by the command line. Reads the file once to learn its regions and once for each of them, so a
million rows never stand in memory at once.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from rollout.ecs import wire
from rollout.emulator import fleets, regions, settings
from rollout.emulator.fleet import Fleet, FleetBuilder
from rollout.emulator.instances import MINUTE_MS, Lock, Status
from rollout.emulator.keypairs import NONE
from rollout.emulator.regions import Region
from rollout.emulator.shapes import FAR_EXPIRY, Image, Shape

_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_HOUR_MS: Final = 3_600_000
_MONTH_MS: Final = 30 * 24 * _HOUR_MS
_ROWS_MAX: Final = 1_000_000


class Row(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One instance, or `count` alike. What is left out has a plain default.

    `key_pair` null (empty in CSV) = none; left out = the former key pair of the region, on Linux.
    `key_in_force` left out = `key_pair`. `start_time` is `2026-01-02T03:04Z`, else an hour ago.
    In CSV `tags` is `app=cart;tier=web` and `locks` is `financial;security`.
    """

    instance: str | None = None
    region: str = regions.DEFAULT[0]
    zone: str = ""
    name: str | None = None
    os_type: str = "linux"
    os_name: str | None = None
    image: str | None = None
    status: str = "Running"
    key_pair: str | msgspec.UnsetType | None = msgspec.UNSET
    key_in_force: str | msgspec.UnsetType | None = msgspec.UNSET
    boots: int = 1
    start_time: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    locks: tuple[str, ...] = ()
    io_optimized: bool = True
    instance_type: str = "ecs.g7.large"
    charge_type: str = "PostPaid"
    spot_strategy: str = "NoSpot"
    expired_time: str = FAR_EXPIRY
    vpc: str = ""
    vswitch: str = ""
    security_group: str = ""
    resource_group: str = ""
    deployment_set: str = ""
    login_user: str = "root"
    count: int = 1


def load(path: Path, *, seed: int, now: int) -> Fleet:
    """The fleet a file describes; the ending of its name says the form.

    Errors: ConfigError with file and line for the first thing that is wrong.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise settings.error("a fleet is a .jsonl, .csv, .yaml or .yml file", str(path))
    builder = FleetBuilder(now)
    names = dict.fromkeys(row.region for _, row in _rows(read, path))
    for name in names:
        region = builder.open_region(name)
        for line, row in _rows(read, path):
            if row.region == name:
                _add(builder, region, row, seed, now, settings.place(path, line))
    try:
        return builder.finish(seed, list(regions.KNOWN.values()))
    except ValueError as error:
        raise settings.error(str(error), str(path)) from None


_Line = tuple[int, dict[str, Any]]
_Reader = Callable[[Path], Iterable[_Line]]


def _rows(read: _Reader, path: Path) -> Iterator[tuple[int, Row]]:
    total = 0
    for line, values in settings.opened(read, path):
        try:
            row = msgspec.convert(values, Row)
        except msgspec.ValidationError as error:
            raise settings.error(str(error), settings.place(path, line)) from None
        total += row.count
        if total > _ROWS_MAX:
            raise settings.error(f"more than {_ROWS_MAX} instances", settings.place(path, line))
        yield line, row


def _jsonl(path: Path) -> Iterator[_Line]:
    with path.open("rb") as file:
        for line, text in enumerate(file, 1):
            if text.strip():
                try:
                    yield line, msgspec.json.decode(text, type=dict[str, Any])
                except msgspec.DecodeError as error:
                    raise settings.error(str(error), settings.place(path, line)) from None


def _csv(path: Path) -> Iterator[_Line]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        for cells in reader:
            try:
                yield reader.line_num, _from_cells(cells)
            except ValueError as error:
                place = settings.place(path, reader.line_num)
                raise settings.error(str(error), place) from None


def _from_cells(cells: Mapping[str, str | None]) -> dict[str, Any]:
    """Cells are texts: an empty one is no value, and only a key pair can be told to have none."""
    row: dict[str, Any] = {}
    for name, text in cells.items():
        if text:
            row[name] = _CELLS.get(name, str)(text)
        elif name in {"key_pair", "key_in_force"}:
            row[name] = None
    return row


def _pairs(text: str) -> dict[str, str]:
    parts = (part.partition("=") for part in text.split(";"))
    return {key: value for key, _, value in parts}


_CELLS: Final[Mapping[str, Callable[[str], object]]] = {
    "boots": int,
    "count": int,
    "io_optimized": lambda text: text.lower() == "true",
    "locks": lambda text: text.split(";"),
    "tags": _pairs,
}

_READERS: Final[Mapping[str, _Reader]] = {
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".yaml": settings.yaml_entries,
    ".yml": settings.yaml_entries,
}


def _add(builder: FleetBuilder, region: Region, row: Row, seed: int, now: int, place: str) -> None:
    """Add the instances of one row to the open region."""
    if row.instance is not None and (row.count != 1 or not _ID.fullmatch(row.instance)):
        raise settings.error(f"not an instance id: {row.instance!r}", place)
    start_ms = now - _HOUR_MS if row.start_time is None else wire.parse_iso(row.start_time)
    if start_ms is None:
        raise settings.error(f"not an instant: {row.start_time!r}", place)
    status = Status.__members__.get(row.status.upper())
    if status is None or status is Status.RELEASED:
        raise settings.error(f"not a status: {row.status!r}", place)
    standard = None if row.os_type.lower() == "windows" else fleets.FORMER_KEY_PAIR
    record = _key(builder, region, _or(row.key_pair, standard), seed)
    guest = _key(builder, region, _or(row.key_in_force, _or(row.key_pair, standard)), seed)
    shape, tags = builder.shape(_shape(region, row)), builder.tags(tuple(row.tags.items()))
    for _ in range(row.count):
        builder.add(
            shape,
            tags,
            status=status,
            record=record,
            guest=guest,
            lock=_lock(row.locks, place),
            start_ms=start_ms,
            created_minute=(start_ms - _MONTH_MS) // MINUTE_MS,
            instance=row.instance,
            name=row.name,
            boots=row.boots,
        )


def _or(name: str | msgspec.UnsetType | None, standard: str | None) -> str | None:
    """What a row says, or the default where it says nothing; null is something to say."""
    return standard if name is msgspec.UNSET else name


def _key(builder: FleetBuilder, region: Region, name: str | None, seed: int) -> int:
    """The number of a key pair; every one that a row names exists, with a public key of its own."""
    if not name:
        return NONE
    if name == fleets.FORMER_KEY_PAIR:
        return builder.key_pair(name, fleets.former_public_key(seed, region.name)).number
    private = fleets.former_private_key(seed, f"{region.name}/{name}")
    return builder.key_pair(name, fleets.ed25519_line(private, name)).number


def _lock(words: Iterable[str], place: str) -> Lock:
    lock = Lock.NONE
    for word in words:
        if word.upper() not in Lock.__members__:
            raise settings.error(f"not a lock reason: {word!r}", place)
        lock |= Lock[word.upper()]
    return lock


def _shape(region: Region, row: Row) -> Shape:
    standard = fleets.WINDOWS_IMAGE if row.os_type.lower() == "windows" else fleets.LINUX_IMAGES[0]
    image = Image(
        standard.image_id if row.image is None else row.image,
        row.os_type,
        standard.os_name if row.os_name is None else row.os_name,
        row.login_user,
    )
    return Shape(
        region=region,
        zone=row.zone or region.zones[0],
        image=image,
        instance_type=row.instance_type,
        vpc=row.vpc or f"vpc-{region.letters}emulator",
        vswitch=row.vswitch or f"vsw-{region.letters}emulator",
        security_group=row.security_group or f"sg-{region.letters}emulator",
        charge_type=row.charge_type,
        spot_strategy=row.spot_strategy,
        io_optimized=row.io_optimized,
        resource_group=row.resource_group,
        deployment_set=row.deployment_set,
        expired_time=row.expired_time,
    )
