"""TagResources and UntagResources, for key pairs; other resources have the tags of their fleet."""

from collections.abc import Mapping
from typing import Final

from rollout.ecs import contract, wire
from rollout.emulator.actions import filters
from rollout.emulator.actions.context import Context
from rollout.emulator.cloud.keypairs import KeyPair
from rollout.emulator.messages import Refusal

KEY_PAIR: Final = "keypair"
_OTHER_TYPES: Final = frozenset(
    {
        *("instance", "disk", "snapshot", "image", "securitygroup", "volume", "eni", "ddh"),
        *("ddhcluster", "launchtemplate", "reservedinstance", "snapshotpolicy"),
    }
)


def tag_resources(call: Context) -> Mapping[str, object]:
    """Add tags to key pairs, all or none; a key that is there gets the new value."""
    pairs = _pairs(call)
    given = filters.tags_given(call.params, too_many="NumberExceed.Tags")
    if not given:
        raise call.missing("Tag")
    after = [dict(pair.tags) | dict(given) for pair in pairs]
    if any(len(tags) > contract.TAGS_MAX for tags in after):
        raise Refusal("OperationDenied.QuotaExceed")
    for pair, tags in zip(pairs, after, strict=True):
        pair.tags = tuple(tags.items())
    return {}


def untag_resources(call: Context) -> Mapping[str, object]:
    """Remove tags from key pairs: those of these keys, or all. A key that is not there is fine."""
    pairs = _pairs(call)
    keys = wire.numbered(call.params, "TagKey")
    if len(keys) > contract.TAGS_MAX:
        raise Refusal("NumberExceed.Tags")
    everything = call.flag("All") and not keys
    for pair in pairs:
        pair.tags = () if everything else tuple(tag for tag in pair.tags if tag[0] not in keys)
    return {}


def _pairs(call: Context) -> list[KeyPair]:
    """Return the named key pairs. Errors: Refusal, also if one does not exist."""
    region = call.region()
    kind = call.required("ResourceType")
    names = wire.numbered(call.params, "ResourceId")
    if not names or not all(names):
        raise call.missing("ResourceId")
    if len(names) > contract.TAGGED_IDS_MAX:
        raise Refusal("NumberExceed.ResourceIds")
    if kind != KEY_PAIR:
        known = kind in _OTHER_TYPES
        raise Refusal("InvalidResourceId.NotSupported" if known else "InvalidResourceType.NotFound")
    for name in names:
        call.demand(region, key=name)
    found = [call.cloud.pairs.find(region, name) for name in dict.fromkeys(names)]
    pairs = [pair for pair in found if pair is not None]
    if len(pairs) < len(found):
        raise Refusal("InvalidResourceId.NotFound")
    return pairs
