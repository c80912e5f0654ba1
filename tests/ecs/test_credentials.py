"""Keys: never printed, fetched once for all calls, and renewed before they expire."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import msgspec
import pytest

from rollout.ecs.credentials import (
    FAILURE_PAUSE_MS,
    LIFE_LEFT_MIN_MS,
    REFRESH_AT,
    REFRESH_JITTER,
    UNAVAILABLE_PAUSE_MS,
    Credentials,
    EnvironmentSource,
    Keyring,
    KeysUnavailableError,
    Secret,
    StaticSource,
)
from rollout.errors import AccessError, Exit
from rollout.model.time import HOUR, Instant
from tests.ecs.scripted import NOW, JumpClock

CANARY = "canary-8f1d2c"
TOKEN = "canary-token-77aa"


@dataclass
class Sts:
    """Temporary keys, numbered; fails while `down` or `unreachable`."""

    life_ms: int = HOUR
    name: str = "sts"
    blocks: bool = False
    down: bool = False
    unreachable: bool = False
    numbered: bool = True
    fetches: list[Instant] = field(default_factory=list)

    def fetch(self, now: Instant) -> Credentials:
        self.fetches.append(now)
        if self.down:
            raise AccessError.of("R0402", "sts gave no keys")
        if self.unreachable:
            raise KeysUnavailableError.of("R0410", "sts does not answer")
        number = len(self.fetches) if self.numbered else 1
        secret, token = Secret(f"{CANARY}-{number}"), Secret(f"{TOKEN}-{number}")
        return Credentials(f"id-{number}", secret, token, now, now + self.life_ms)


# nobody sees them

SHOWN: list[Callable[[object], str]] = [
    repr,
    lambda value: f"{value}",
    lambda value: f"{value!r:>10}",
    "{}".format,
    lambda value: "%r" % (value,),  # noqa: UP031 - the form under test
    lambda value: repr([value, {"a": value}]),
]


@pytest.mark.parametrize("show", SHOWN)
def test_a_secret_prints_as_stars(show: Callable[[object], str]) -> None:
    """However it is printed, there are stars."""
    shown = show(Secret(CANARY))
    assert "***" in shown
    assert CANARY not in shown


REFUSED: list[Callable[[object], object]] = [
    str,
    lambda value: "%s" % value,  # noqa: UP031 - the form under test
    pickle.dumps,
    copy.copy,
    copy.deepcopy,
    json.dumps,
    msgspec.json.encode,
    lambda value: getattr(value, "__dict__"),  # noqa: B009 - not an attribute of its type
]


@pytest.mark.parametrize("take", REFUSED)
def test_a_secret_has_no_other_form(take: Callable[[object], object]) -> None:
    """No plain text, no pickle, no copy, no JSON, and no part of it in the error."""
    with pytest.raises((TypeError, AttributeError)) as caught:
        take(Secret(CANARY))
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_secret_is_used_and_compared_by_nobody() -> None:
    """Only the holder reads it; equality would be an oracle."""
    assert Secret(CANARY).reveal() == CANARY
    assert Secret(CANARY) != Secret(CANARY)
    assert bool(Secret(CANARY)) and not Secret("")


def test_credentials_show_the_id_and_no_secret() -> None:
    """A set of keys may be printed, and cannot be taken apart by accident."""
    keys = Credentials("id-1", Secret(CANARY), Secret(TOKEN))
    assert "id-1" in repr(keys)
    assert CANARY not in repr(keys) and TOKEN not in repr(keys)
    with pytest.raises(TypeError):
        pickle.dumps(keys)
    with pytest.raises(TypeError):
        asdict(keys)


@pytest.mark.asyncio
async def test_neither_logs_nor_errors_carry_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Keys, source, ring and an error with its whole traceback: no canary anywhere."""
    source = StaticSource("id-1", Secret(CANARY), Secret(TOKEN))
    ring = Keyring(source, JumpClock())
    keys = await ring.get()
    logging.getLogger("test").error("%r %r %r", keys, source, ring)
    half = EnvironmentSource({"ALIBABA_CLOUD_ACCESS_KEY_SECRET": CANARY})
    with pytest.raises(AccessError) as caught:
        half.fetch(NOW)
    told = caplog.text + "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "id-1" in told
    assert CANARY not in told and TOKEN not in told


