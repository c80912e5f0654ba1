"""Whatever the service or something in between answers: it is read or unknown, never a crash."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.ecs import replies, verdict, wire
from rollout.model.instance import Instance
from rollout.model.observation import Described
from tests.fuzz import edited, fuzzed, json_values
from tests.inventory.samples import page, row

NAMES = st.sampled_from([*row(), "Instances", "Instance", "Tag", "TagKey", "LockReason", "Code"])
PAGE = json.dumps(page(row(), row(InstanceId="i-2"), TotalCount=2), ensure_ascii=False)
XML = (
    "<DescribeInstancesResponse><RequestId>R</RequestId><Instances><Instance>"
    "<InstanceId>i-1</InstanceId><Status>Running</Status><Tags><Tag><TagKey>a</TagKey></Tag></Tags>"
    "</Instance></Instances></DescribeInstancesResponse>"
)
RESULT = (
    '{"RequestId":"R","Results":{"Result":[{"InstanceId":"i-1","Success":"true","Code":"200"}]}}'
)


def read_all(status: int, body: bytes) -> None:
    """Give the body to every reader of replies."""
    reply = verdict.received(wire.HttpReply(status, {}, body), 0)
    replies.described(reply, "1", "cn-hangzhou")
    replies.key_described(reply, "key")
    replies.identity(reply)
    replies.dry_run(reply)
    for action in ("AttachKeyPair", "RebootInstance", "RebootInstances", "ImportKeyPair"):
        verdict.answer(action, ["i-1", "i-2"], reply)


@fuzzed
@given(st.sampled_from([PAGE, XML, RESULT]).flatmap(edited), st.sampled_from([200, 400, 403, 502]))
def test_no_reply_crashes_its_reader(body: bytes, status: int) -> None:
    """Odd bytes anywhere in JSON and XML."""
    read_all(status, body)


@fuzzed
@given(json_values(NAMES))
def test_no_value_crashes_its_reader(value: Any) -> None:
    """Values of any form under the names that replies have."""
    read_all(200, json.dumps(value).encode())
    read_all(200, json.dumps({"RequestId": "R", "Instances": {"Instance": value}}).encode())


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps(page(row(InstanceName="cut \ud83d"))).encode(),
        json.dumps(page(row(InstanceName="x"))).encode().replace(b'"x"', b'"\\\\\\udc00"'),
        json.dumps(page(row(InstanceName="x"))).encode().replace(b'"x"', b'"\xed\xa0"'),
        json.dumps(page({**row(), "\ud83d": 1})).encode(),
    ],
)
def test_one_bad_name_makes_no_page_unreadable(raw: bytes) -> None:
    """A text that was truncated inside a character, in an unused field."""
    found = replies.described(verdict.received(wire.HttpReply(200, {}, raw), 0), "1", "cn-hangzhou")

    assert isinstance(found, Described)
    assert [one.id for one in found.instances] == [row()["InstanceId"]]


def test_pairs_of_surrogates_and_escapes_are_kept() -> None:
    """Only halves are replaced: whole characters and escaped backslashes stay as they are."""
    name = "\U0001f600 \\ud83d \ud83d"
    tags = {"Tag": [{"TagKey": "note", "TagValue": name}]}
    raw = json.dumps(page(row(Tags=tags))).encode()

    found = replies.described(verdict.received(wire.HttpReply(200, {}, raw), 0), "1", "cn-hangzhou")

    assert isinstance(found, Described)
    one: Instance = found.instances[0]
    assert one.tags == (("note", "\U0001f600 \\ud83d \ufffd"),)
