"""Import, create, delete and describe key pairs."""

import pytest

from rollout.emulator.cloud.lifecycle import BaseStatus
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.dispatch import Cloud
from tests.emulator import fixtures
from tests.emulator.fixtures import FRESH_BODY, NOW, REGION, attach, body, call, ids

RSA_BODY = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDH ops@example"


def imported(cloud: Cloud, name: str, public: str = FRESH_BODY) -> str | None:
    """The code of an import; None where it worked."""
    return call(
        cloud, "ImportKeyPair", RegionId=REGION, KeyPairName=name, PublicKeyBody=public
    ).code


def listed(cloud: Cloud, **params: str) -> list[str]:
    """Names that DescribeKeyPairs lists."""
    answer = body(call(cloud, "DescribeKeyPairs", {"RegionId": REGION, **params}))
    return [pair["KeyPairName"] for pair in answer["KeyPairs"]["KeyPair"]]


def test_an_imported_key_pair_is_listed_with_its_public_key() -> None:
    """Compare key material, not fingerprints: IncludePublicKey gives the very line."""
    cloud = fixtures.cloud()
    reply = call(
        cloud,
        "ImportKeyPair",
        RegionId=REGION,
        KeyPairName="ops:2026",
        PublicKeyBody=f" {FRESH_BODY}\n",
    )
    answer = body(reply)
    assert len(answer["KeyPairFingerPrint"]) == 59
    shown = body(
        call(
            cloud,
            "DescribeKeyPairs",
            RegionId=REGION,
            KeyPairName="ops:2026",
            IncludePublicKey="True",
        )
    )["KeyPairs"]["KeyPair"][0]
    assert shown["PublicKey"] == FRESH_BODY
    assert shown["KeyPairFingerPrint"] == answer["KeyPairFingerPrint"]
    assert [entry.effect for entry in cloud.ledger] == ["import"]


@pytest.mark.parametrize(
    "name, public, code",
    [
        ("x", FRESH_BODY, "InvalidKeyPairName.Malformed"),
        ("1st", FRESH_BODY, "InvalidKeyPairName.Malformed"),
        ("http://x", FRESH_BODY, "InvalidKeyPairName.Malformed"),
        ("k" * 129, FRESH_BODY, "InvalidKeyPairName.Malformed"),
        ("密钥-2026", FRESH_BODY, None),
        (fixtures.FRESH, FRESH_BODY, "KeyPair.AlreadyExist"),
        ("good", "ssh-ed25519", "InvalidPublicKeyBody.Malformed"),
        ("good", "ssh-ed25519 !!!", "InvalidPublicKeyBody.Malformed"),
        ("good", FRESH_BODY.replace("ssh-ed25519", "ssh-rsa"), "InvalidPublicKeyBody.Malformed"),
        ("good", "", "MissingParameter"),
        ("good", RSA_BODY, None),
    ],
)
def test_names_and_bodies_are_judged(name: str, public: str, code: str | None) -> None:
    """Names of 2 to 128 characters that begin with a letter; one OpenSSH line of a known type."""
    assert imported(fixtures.cloud(), name, public) == code


def test_ed25519_may_be_unknown_to_the_service() -> None:
    """The published list of key types has none: a switch."""
    cloud = fixtures.cloud(Switches(ed25519_accepted=False))
    assert imported(cloud, "good") == "InvalidPublicKeyBody.Malformed"
    assert imported(cloud, "good", RSA_BODY) is None


def test_five_hundred_key_pairs_are_the_limit_of_a_region() -> None:
    """The 501st is refused."""
    cloud = fixtures.cloud()
    codes = [imported(cloud, f"key-{n}") for n in range(499)]
    assert codes[:498] == [None] * 498
    assert codes[498] == "QuotaExceed.KeyPair"


def test_listing_knows_wildcards_filters_and_pages() -> None:
    """A bare name is exact, `*` is a wildcard, an unknown name is an empty list, ten a page."""
    cloud = fixtures.cloud()
    for number in range(12):
        imported(cloud, f"ops-{number}")
    assert listed(cloud, KeyPairName="ops-1") == ["ops-1"]
    assert listed(cloud, KeyPairName="*-11") == ["ops-11"]
    assert listed(cloud, KeyPairName="none") == []
    assert len(listed(cloud)) == 10
    assert len(listed(cloud, PageNumber="2")) == 4
    assert len(listed(cloud, PageSize="999")) == 14
    tagged = {"Tag.1.Key": "owner", "Tag.1.Value": "ops", "ResourceGroupId": "rg-1"}
    asked = {"RegionId": REGION, "KeyPairName": "tagged", "PublicKeyBody": FRESH_BODY, **tagged}
    call(cloud, "ImportKeyPair", asked)
    assert listed(cloud, **tagged) == ["tagged"]
    assert listed(cloud, ResourceGroupId="rg-2") == []


