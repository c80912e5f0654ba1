"""Edition `seed`, byte by byte: typed from the AttachKeyPair page, never from our own table."""

import hashlib

import msgspec
import pytest

from rollout.ecs.contract import Edition
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.cloud.users import Access, Statement, User
from rollout.emulator.dispatch import Cloud
from rollout.emulator.http.render import Format, body_bytes
from rollout.emulator.messages import Reply
from tests.emulator import fixtures
from tests.emulator.fixtures import REGION, attach, call, ids

SEED = Switches(edition=Edition.SEED)
PRINTED_ID = "473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E"

MISSING_REGION = (
    "The input parameter RegionId that is required for processing this\u00a0request"
    " is not supplied."
)
XML_EXAMPLE = (
    b"<AttachKeyPairResponse>\n"
    b"    <RequestId>473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E</RequestId>\n"
    b"</AttachKeyPairResponse>"
)
JSON_EXAMPLE = b'{\n    "RequestId": "473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E"\n}'


def printed(reply: Reply) -> Reply:
    """The reply with the request id of the page."""
    return msgspec.structs.replace(
        reply, request_id=PRINTED_ID, body={**reply.body, "RequestId": PRINTED_ID}
    )


@pytest.mark.parametrize(
    "form, example, size, digest",
    [
        (
            Format.XML,
            XML_EXAMPLE,
            112,
            "66d6676efa1d605e83eef2af13f798877f00262e9ef132ff0090d33c5a412d12",
        ),
        (
            Format.JSON,
            JSON_EXAMPLE,
            59,
            "3218f743293f8740c701eef27903e827008ae20baa7ba51a4bfe4842edb371df",
        ),
    ],
)
def test_success_is_the_printed_example(
    form: Format, example: bytes, size: int, digest: str
) -> None:
    """The bytes of the page: indent, no XML declaration, no newline at the end."""
    reply = printed(attach(fixtures.cloud(SEED), "i-plain-1"))
    data = body_bytes(reply, "AttachKeyPair", form)
    assert data == example
    assert (len(data), hashlib.sha256(data).hexdigest()) == (size, digest)


@pytest.mark.parametrize(
    "params, status, code, message",
    [
        (
            {"KeyPairName": "test", "InstanceIds": ids("i-plain-1")},
            400,
            "MissingParameter",
            MISSING_REGION,
        ),
        (
            {"RegionId": REGION, "KeyPairName": fixtures.FRESH, "InstanceIds": ids("i-windows")},
            403,
            "DependencyViolation.WindowsInstance",
            "The instance creating this window, cannot use ssh key pair to login.",
        ),
        (
            {"RegionId": REGION, "KeyPairName": "none", "InstanceIds": ids("i-plain-1")},
            404,
            "InvalidKeyPairName.NotFound",
            "The specified KeyPairName does not exist in our records.",
        ),
        (
            {"RegionId": "cn-none", "KeyPairName": "test", "InstanceIds": ids("i-plain-1")},
            404,
            "InvalidRegionId.NotFound",
            "The specified RegionId does not exist.",
        ),
    ],
)
def test_the_four_errors_of_the_page(
    params: dict[str, str], status: int, code: str, message: str
) -> None:
    """Codes, statuses and messages as printed; the first with its no-break space."""
    reply = call(fixtures.cloud(SEED), "AttachKeyPair", params)
    assert (reply.status, reply.code, reply.body["Message"]) == (status, code, message)
    assert list(reply.body) == ["RequestId", "HostId", "Code", "Message"]


def test_a_forbidden_resource_is_reported_as_a_missing_region() -> None:
    """The second cause that the page prints for the code; today it is Forbidden.RAM."""
    user = User(statements=(Statement("deny"),))
    for switches, code in ((SEED, "MissingParameter"), (Switches(), "Forbidden.RAM")):
        cloud = Cloud(fixtures.fleet(), switches, access=Access([user]))
        assert attach(cloud, "i-plain-1").code == code


def test_another_missing_parameter_has_the_common_error() -> None:
    """Curly quotes, "mandatory", no full stop."""
    reply = call(fixtures.cloud(SEED), "AttachKeyPair", RegionId=REGION)
    assert reply.body["Message"] == (
        "The input parameter \u201cKeyPairName\u201d that is mandatory for processing this"
        " request is not supplied"
    )


def test_an_error_in_xml_has_a_declaration_and_the_root_error() -> None:
    """No envelope is printed on the page; this one is the reference's."""
    reply = printed(call(fixtures.cloud(SEED), "AttachKeyPair", RegionId="xx"))
    assert body_bytes(reply, "AttachKeyPair", Format.XML) == (
        b'<?xml version="1.0" encoding="UTF-8"?><Error>'
        b"<RequestId>473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E</RequestId>"
        b"<HostId>ecs.aliyuncs.com</HostId><Code>InvalidRegionId.NotFound</Code>"
        b"<Message>The specified RegionId does not exist.</Message></Error>"
    )


def test_a_bound_key_pair_could_be_deleted_then() -> None:
    """The old edition deletes it and the instances still name it; today's refuses."""
    old, today = fixtures.cloud(SEED), fixtures.cloud()
    asked = {"RegionId": REGION, "KeyPairNames": ids(fixtures.FORMER)}
    assert call(old, "DeleteKeyPairs", asked).status == 200
    assert fixtures.row(old, "i-plain-1")["KeyPairName"] == fixtures.FORMER
    refused = call(today, "DeleteKeyPairs", asked)
    assert (refused.status, refused.code) == (
        400,
        "InvalidParameter.KeypairAlreadyAttachedInstance",
    )


def test_other_actions_are_spoken_as_today() -> None:
    """The page says nothing of them."""
    reply = call(fixtures.cloud(SEED), "DetachKeyPair", RegionId=REGION)
    assert reply.code == "MissingKeyPairName"
    assert "Recommend" in reply.body
