"""Users of the emulated cloud: access keys, and statements that allow or deny actions.

Called by the gateway (key and secret), the cloud (account) and the actions (permission). A much
smaller model than RAM: no conditions, no groups, no inherited policy.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final, Literal

import msgspec

from rollout.emulator.messages import DEFAULT_KEY_ID, DEFAULT_KEY_SECRET

ACCOUNT_ID: Final = "1234567890123456"


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a policy; patterns with `*`, for instance action `ecs:Describe*`.

    Resources: `acs:ecs:{region}:{account}:instance/{id}` and `…:keypair/{name}`.
    """

    effect: Literal["allow", "deny"]
    actions: tuple[str, ...] = ("*",)
    resources: tuple[str, ...] = ("*",)

    def covers(self, action: str, resource: str) -> bool:
        """Return whether this statement applies to an action on a resource."""
        return any(fnmatchcase(action, a) for a in self.actions) and any(
            fnmatchcase(resource, r) for r in self.resources
        )


EVERYTHING: Final = (Statement("allow"),)


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One identity and its access key.

    `kind`: `Account`, `RAMUser` or `AssumedRoleUser`. With a `token` the key is temporary,
    valid until `token_until` (UTC milliseconds; None = permanently).
    """

    name: str = DEFAULT_KEY_ID
    key_id: str = DEFAULT_KEY_ID
    secret: str = DEFAULT_KEY_SECRET
    account: str = ACCOUNT_ID
    kind: Literal["Account", "RAMUser", "AssumedRoleUser"] = "RAMUser"
    enabled: bool = True
    token: str | None = None
    token_until: int | None = None
    statements: tuple[Statement, ...] = EVERYTHING

    @property
    def arn(self) -> str:
        """Return the ARN, as GetCallerIdentity returns it."""
        tail = {
            "Account": "root",
            "RAMUser": f"user/{self.name}",
            "AssumedRoleUser": f"assumed-role/{self.name}",
        }[self.kind]
        return f"acs:ram::{self.account}:{tail}"

    @property
    def unrestricted(self) -> bool:
        """Return whether everything is allowed, as for most users of the emulator."""
        return self.statements is EVERYTHING or self.statements == EVERYTHING

    def may(self, action: str, resource: str) -> bool:
        """Return whether an action is allowed. Deny wins over allow; the default is deny."""
        if self.unrestricted:
            return True
        covering = [s.effect for s in self.statements if s.covers(action, resource)]
        return "allow" in covering and "deny" not in covering


class Access:
    """The users of the emulated cloud by access key id."""

    def __init__(self, users: Iterable[User] = (User(),)) -> None:
        self._users = {user.key_id: user for user in users}

    def user(self, key_id: str) -> User | None:
        """Return the user of a key id, also a disabled one."""
        return self._users.get(key_id)

    def users(self) -> Sequence[User]:
        """Return all users."""
        return list(self._users.values())

    def put(self, user: User) -> None:
        """Add a user, or replace the one with this key id: permissions may change during a run."""
        self._users[user.key_id] = user


def instance_resource(region: str, account: str, instance: str) -> str:
    """Return the resource name of an instance; `*` stands for all."""
    return f"acs:ecs:{region}:{account}:instance/{instance}"


def key_pair_resource(region: str, account: str, name: str) -> str:
    """Return the resource name of a key pair."""
    return f"acs:ecs:{region}:{account}:keypair/{name}"
