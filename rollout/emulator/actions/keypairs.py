"""ImportKeyPair, CreateKeyPair, DeleteKeyPairs and DescribeKeyPairs."""

from collections.abc import Mapping

from rollout.ecs import contract, wire
from rollout.emulator.actions import filters
from rollout.emulator.actions.context import Context
from rollout.emulator.cloud import keypairs
from rollout.emulator.cloud.keypairs import KeyPair
from rollout.emulator.cloud.ledger import Effect
from rollout.emulator.cloud.shapes import tags_field
from rollout.emulator.messages import Refusal

Body = Mapping[str, object]


def import_key_pair(call: Context) -> Body:
    """Store a public key with a name that must be free."""
    region, name = _new_name(call)
    body = call.required("PublicKeyBody").strip()
    if not keypairs.body_is_legal(body, ed25519=call.cloud.switches.ed25519_accepted):
        raise Refusal("InvalidPublicKeyBody.Malformed")
    pair = _add(call, region, name, body, Effect.IMPORT)
    return {"KeyPairName": name, "KeyPairFingerPrint": pair.fingerprint}


def create_key_pair(call: Context) -> Body:
    """Create an RSA-2048 key pair; only this reply contains the private key."""
    region, name = _new_name(call)
    public, private = call.cloud.make_key()
    pair = _add(call, region, name, public, Effect.CREATE)
    return {
        "KeyPairId": f"ssh-{pair.fingerprint.replace(':', '')[:17]}",
        "KeyPairName": name,
        "KeyPairFingerPrint": pair.fingerprint,
        "PrivateKeyBody": private,
    }


def delete_key_pairs(call: Context) -> Body:
    """Delete up to 100 key pairs, all or none; unknown names are ignored."""
    region = call.region()
    names = wire.json_array(call.required("KeyPairNames"))
    if not names:
        raise Refusal("InvalidKeyPairNames.ValueNotSupported")
    if len(names) > contract.KEY_PAIRS_DELETE_MAX:
        raise Refusal("InstanceKeyPairLimitExceeded")
    for name in names:
        call.demand(region, key=name)
    found = [call.cloud.pairs.find(region, name) for name in dict.fromkeys(names)]
    pairs = [pair for pair in found if pair is not None]
    if not call.seed_edition and any(pair.bound for pair in pairs):
        raise Refusal("InvalidParameter.KeypairAlreadyAttachedInstance")
    for pair in pairs:
        call.cloud.pairs.delete(pair)
        call.leave(Effect.DELETE, region, key=pair.number)
    return {}


def describe_key_pairs(call: Context) -> Body:
    """List key pairs by page; an unknown name is an empty list, not an error."""
    region = call.region()
    page = call.number_in("PageNumber", 1, 1, 10**9)
    size = call.number_in(
        "PageSize", contract.PAGE_SIZE_DEFAULT, 1, contract.KEY_PAIRS_PAGE_SIZE_MAX
    )
    found = [pair for pair in call.cloud.pairs.living(region) if _wanted(call, region, pair)]
    public = call.flag("IncludePublicKey")
    on_page = found[(page - 1) * size : page * size]
    return {
        "PageSize": size,
        "RequestId": "",
        "PageNumber": page,
        "TotalCount": len(found),
        "KeyPairs": {"KeyPair": [_row(pair, public=public) for pair in on_page]},
    }


def _new_name(call: Context) -> tuple[str, str]:
    region = call.region()
    name = call.required("KeyPairName")
    call.demand(region, key=name)
    if not keypairs.name_is_legal(name):
        raise Refusal("InvalidKeyPairName.Malformed")
    if call.cloud.pairs.find(region, name):
        raise Refusal("KeyPair.AlreadyExist")
    if len(call.cloud.pairs.living(region)) >= contract.KEY_PAIRS_PER_REGION_MAX:
        raise Refusal("QuotaExceed.KeyPair")
    return region, name


def _add(call: Context, region: str, name: str, body: str, effect: Effect) -> KeyPair:
    tags = filters.tags_given(call.params)
    pair = call.cloud.pairs.add(region, name, body, call.now)
    pair.group = call.text("ResourceGroupId")
    pair.tags = tags
    call.leave(effect, region, key=pair.number)
    return pair


def _wanted(call: Context, region: str, pair: KeyPair) -> bool:
    """Return whether a key pair matches every filter of the call."""
    name, print_, group = (
        call.text(n) for n in ("KeyPairName", "KeyPairFingerPrint", "ResourceGroupId")
    )
    return (
        (not name or filters.wildcard(name, pair.name))
        and (not print_ or print_ == pair.fingerprint)
        and (not group or group == pair.group)
        and filters.has_tags(pair.tags, filters.requested_tags(call.params))
        and call.may(region, key=pair.name)
    )


def _row(pair: KeyPair, *, public: bool) -> dict[str, object]:
    """Return the members in the order of the API reference; `PublicKey` only where requested."""
    return {
        "CreationTime": wire.iso_minutes(pair.created_ms),
        "KeyPairName": pair.name,
        "KeyPairFingerPrint": pair.fingerprint,
        "ResourceGroupId": pair.group,
        **({"PublicKey": pair.body} if public else {}),
        "Tags": tags_field(pair.tags),
    }
