"""The client of the service: one typed method per action; every outcome is a value.

Called by the engines, the live inventory and the use cases. Knows parameters and readers, not how a
call is sent (`caller`) nor what a plan is. Parameters that cut power or wipe disks (`Force…`,
`InitLocalDisk`) cannot be passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from rollout.core.invariant import invariant
from rollout.ecs import contract, networks, replies, verdict
from rollout.ecs.caller import Caller, fresh_nonce
from rollout.ecs.credentials import Keyring
from rollout.ecs.endpoints import Endpoints
from rollout.ecs.governor import Governor
from rollout.ecs.patience import Patience
from rollout.ecs.transport import Transport
from rollout.model.instance import Instance
from rollout.model.known_secrets import KnownSecrets
from rollout.model.observation import Described, KeyDescribed, StatusesDescribed
from rollout.model.outcome import Answer, Done, Outcome, Refused, RetryClass, Unknown
from rollout.model.plan import RestartKind
from rollout.model.site import Lane, Site
from rollout.model.time import Clock, Duration, Instant
from rollout.model.verify import Addresses

T = TypeVar("T")

_PAGES_MAX: Final = 12
"""A call names at most 100 ids and a page holds at least ten: more pages are a loop."""
_KEY_PAGES_MAX: Final = 200
"""A region has 500 key pairs by default, which are 10 pages."""
_REGION_OF_REGIONS: Final = "cn-hangzhou"
"""DescribeRegions gives the same reply everywhere; the SDKs call it here."""


class EcsClient:
    """All calls of one account. Nothing raises: every failure is an outcome.

    `account` names the lanes and the instances; it is empty until `identify` was called. `stopped`
    is called right before each mutation is sent: true refuses it unsent. While `patience` is set,
    it retries calls that change nothing; during a run it is None, since the core retries its
    observations.
    """

    def __init__(
        self,
        transport: Transport,
        keyring: Keyring,
        clock: Clock,
        *,
        endpoints: Endpoints | None = None,
        governor: Governor | None = None,
        account: str = "",
        patience: Patience | None = None,
        stopped: Callable[[], bool] = lambda: False,
        nonce: Callable[[], str] = fresh_nonce,
        known: KnownSecrets | None = None,
    ) -> None:
        self.account = account
        self.patience = patience
        self.addresses: dict[str, Addresses] | None = None
        """The last observed addresses by instance id; None if no probe needs them."""
        self.keyring = keyring
        self.governor = governor or Governor(clock)
        self._transport, self._clock = transport, clock
        self._caller = Caller(
            transport,
            keyring,
            clock,
            endpoints=endpoints or Endpoints(),
            governor=self.governor,
            nonce=nonce,
            stopped=stopped,
            known=known,
        )

    @property
    def service_ahead_ms(self) -> Duration:
        """How far the service's clock is ahead of ours by its latest reply; 0 without a reply."""
        return self._caller.service_ahead_ms

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    # mutations

    async def attach_key_pair(
        self, region: str, key_pair: str, instances: Sequence[str], *, not_after: Instant
    ) -> Answer:
        """AttachKeyPair for 1 to 50 ids, an outcome for each."""
        invariant(0 < len(instances) <= contract.ATTACH_IDS_MAX, "1 to 50 ids an attach")
        params = {
            "RegionId": region,
            "KeyPairName": key_pair,
            "InstanceIds": _json_array(instances),
        }
        return await self._change("AttachKeyPair", region, params, instances, not_after)

    async def restart(
        self, kind: RestartKind, region: str, instances: Sequence[str], *, not_after: Instant
    ) -> Answer:
        """RebootInstance or StartInstance for one id; for more, up to 100, the action of many.

        Many are always sent with `SuccessFirst`: the service's default lets one bad id fail all.
        """
        invariant(0 < len(instances) <= contract.POWER_IDS_MAX, "1 to 100 ids a restart")
        action = kind.action(many=len(instances) > 1)
        if len(instances) == 1:
            params = {"InstanceId": instances[0]}
            return await self._change(action, region, params, instances, not_after)
        params = {f"InstanceId.{n}": id_ for n, id_ in enumerate(instances, 1)}
        params |= {"RegionId": region, "BatchOptimization": "SuccessFirst"}
        return await self._change(action, region, params, instances, not_after)

    async def delete_key_pair(self, region: str, key_pair: str, *, not_after: Instant) -> Outcome:
        """DeleteKeyPairs for one key pair. A missing key pair is no error."""
        params = {"RegionId": region, "KeyPairNames": _json_array([key_pair])}
        return (await self._change("DeleteKeyPairs", region, params, (), not_after)).outcome

    async def import_key_pair(
        self, region: str, key_pair: str, public_key: str, *, not_after: Instant
    ) -> Outcome:
        """ImportKeyPair; a name that is taken is refused, never replaced."""
        params = {"RegionId": region, "KeyPairName": key_pair, "PublicKeyBody": public_key}
        return (await self._change("ImportKeyPair", region, params, (), not_after)).outcome

    async def tag_key_pair(
        self, region: str, key_pair: str, key: str, value: str, *, not_after: Instant
    ) -> Outcome:
        """TagResources for one key pair, whose id is its name. Replaces the value of the key."""
        params = _tagged(region, key_pair) | {"Tag.1.Key": key, "Tag.1.Value": value}
        return (await self._change("TagResources", region, params, (), not_after)).outcome

    async def untag_key_pair(
        self, region: str, key_pair: str, key: str, *, not_after: Instant
    ) -> Outcome:
        """UntagResources for one tag of one key pair. A missing tag is no error."""
        params = _tagged(region, key_pair) | {"TagKey.1": key}
        return (await self._change("UntagResources", region, params, (), not_after)).outcome

    # observations

    async def observe_instances(
        self, region: str, instances: Sequence[str]
    ) -> Described | Refused | Unknown:
        """DescribeInstances for at most 100 ids; unknown ids are left out of the result."""
        invariant(len(instances) <= contract.DESCRIBE_IDS_MAX, "at most 100 ids a call")
        filters = {"InstanceIds": _json_array(instances)}
        found: list[Instance] = []
        token, left_at = "", 0
        for _ in range(_PAGES_MAX):
            page = await self.describe_instances(region, filters, next_token=token)
            if not isinstance(page, Described):
                return page
            found += page.instances
            left_at = left_at or page.left_at
            if not page.next_token:
                listed = replies.only(found, instances)
                return msgspec.structs.replace(page, instances=listed, left_at=left_at)
            token = page.next_token
        return Unknown("page_loop")

    async def describe_instances(
        self, region: str, filters: Mapping[str, str] | None = None, *, next_token: str = ""
    ) -> Described | Refused | Unknown:
        """Return one page of up to 100 instances; its `next_token` requests the following page."""
        params = {"RegionId": region, "MaxResults": "100", **(filters or {})}
        if next_token:
            params["NextToken"] = next_token
        return await self._observe(
            "DescribeInstances",
            region,
            params,
            lambda reply: self._described(reply, region),
        )

    def _described(self, reply: verdict.JudgedReply, region: str) -> Described | Refused | Unknown:
        page = replies.described(reply, self.account, region)
        if self.addresses is not None and isinstance(page, Described):
            self.addresses.update(networks.addresses(reply.body))
        return page

    async def find_by_address(
        self, region: str, addresses: Sequence[str]
    ) -> dict[str, frozenset[str]] | Refused | Unknown:
        """Return the instances that have one of these private addresses (at most 100), each with
        the MAC addresses of its interfaces. Networks of a region may use the same addresses.
        """
        params = {"RegionId": region, "MaxResults": "100"}
        # The service ignores these addresses without this type (DescribeInstances reference).
        params |= {"InstanceNetworkType": "vpc", "PrivateIpAddresses": _json_array(addresses)}

        def read(reply: verdict.JudgedReply) -> dict[str, frozenset[str]] | Refused | Unknown:
            page = replies.described(reply, self.account, region)
            return networks.macs(reply.body, addresses) if isinstance(page, Described) else page

        return await self._observe("DescribeInstances", region, params, read)

    async def may_describe(self, region: str) -> Done | Refused | Unknown:
        """Check by dry run whether DescribeInstances is permitted: without permission it returns an
        empty list.
        """
        params = {"RegionId": region, "DryRun": "true"}
        return await self._observe("DescribeInstances", region, params, replies.dry_run)

    async def may_restart(
        self, kind: RestartKind, region: str, instances: Sequence[str], *, many: bool = False
    ) -> Done | Refused | Unknown:
        """Check by dry run whether a restart is permitted, of one id or by the action of many.

        Each dry run names one of the instances; a patient client tries the next if a refusal proves
        nothing about permission. The action of many is called without `SuccessFirst`, with which a
        dry run always passes.
        """
        one = {"DryRun": "true"} | ({"RegionId": region} if many else {})
        name = "InstanceId.1" if many else "InstanceId"
        choices = [{name: instance, **one} for instance in instances]
        action = kind.action(many=many)
        return await self._observe(action, region, choices[0], replies.permission, choices[1:])

    async def describe_instance_status(
        self, region: str, instances: Sequence[str]
    ) -> StatusesDescribed | Refused | Unknown:
        """DescribeInstanceStatus for at most 50 ids, which is what one page holds."""
        invariant(len(instances) <= contract.STATUS_PAGE_SIZE_MAX, "at most 50 ids a status call")
        params = {f"InstanceId.{n}": id_ for n, id_ in enumerate(instances, 1)}
        params |= {"RegionId": region, "PageSize": str(contract.STATUS_PAGE_SIZE_MAX)}
        return await self._observe("DescribeInstanceStatus", region, params, replies.statuses)

    async def observe_key_pair(
        self, region: str, key_pair: str
    ) -> KeyDescribed | Refused | Unknown:
        """DescribeKeyPairs with the public key, exact name."""
        params = {"RegionId": region, "KeyPairName": key_pair, "IncludePublicKey": "true"}
        params["PageSize"] = str(contract.KEY_PAIRS_PAGE_SIZE_MAX)
        return await self._observe(
            "DescribeKeyPairs", region, params, lambda reply: replies.key_described(reply, key_pair)
        )

    async def list_key_pairs(
        self, region: str
    ) -> tuple[replies.ListedKeyPair, ...] | Refused | Unknown:
        """DescribeKeyPairs, all pages: the region's key pairs in the service's order."""
        found: dict[str, replies.ListedKeyPair] = {}
        for number in range(1, _KEY_PAGES_MAX + 1):
            params = {"RegionId": region, "PageNumber": str(number)}
            params["PageSize"] = str(contract.KEY_PAIRS_PAGE_SIZE_MAX)
            page = await self._observe("DescribeKeyPairs", region, params, replies.key_pairs)
            if not isinstance(page, replies.KeyPairPage):
                return page
            found |= {one.name: one for one in page.key_pairs}
            if not page.key_pairs or number * contract.KEY_PAIRS_PAGE_SIZE_MAX >= page.total:
                return tuple(found.values())
        return Unknown("page_loop")

    async def key_pair_tags(self, region: str, key_pair: str) -> dict[str, str] | Refused | Unknown:
        """Return the tags of a key pair; none if it does not exist."""
        params = {"RegionId": region, "KeyPairName": key_pair, "PageSize": "50"}

        def read(reply: verdict.JudgedReply) -> dict[str, str] | Refused | Unknown:
            return replies.key_pair_tags(reply, key_pair)

        return await self._observe("DescribeKeyPairs", region, params, read)

    async def describe_regions(self) -> tuple[replies.Region, ...] | Refused | Unknown:
        """DescribeRegions: the regions this account can use."""
        return await self._observe("DescribeRegions", _REGION_OF_REGIONS, {}, replies.regions)

    async def get_caller_identity(self) -> replies.CallerIdentity | Refused | Unknown:
        """GetCallerIdentity: the owner of the keys."""
        return await self._observe("GetCallerIdentity", "", {}, replies.identity)

    async def identify(self) -> replies.CallerIdentity | Refused | Unknown:
        """Return the owner of the keys, and take its account for lanes and instances."""
        identity = await self.get_caller_identity()
        if isinstance(identity, replies.CallerIdentity):
            self.account = identity.account
        return identity

    # sending

    async def _change(
        self,
        action: str,
        region: str,
        params: Mapping[str, str],
        instances: Sequence[str],
        not_after: Instant,
    ) -> Answer:
        """Send a mutation, once."""
        reply = await self._caller.call(self.account, action, region, params, not_after=not_after)
        if not isinstance(reply, verdict.JudgedReply):
            return Answer(reply)
        answer = verdict.answer(action, instances, reply)
        if isinstance(answer.outcome, Refused) and answer.outcome.retry is RetryClass.CLOCK:
            return Answer(self._explained(answer.outcome))
        return answer

    async def _observe(
        self,
        action: str,
        region: str,
        params: Mapping[str, str],
        read: Callable[[verdict.JudgedReply], T | Refused | Unknown],
        alternatives: Sequence[Mapping[str, str]] = (),
    ) -> T | Refused | Unknown:
        """Send a call that changes nothing and read the reply; retry it while `patience` is set."""
        if self.patience is None:
            return await self._observe_once(action, region, params, read)
        choices = (params, *alternatives)

        async def attempt(not_after: Instant, number: int) -> T | Refused | Unknown:
            chosen = choices[number % len(choices)]
            return await self._observe_once(action, region, chosen, read, not_after)

        lane = Lane(Site(self.account, region), action)
        return await self.patience.retry(lane, attempt, alternatives=len(choices))

    async def _observe_once(
        self,
        action: str,
        region: str,
        params: Mapping[str, str],
        read: Callable[[verdict.JudgedReply], T | Refused | Unknown],
        not_after: Instant | None = None,
    ) -> T | Refused | Unknown:
        """Send such a call once and read the reply; `not_after` only with patience."""
        patient = not_after is not None
        reply = await self._caller.call(
            self.account, action, region, params, not_after=not_after, patient=patient
        )
        if not isinstance(reply, verdict.JudgedReply):
            return reply
        observed = read(reply)
        return self._explained(observed) if isinstance(observed, Refused) else observed

    def _explained(self, outcome: Refused) -> Refused:
        """Add the skew of our clock to the message if that is the reason."""
        if outcome.retry is not RetryClass.CLOCK:
            return outcome
        seconds = abs(self._caller.skew_ms) // 1000
        side = "behind" if self._caller.skew_ms > 0 else "ahead of"
        text = f"our clock is {seconds} s {side} the service's"
        return msgspec.structs.replace(outcome, message=text)


def _json_array(ids: Sequence[str]) -> str:
    """Return ids as one JSON text."""
    return msgspec.json.encode(list(ids)).decode()


def _tagged(region: str, key_pair: str) -> dict[str, str]:
    return {"RegionId": region, "ResourceType": "keypair", "ResourceId.1": key_pair}
