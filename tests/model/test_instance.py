"""Ids, words of the API, regions, secrets, and the digest of an inventory."""

import hashlib
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.model import instance, regions, secrecy
from rollout.model.instance import Digest, Instance, Inventory, MissingInstance, OsFamily, Status


@pytest.mark.parametrize("text", ["i-bp1legacy0001", "i-uf6cea3878a334b24046", "i-1"])
def test_ids_of_the_service_are_ids(text: str) -> None:
    """Old short ids and new ones of any region pass."""
    assert instance.is_id(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "i-", "I-bp1", "i-bp1 ", " i-bp1", "i-bp1\n", "i-bp*", '"i-bp1"', "i-" + "a" * 300),
        *("=cmd|' /C calc'!A0", "i-b\u04401", "i-bp1;i-bp2", "i_bp1", "ebs-1", "i-bp1%"),
    ],
)
def test_everything_else_is_no_id(text: str) -> None:
    """Spaces, wildcards, quotes, homoglyphs and formulas are never sent to the API."""
    assert not instance.is_id(text)


@pytest.mark.parametrize(
    "word,family",
    [
        ("linux", OsFamily.LINUX),
        ("Windows", OsFamily.WINDOWS),
        ("WINDOWS", OsFamily.WINDOWS),
        ("", OsFamily.UNKNOWN),
        ("plan9", OsFamily.UNKNOWN),
    ],
)
def test_the_family_is_what_the_type_says(word: str, family: OsFamily) -> None:
    """In any case; everything else is unknown, never guessed."""
    assert instance.os_family(word) is family


def test_a_state_nobody_knows_is_unknown() -> None:
    """The five states in any case, and a missing value."""
    assert instance.status_of("running") is Status.RUNNING
    assert instance.status_of("Hibernating") is Status.UNKNOWN
    assert instance.status_of("") is Status.UNKNOWN


def digest(*pages: Sequence[Instance | MissingInstance]) -> str:
    """The digest of an inventory in these pages."""
    found = Digest()
    for page in pages:
        found.add(page)
    return found.text()


def test_the_digest_distinguishes_inventories() -> None:
    """Any changed field and any lost id changes the digest; the same fleet keeps it."""
    one = Instance("i-1", "1", "cn-hangzhou")
    fleets: list[list[Instance | MissingInstance]] = [
        [one],
        [msgspec.structs.replace(one, tags=(("a", "b"),))],
        [msgspec.structs.replace(one, resource_group="rg-1")],
        [msgspec.structs.replace(one, deployment_set="rg-1")],
        [msgspec.structs.replace(one, instance_type="ecs.g7.large")],
        [one, MissingInstance("i-2", "1", "cn-hangzhou")],
        [],
    ]

    assert len({digest(fleet) for fleet in fleets}) == len(fleets)
    assert digest([one]) == digest([one])


@given(st.lists(st.text(alphabet='ab\n\r"\\中', max_size=4), max_size=8), st.integers(0, 8))
def test_the_digest_is_that_of_the_rows_behind_each_other(names: list[str], cut: int) -> None:
    """The digest is the same for any pages and any texts."""
    rows = [Instance("i-1", "1", "cn-hangzhou", os_name=name) for name in names]
    groups = b',"resource_group":"","deployment_set":"","instance_type":""'
    raw = b"".join(msgspec.json.encode(row).replace(groups, b"") for row in rows)

    assert digest(rows[:cut], rows[cut:]) == f"sha256:{hashlib.sha256(raw).hexdigest()}"


def test_the_pages_of_an_inventory_are_its_instances_in_order() -> None:
    """None is left out or comes twice where one page ends and the next begins."""
    fleet = tuple(Instance(f"i-{number}", "1", "cn-hangzhou") for number in range(1_100))
    pages = list(Inventory(fleet, 5).pages())

    assert len(pages) > 2 and tuple(one for page in pages for one in page) == fleet


@pytest.mark.parametrize(
    "typo,meant",
    [("cn-hangzou", "cn-hangzhou"), ("CN-Shanghai", "cn-shanghai"), ("us_west_1", "us-west-1")],
)
def test_a_region_is_suggested(typo: str, meant: str) -> None:
    """A typing error leads to the region that was meant."""
    assert not regions.is_known(typo)
    assert meant in str(regions.advice(typo))


def test_no_region_is_listed_twice() -> None:
    """The list is a set."""
    assert len(set(regions.KNOWN)) == len(regions.KNOWN)


@given(st.text(alphabet="LTAISTabc5.-\n ", max_size=40))
def test_text_and_bytes_are_searched_equally(text: str) -> None:
    """What is a secret in a text is one in its bytes, at the same offset of ASCII."""
    assert secrecy.find(text) == secrecy.find_in_bytes(text.encode())


def test_a_masked_text_has_no_secret_left() -> None:
    """Shapes are blanked wherever they stand."""
    text = "key LTAI5tAbCdEfGhIjKlMn and STS.NTabcdefghijklmnop end"

    assert secrecy.masked(text) == "key *** and *** end"


@pytest.mark.parametrize(
    "name,value,secret",
    [
        ("accessKeySecret", "abc", True),
        ("ACCESS_KEY_SECRET", "abc", True),
        ("password", "abc", True),
        ("password", "", False),
        ("secret", "env:HOOK", False),
        ("allowPasswordLoss", "abc", False),
    ],
)
def test_names_of_secret_fields_are_recognized(name: str, value: str, *, secret: bool) -> None:
    """A value is secret by its field's name, unless it only refers to one."""
    assert secrecy.is_named(name, value) is secret
