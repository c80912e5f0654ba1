"""The context of one call: its parameters, its user and the state of the cloud.

Made by `dispatch` for each request and used by every action. It contains the checks that all
actions share, in the service's order, and nothing that only one action needs.
"""

import string
from typing import Final

from rollout.ecs import contract, wire
from rollout.ecs.contract import Action, Edition, Ids
from rollout.emulator.actions.instance_rows import RowRenderer
from rollout.emulator.cloud import tokens, users
from rollout.emulator.cloud.keypairs import KeyPair
from rollout.emulator.cloud.ledger import Effect
from rollout.emulator.cloud.state import CloudState
from rollout.emulator.cloud.users import User
from rollout.emulator.messages import Refusal, Request

_IN_IDS: Final = f"{string.ascii_letters}{string.digits}-".encode()


class Context:
    """One request of one user, at `now`."""

    __slots__ = (
        "_request",
        "action",
        "cloud",
        "now",
        "number",
        "params",
        "rows",
        "seed_edition",
        "user",
    )

    def __init__(
        self,
        cloud: CloudState,
        rows: RowRenderer,
        action: Action,
        request: Request,
        user: User,
        now: int,
        number: int,
    ) -> None:
        self.cloud = cloud
        self.rows = rows
        self.action = action
        self.params = request.params
        self.user = user
        self.now = now
        self.number = number
        self.seed_edition = cloud.switches.edition_of(action.name) is Edition.SEED
        """Whether this action follows the old edition of the API."""
        self._request = request

    @property
    def lag_ms(self) -> int:
        """Return the age of the values in the reply of a Describe action."""
        return max(self._request.lag_ms, self.cloud.switches.describe_lag_ms)

    @property
    def address(self) -> str:
        """Return the endpoint this call was sent to."""
        return self._request.address

    def text(self, name: str) -> str:
        """Return a parameter; empty if it is missing."""
        return self.params.get(name, "")

    def required(self, name: str) -> str:
        """Return a required parameter. Errors: Refusal if it is missing or empty."""
        if value := self.params.get(name, ""):
            return value
        raise self.missing(name)

    def missing(self, name: str) -> Refusal:
        """Return the refusal for a missing parameter.

        The gateway names the parameter in the code; the old edition and some actions have one code.
        """
        if self.seed_edition or any(e.code == "MissingParameter" for e in self._current_errors()):
            return Refusal("MissingParameter", name)
        return Refusal(f"Missing{name}", name)

    def region(self) -> str:
        """Return RegionId, which is required and must exist."""
        region = self.required("RegionId")
        if region not in self.cloud.fleet.regions:
            raise Refusal("InvalidRegionId.NotFound")
        return region

    def flag(self, name: str) -> bool:
        """Return a boolean parameter in any case; other values are false."""
        return wire.parse_bool(self.text(name)) or False

    def number_in(self, name: str, default: int, least: int, most: int) -> int:
        """Return an integer clamped to its range. Errors: Refusal if it is not a number."""
        text = self.text(name)
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            known = {row.code for row in self.action.errors}
            own = (f"InvalidParameter.{name}", f"InvalidParam.{name}")
            raise Refusal(next((c for c in own if c in known), "InvalidParameter"), name)
        return min(max(int(text), least), most)

    def first(self) -> int:
        """Return the first ordinal of the page, by its NextToken; 0 without one."""
        life_ms = self.cloud.switches.token_life_ms
        return tokens.read(self.text("NextToken"), self.now - life_ms if life_ms else 0)

    def next_token(self, ordinal: int) -> str:
        """Return the token of the page that begins at `ordinal`."""
        return tokens.write(ordinal, self.now if self.cloud.switches.token_life_ms else 0)

    def json_ids(self, name: str, most: int, too_many: str, malformed: str) -> list[str]:
        """Return a JSON array of ids without duplicates, in the given order."""
        ids = wire.json_array(self.required(name))
        if ids is None or not ids or not all(ids):
            raise Refusal(malformed)
        if len(ids) > most:
            raise Refusal(too_many)
        return _distinct(ids)

    def numbered_ids(self) -> list[str]:
        """Return `InstanceId.N` without duplicates, in the order of N; may be empty."""
        ids = wire.numbered(self.params, "InstanceId")
        if len(ids) > self.action.ids_max:
            raise Refusal("InvalidParameter.TooManyInstanceIds")
        if "".join(ids).encode("utf-8", "surrogatepass").translate(None, _IN_IDS):
            raise Refusal("Abs.InvalidInstanceIds.MalFormed")
        return _distinct(ids if all(ids) else [i for i in ids if i])

    def lane_region(self) -> str:
        """Return the region whose bucket counts this call: RegionId, or that of its instance."""
        if region := self.params.get("RegionId"):
            return region
        if self.action.ids is Ids.ONE:
            ordinal = self.cloud.instances.find(self.text("InstanceId"))
            if ordinal is not None:
                return self.cloud.instances.shape_of(ordinal).region.name
        return ""

    def demand(self, region: str, *, instances: list[str] | None = None, key: str = "") -> None:
        """Refuse a caller who may not do this to each of these instances and this key pair."""
        if not self.may(region, instances=instances, key=key):
            raise Refusal("Forbidden.RAM")

    def may(self, region: str, *, instances: list[str] | None = None, key: str = "") -> bool:
        """Return whether the caller may do this; without instances and key: to any instance."""
        user = self.user
        if user.unrestricted:
            return True
        resources = [users.instance_resource(region, user.account, i) for i in instances or ()]
        if key:
            resources.append(users.key_pair_resource(region, user.account, key))
        if not resources:
            resources.append(users.instance_resource(region, user.account, "*"))
        service = "sts" if self.action.version == contract.STS_VERSION else "ecs"
        return all(user.may(f"{service}:{self.action.name}", r) for r in resources)

    def key_pair(self, region: str, name: str) -> KeyPair:
        """Return a key pair by name. Errors: Refusal if it does not exist."""
        if pair := self.cloud.pairs.find(region, name):
            return pair
        raise Refusal("InvalidKeyPairName.NotFound")

    def leave(
        self, effect: Effect, region: str, *, ordinal: int = -1, key: int = 0, until: int = 0
    ) -> None:
        """Write one effect of this call into the hidden ledger."""
        self.cloud.ledger.write(
            effect, self.now, region, self.number, ordinal=ordinal, key=key, until=until
        )

    def _current_errors(self) -> tuple[contract.ApiError, ...]:
        return tuple(e for e in self.action.errors if e.edition is not Edition.SEED)


def _distinct(ids: list[str]) -> list[str]:
    """Remove duplicates. Most lists have none, which a set finds in a third of the time."""
    return ids if len(set(ids)) == len(ids) else list(dict.fromkeys(ids))
