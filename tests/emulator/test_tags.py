"""Tags of key pairs: added, replaced, removed, and listed by DescribeKeyPairs."""

import pytest

from rollout.emulator.cloud.users import Statement, User
from rollout.emulator.dispatch import Cloud
from tests.emulator import fixtures
from tests.emulator.fixtures import FRESH, REGION, body, call

WHERE = {"RegionId": REGION, "ResourceType": "keypair", "ResourceId.1": FRESH}


def tag(cloud: Cloud, **tags: str) -> str | None:
    """Add tags to the key pair; return the error code."""
    numbered: dict[str, str] = {}
    for number, (key, value) in enumerate(tags.items(), 1):
        numbered |= {f"Tag.{number}.Key": key, f"Tag.{number}.Value": value}
    return call(cloud, "TagResources", WHERE | numbered).code


def untag(cloud: Cloud, **params: str) -> str | None:
    """Remove tags from the key pair; return the error code."""
    return call(cloud, "UntagResources", WHERE | params).code


def tags(cloud: Cloud) -> dict[str, str]:
    """The tags of the key pair, as DescribeKeyPairs lists them."""
    params = {"RegionId": REGION, "KeyPairName": FRESH}
    (pair,) = body(call(cloud, "DescribeKeyPairs", params))["KeyPairs"]["KeyPair"]
    return {tag["TagKey"]: tag["TagValue"] for tag in pair["Tags"]["Tag"]}


def test_tags_come_and_go_by_their_key() -> None:
    """A second value replaces the first one, other tags stay, and nothing is an effect."""
    cloud = fixtures.cloud()
    before = tags(cloud)
    assert tag(cloud, app="cart", team="a") is None
    assert tag(cloud, app="shop") is None
    assert tags(cloud) == before | {"app": "shop", "team": "a"}
    assert untag(cloud, **{"TagKey.1": "app", "TagKey.2": "never"}) is None
    assert tags(cloud) == before | {"team": "a"}
    assert untag(cloud) is None and tags(cloud) == before | {"team": "a"}
    assert untag(cloud, All="true") is None and tags(cloud) == {}
    assert len(cloud.ledger) == 0


@pytest.mark.parametrize(
    "change,code",
    [
        ({"ResourceType": "keypairs"}, "InvalidResourceType.NotFound"),
        ({"ResourceType": "instance"}, "InvalidResourceId.NotSupported"),
        ({"ResourceType": ""}, "MissingResourceType"),
        ({"ResourceId.1": ""}, "MissingResourceId"),
        ({"ResourceId.2": "no-such-pair"}, "InvalidResourceId.NotFound"),
        ({"RegionId": "cn-nowhere"}, "InvalidRegionId.NotFound"),
        ({"Tag.1.Key": "aliyun-x"}, "InvalidTagKey.Malformed"),
        ({"Tag.1.Value": "x" * 129}, "InvalidTagValue.Malformed"),
        ({"Tag.2.Key": "app", "Tag.2.Value": "b"}, "Duplicate.TagKey"),
        ({f"Tag.{n}.Key": f"k{n}" for n in range(1, 22)}, "NumberExceed.Tags"),
        ({f"ResourceId.{n}": f"p{n}" for n in range(1, 52)}, "NumberExceed.ResourceIds"),
    ],
)
def test_tags_that_are_refused(change: dict[str, str], code: str) -> None:
    """A refused call changes no key pair."""
    cloud = fixtures.cloud()
    before = tags(cloud)
    given = WHERE | {"Tag.1.Key": "app", "Tag.1.Value": "cart"} | change

    assert call(cloud, "TagResources", given).code == code
    assert tags(cloud) == before


def test_a_resource_has_at_most_twenty_tags() -> None:
    """Counted over all calls; a replaced value is no new tag."""
    cloud = fixtures.cloud()
    untag(cloud, All="true")
    assert tag(cloud, **{f"k{n}": "v" for n in range(20)}) is None
    assert tag(cloud, k0="w") is None
    assert tag(cloud, one="more") == "OperationDenied.QuotaExceed"


def test_tagging_needs_its_permission() -> None:
    """A user with another policy is refused, as for any other action."""
    cloud = fixtures.cloud()
    denied = Statement("deny", ("ecs:TagResources",))
    cloud.access.put(User(statements=(Statement("allow"), denied)))

    assert tag(cloud, app="cart") == "Forbidden.RAM"
    assert untag(cloud, **{"TagKey.1": "app"}) is None
