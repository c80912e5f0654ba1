"""Requests, replies and refusals of the emulated cloud, independent of their form on the wire.

The front end or an in-process transport creates requests; the cloud answers them.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from rollout.ecs.contract import ECS_VERSION

DEFAULT_KEY_ID: Final = "emulator"
DEFAULT_KEY_SECRET: Final = "emulator-secret"  # noqa: S105 - a published secret of the emulator
DEFAULT_ADDRESS: Final = "ecs.aliyuncs.com"


class Request(msgspec.Struct, frozen=True):
    """One call with a valid signature. `params` are decoded and contain business parameters only.

    `caller` is the access key id. `address` is the endpoint of the call, for error bodies. With
    `lag_ms` a Describe action returns the state of that many milliseconds ago.
    """

    action: str
    params: Mapping[str, str]
    caller: str = DEFAULT_KEY_ID
    version: str = ECS_VERSION
    address: str = DEFAULT_ADDRESS
    lag_ms: int = 0


class Reply(msgspec.Struct, frozen=True):
    """One reply. `code` is None on success; `body` contains RequestId and the action's members.

    Lists in `body` are `{"Plural": {"Singular": [...]}}`; items may be `msgspec.Raw` JSON.
    `printed`: edition `seed` answers this with exactly the bytes of its page.
    """

    status: int
    body: Mapping[str, object]
    request_id: str
    code: str | None = None
    retry_after_ms: int | None = None
    printed: bool = False


class Refusal(Exception):
    """The service refuses a call.

    `subject` fills the `%s` of the documented message; `message` replaces the whole message.
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
