"""XML answers, typed by hand after the forms of the documentation, with our own data in them."""

import msgspec
import pytest

from rollout.emulator.messages import Reply
from rollout.emulator.render import Format, body_bytes
from tests.emulator import stage
from tests.emulator.stage import FRESH, REGION, attach, call

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
REQUEST_ID = "AA340C78-9244-2432-1AAA-DF72B7F5D181"

ATTACHED = (
    "<AttachKeyPairResponse>"
    "<RequestId>AA340C78-9244-2432-1AAA-DF72B7F5D181</RequestId>"
    "<KeyPairName>fresh</KeyPairName><TotalCount>2</TotalCount><FailCount>1</FailCount>"
    "<Results>"
    "<Result><InstanceId>i-plain-1</InstanceId><Code>200</Code>"
    "<Message>successful</Message><Success>true</Success></Result>"
    "<Result><InstanceId>i-windows</InstanceId><Code>DependencyViolation.WindowsInstance</Code>"
    "<Message>The instance creating is windows, cannot use ssh key pair to login</Message>"
    "<Success>false</Success></Result>"
    "</Results></AttachKeyPairResponse>"
)
REBOOTED = (
    "<RebootInstancesResponse>"
    "<RequestId>AA340C78-9244-2432-1AAA-DF72B7F5D181</RequestId>"
    "<InstanceResponses><InstanceResponse><InstanceId>i-plain-1</InstanceId><Code>200</Code>"
    "<Message>success</Message><PreviousStatus>Running</PreviousStatus>"
    "<CurrentStatus>Stopping</CurrentStatus></InstanceResponse></InstanceResponses>"
    "</RebootInstancesResponse>"
)
STATUS = (
    "<DescribeInstanceStatusResponse>"
    "<RequestId>AA340C78-9244-2432-1AAA-DF72B7F5D181</RequestId>"
    "<PageNumber>1</PageNumber><PageSize>10</PageSize><TotalCount>1</TotalCount>"
    "<InstanceStatuses><InstanceStatus><InstanceId>i-stopped</InstanceId>"
    "<Status>Stopped</Status></InstanceStatus></InstanceStatuses>"
    "</DescribeInstanceStatusResponse>"
)
NO_KEY_PAIRS = (
    "<DescribeKeyPairsResponse>"
    "<RequestId>AA340C78-9244-2432-1AAA-DF72B7F5D181</RequestId>"
    "<PageNumber>1</PageNumber><PageSize>10</PageSize><TotalCount>0</TotalCount>"
    "<KeyPairs></KeyPairs></DescribeKeyPairsResponse>"
)
STARTED = (
    "<StartInstanceResponse>"
    "<RequestId>AA340C78-9244-2432-1AAA-DF72B7F5D181</RequestId>"
    "</StartInstanceResponse>"
)
REFUSED = (
    "<Error><RequestId>AA340C78-9244-2432-1AAA-DF72B7F5D181</RequestId>"
    "<HostId>ecs.aliyuncs.com</HostId><Code>IncorrectInstanceStatus</Code>"
    "<Message>The current status of the resource does not support this operation.</Message>"
    "<Recommend>https://api.aliyun.com/troubleshoot?q=IncorrectInstanceStatus&amp;product=Ecs"
    "&amp;requestId=AA340C78-9244-2432-1AAA-DF72B7F5D181</Recommend></Error>"
)


def xml(reply: Reply, action: str) -> str:
    """The XML body with the request id of the files above."""
    own = reply.request_id
    data = body_bytes(reply, action, Format.XML).decode()
    return data.replace(own, REQUEST_ID)


def test_attach_repeats_the_singular_element() -> None:
    """Lists are a plural element that holds one singular element per item."""
    reply = attach(stage.cloud(), "i-plain-1", "i-windows")
    assert xml(reply, "AttachKeyPair") == DECLARATION + ATTACHED


@pytest.mark.parametrize(
    "action, params, expected",
    [
        ("RebootInstances", {"RegionId": REGION, "InstanceId.1": "i-plain-1"}, REBOOTED),
        ("DescribeInstanceStatus", {"RegionId": REGION, "InstanceId.1": "i-stopped"}, STATUS),
        ("DescribeKeyPairs", {"RegionId": REGION, "KeyPairName": "none"}, NO_KEY_PAIRS),
        ("StartInstance", {"InstanceId": "i-stopped"}, STARTED),
        ("StartInstance", {"InstanceId": "i-plain-1"}, REFUSED),
    ],
)
def test_answers_in_xml(action: str, params: dict[str, str], expected: str) -> None:
    """The root is action plus `Response`, or `Error`; empty lists are empty elements."""
    assert xml(call(stage.cloud(), action, params), action) == DECLARATION + expected


def test_odd_characters_are_escaped() -> None:
    """A name with markup cannot break out of its element."""
    reply = attach(stage.cloud(), "i-plain-1")
    odd = msgspec.structs.replace(reply, body={**reply.body, "KeyPairName": f"<{FRESH}>&"})
    assert "<KeyPairName>&lt;fresh&gt;&amp;</KeyPairName>" in xml(odd, "AttachKeyPair")