def test_a_bound_key_pair_is_not_deleted_until_it_is_replaced() -> None:
    """Today's edition refuses, all or none; the count of bound instances follows the attaches."""
    cloud = fixtures.cloud()
    attach(cloud, "i-keyless")
    both = {"RegionId": REGION, "KeyPairNames": ids(fixtures.FRESH, "none")}
    refused = call(cloud, "DeleteKeyPairs", both)
    assert refused.code == "InvalidParameter.KeypairAlreadyAttachedInstance"
    attach(cloud, "i-keyless", key=fixtures.FORMER)
    assert call(cloud, "DeleteKeyPairs", both).status == 200
    assert listed(cloud, KeyPairName=fixtures.FRESH) == []


def test_too_many_and_malformed_names_are_refused() -> None:
    """A hundred names a call, as a JSON array."""
    cloud = fixtures.cloud()

    def code(names: str) -> str | None:
        return call(cloud, "DeleteKeyPairs", RegionId=REGION, KeyPairNames=names).code

    assert code(ids(*(f"k{n}" for n in range(101)))) == "InstanceKeyPairLimitExceeded"
    assert code("k1") == "InvalidKeyPairNames.ValueNotSupported"
    assert code("") == "MissingParameter"


def test_a_created_key_pair_gives_its_private_key_once() -> None:
    """The key maker is an argument; the answer is the only place of the private key."""
    cloud = Cloud(fixtures.fleet(), make_key=lambda: (RSA_BODY, "PEM"))
    answer = body(call(cloud, "CreateKeyPair", RegionId=REGION, KeyPairName="made"))
    assert answer["PrivateKeyBody"] == "PEM"
    assert answer["KeyPairId"].startswith("ssh-")
    assert "made" in listed(cloud)


def test_a_key_pair_imported_again_is_another_one() -> None:
    """The guest keeps the material of its boot, although the name is the same."""
    cloud = fixtures.cloud()
    attach(cloud, "i-plain-1")
    call(cloud, "RebootInstance", InstanceId="i-plain-1")
    late = NOW + 60_000
    attach(cloud, "i-plain-1", key=fixtures.FORMER, now=late)
    call(cloud, "DeleteKeyPairs", RegionId=REGION, KeyPairNames=ids(fixtures.FRESH), now=late)
    imported(cloud, fixtures.FRESH, RSA_BODY)
    ordinal = cloud.instances.find("i-plain-1")
    assert ordinal is not None
    assert cloud.instances.status(ordinal, late) == BaseStatus.RUNNING
    assert cloud.assistant.guest(ordinal, late).keys == (FRESH_BODY,)


@pytest.mark.parametrize(
    "tags, code",
    [
        ([("owner", "ops"), ("owner", "dev")], "Duplicate.TagKey"),
        ([("aliyun-x", "")], "InvalidTagKey.Malformed"),
        ([("acs:x", "")], "InvalidTagKey.Malformed"),
        ([("see http://x", "")], "InvalidTagKey.Malformed"),
        ([("", "ops")], "InvalidTagKey.Malformed"),
        ([("k" * 129, "")], "InvalidTagKey.Malformed"),
        ([("owner", "https://x")], "InvalidTagValue.Malformed"),
        ([(f"k{n}", "") for n in range(21)], "QuotaExceed.Tags"),
        ([(f"k{n}", "") for n in range(20)], None),
    ],
)
@pytest.mark.parametrize("action", ["ImportKeyPair", "CreateKeyPair"])
def test_tags_of_a_new_key_pair_are_judged(
    action: str, tags: list[tuple[str, str]], code: str | None
) -> None:
    """Twenty at most, each key once, no reserved beginnings, no addresses; else no key pair."""
    cloud = Cloud(fixtures.fleet(), make_key=lambda: (RSA_BODY, "PEM"))
    params = {"RegionId": REGION, "KeyPairName": "tagged", "PublicKeyBody": FRESH_BODY}
    for number, (key, value) in enumerate(tags, 1):
        params |= {f"Tag.{number}.Key": key, f"Tag.{number}.Value": value}
    assert call(cloud, action, params).code == code
    assert (listed(cloud, KeyPairName="tagged") == ["tagged"]) is (code is None)


def test_fingerprints_can_be_md5() -> None:
    """Documented as MD5, published with SHA-1's length: a switch, for old and new key pairs."""
    cloud = fixtures.cloud()

    def lengths() -> set[int]:
        rows = body(call(cloud, "DescribeKeyPairs", RegionId=REGION))["KeyPairs"]["KeyPair"]
        return {len(row["KeyPairFingerPrint"]) for row in rows}

    assert lengths() == {59}
    cloud.switch(Switches(md5_fingerprints=True))
    imported(cloud, "new")
    assert lengths() == {47}