@pytest.mark.asyncio
async def test_secrets_are_announced_before_use() -> None:
    """Every secret of every fetch is announced before the keys are used."""
    told: list[str] = []
    ring = Keyring(Sts(), JumpClock(), on_secret=told.append)
    keys = await ring.get()
    await ring.renew(keys)
    assert told == [f"{CANARY}-1", f"{TOKEN}-1", f"{CANARY}-2", f"{TOKEN}-2"]


# the environment


@pytest.mark.parametrize(
    "names, missing",
    [
        (["ID"], "ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
        (["SECRET"], "ALIBABA_CLOUD_ACCESS_KEY_ID"),
        (["SECRET", "TOKEN"], "ALIBABA_CLOUD_ACCESS_KEY_ID"),
        (["TOKEN"], "ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
    ],
)
def test_half_of_a_key_pair_is_an_error(names: list[str], missing: str) -> None:
    """Half of a pair is an error, no other source is tried: R0401 names the missing half."""
    spelled = {
        "ID": "ALIBABA_CLOUD_ACCESS_KEY_ID",
        "SECRET": "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        "TOKEN": "ALIBABA_CLOUD_SECURITY_TOKEN",
    }
    environment = {spelled[name]: CANARY for name in names}
    assert EnvironmentSource.is_set(environment)
    with pytest.raises(AccessError, match=f"set without {missing}") as caught:
        EnvironmentSource(environment).fetch(NOW)
    assert (caught.value.exit, caught.value.problems[0].code) == (Exit.DENIED, "R0401")
    assert caught.value.problems[0].help == (
        "set both ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or neither"
    )


def test_the_environment_is_read_again() -> None:
    """Both variables, and the token where there is one; empty is not set."""
    environment = {
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "id-1",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": CANARY,
        "ALIBABA_CLOUD_SECURITY_TOKEN": "",
    }
    source = EnvironmentSource(environment)
    assert source.fetch(NOW).token is None
    environment["ALIBABA_CLOUD_SECURITY_TOKEN"] = TOKEN
    token = source.fetch(NOW).token
    assert token is not None and token.reveal() == TOKEN
    assert not EnvironmentSource.is_set({})
    assert not EnvironmentSource.is_set(dict.fromkeys(environment, ""))


# the keyring


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "key_id, secret, token, named",
    [
        ("id-1\n", CANARY, TOKEN, "access key id"),
        ("id-1", f"{CANARY}\r\n", TOKEN, "secret"),
        ("id-1", CANARY, f"{TOKEN}\n", "token"),
        ("id-1", f" {CANARY}", "", "secret"),
        ("id-1", CANARY, f"{TOKEN}\u200b", "token"),
        ("id-1", "", "", "secret"),
    ],
)
async def test_keys_with_a_line_break_are_refused_before_signing(
    key_id: str, secret: str, token: str, named: str
) -> None:
    """A stray character of a mounted file would fail in a header, or as a wrong signature."""
    ring = Keyring(
        StaticSource(key_id, Secret(secret), Secret(token) if token else None), JumpClock()
    )
    with pytest.raises(AccessError, match=f"the {named} of static") as caught:
        await ring.get()
    assert caught.value.problems[0].code == "R0402"
    assert CANARY not in str(caught.value) and TOKEN not in str(caught.value)


@pytest.mark.asyncio
@pytest.mark.parametrize("blocks", [False, True])
async def test_two_hundred_callers_make_one_fetch(*, blocks: bool) -> None:
    """Calls wait while keys are being fetched."""
    source = Sts(blocks=blocks)
    ring = Keyring(source, JumpClock())
    found = await asyncio.gather(*[ring.get() for _ in range(200)])
    assert len(source.fetches) == 1
    assert {keys.access_key_id for keys in found} == {"id-1"}


@pytest.mark.asyncio
async def test_keys_are_renewed_at_eighty_percent_of_their_life() -> None:
    """Up to five percent earlier by hash of the keys, never later."""
    source, clock = Sts(), JumpClock()
    ring = Keyring(source, clock)
    await ring.get()
    clock.at = NOW + round(HOUR * (REFRESH_AT - REFRESH_JITTER)) - 1
    assert (await ring.get()).access_key_id == "id-1"
    clock.at = NOW + round(HOUR * REFRESH_AT)
    assert (await ring.get()).access_key_id == "id-2"


@pytest.mark.asyncio
async def test_keys_of_a_short_life_are_not_used_to_their_end() -> None:
    """The last minute of a token is not used: the call may take as long."""
    source, clock = Sts(life_ms=2 * LIFE_LEFT_MIN_MS), JumpClock()
    ring = Keyring(source, clock)
    await ring.get()
    clock.at = NOW + LIFE_LEFT_MIN_MS
    assert (await ring.get()).access_key_id == "id-2"


@pytest.mark.asyncio
async def test_keys_without_an_end_are_fetched_once() -> None:
    """Static keys last."""
    clock = JumpClock()
    ring = Keyring(StaticSource("id-1", Secret(CANARY)), clock)
    first = await ring.get()
    clock.at += 1000 * HOUR
    assert await ring.get() is first


@pytest.mark.asyncio
async def test_an_old_token_outlives_a_failed_refresh() -> None:
    """A valid token stays in use; the source is called again after a pause, not by every call."""
    source, clock = Sts(), JumpClock()
    ring = Keyring(source, clock)
    first = await ring.get()
    source.down = True
    clock.at = NOW + round(HOUR * REFRESH_AT)
    assert await ring.get() is first
    assert await ring.get() is first
    assert len(source.fetches) == 2
    clock.at += FAILURE_PAUSE_MS
    assert await ring.get() is first
    assert len(source.fetches) == 3
    source.down = False
    clock.at += FAILURE_PAUSE_MS
    assert (await ring.get()).access_key_id == "id-4"


@pytest.mark.asyncio
async def test_a_dead_token_is_not_handed_out() -> None:
    """In the last minute of the old token a failed refresh is an error, for every caller."""
    source, clock = Sts(), JumpClock()
    ring = Keyring(source, clock)
    await ring.get()
    source.down = True
    clock.at = NOW + HOUR - LIFE_LEFT_MIN_MS
    for _ in range(2):
        with pytest.raises(AccessError):
            await ring.get()
    source.down = False
    assert (await ring.get()).access_key_id == "id-4"


@pytest.mark.asyncio
async def test_a_source_that_cannot_be_reached_is_not_called_by_every_call() -> None:
    """Without valid keys the error is repeated for a pause, then the source is called again."""
    source, clock = Sts(unreachable=True), JumpClock()
    ring = Keyring(source, clock)
    for _ in range(3):
        with pytest.raises(KeysUnavailableError):
            await ring.get()
    assert len(source.fetches) == 1
    clock.at += UNAVAILABLE_PAUSE_MS
    with pytest.raises(KeysUnavailableError):
        await ring.get()
    source.unreachable = False
    clock.at += UNAVAILABLE_PAUSE_MS
    assert (await ring.get()).access_key_id == "id-3"


@pytest.mark.asyncio
async def test_a_pause_after_a_failure_never_outlives_the_token() -> None:
    """A refresh that failed half a minute before the end does not lend the dead token more life."""
    source, clock = Sts(), JumpClock()
    ring = Keyring(source, clock)
    await ring.get()
    source.down = True
    clock.at = NOW + HOUR - LIFE_LEFT_MIN_MS - 1
    await ring.get()
    clock.at += FAILURE_PAUSE_MS // 2
    with pytest.raises(AccessError):
        await ring.get()


@pytest.mark.asyncio
async def test_refused_keys_are_renewed_once_for_all() -> None:
    """Fifty callers whose token was refused share one renewal."""
    source = Sts()
    ring = Keyring(source, JumpClock())
    refused = await ring.get()
    renewed = await asyncio.gather(*[ring.renew(refused) for _ in range(50)])
    assert {keys.access_key_id for keys in renewed} == {"id-2"}
    assert len(source.fetches) == 2
    assert await ring.get() is renewed[0]


@pytest.mark.asyncio
async def test_a_source_without_other_keys_gives_the_same_ones() -> None:
    """Static keys, and a source that hands its token out again, have nothing new to sign with."""
    for source in (StaticSource("id-1", Secret(CANARY)), Sts(numbered=False)):
        ring = Keyring(source, JumpClock())
        refused = await ring.get()
        assert await ring.renew(refused) is refused
        assert await ring.get() is refused


@pytest.mark.asyncio
async def test_a_failed_renewal_takes_the_old_keys_from_nobody() -> None:
    """One lane may lack a permission that others have: they continue with the valid token."""
    source = Sts()
    ring = Keyring(source, JumpClock())
    refused = await ring.get()
    source.down = True
    with pytest.raises(AccessError):
        await ring.renew(refused)
    assert await ring.get() is refused
