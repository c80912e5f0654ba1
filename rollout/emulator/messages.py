"""What goes into the pretend cloud and what comes out: requests, replies, refusals.

Made by the front end (or an in-process transport), answered by the cloud. Nothing here knows how a
message is written on the wire.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from rollout.ecs.contract import ECS_VERSION

DEFAULT_KEY_ID: Final = "emulator"
DEFAULT_KEY_SECRET: Final = "emulator-secret"  # noqa: S105 - a published pretend secret
DEFAULT_ADDRESS: Final = "ecs.aliyuncs.com"


class Request(msgspec.Struct, frozen=True):
    """One call whose signature holds: `params` are decoded and hold business parameters only.

    `caller` is the access key id. `address` is the endpoint it was sent to, as error bodies say.
    `lag_ms` makes a Describe answer what was true so long ago.
    """

    action: str
    params: Mapping[str, str]
    caller: str = DEFAULT_KEY_ID
    version: str = ECS_VERSION
    address: str = DEFAULT_ADDRESS
    lag_ms: int = 0


class Reply(msgspec.Struct, frozen=True):
    """One answer. `code` is None on success; `body` holds RequestId and all that the action says.

    Lists in `body` are `{"Plural": {"Singular": [...]}}`; items may be `msgspec.Raw` JSON.
    `printed`: edition `seed` answers this in the very bytes of its page.
    """

    status: int
    body: Mapping[str, object]
    request_id: str
    code: str | None = None
    retry_after_ms: int | None = None
    printed: bool = False


class Refusal(Exception):
    """The service says no.

    `subject` fills the `%s` of the documented message; `message` takes the place of all of it.
    """

    def __init__(
        self,
        code: str,
        subject: str = "",
        *,
        message: str | None = None,
        status: int | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.subject = subject
        self.message = message
        self.status = status
        self.retry_after_ms = retry_after_ms
