"""Signing keys: their sources and expiry, without printing them.

Called by the client before each call and by the command line to name the source. Static and
environment keys are built in; `credential_sources.py` chooses between them and every other source.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, NoReturn, Protocol

from rollout.ecs import jitter
from rollout.errors import AccessError
from rollout.model.phrase import say
from rollout.model.time import MINUTE, SECOND, Clock, Duration, Instant

REFRESH_AT: Final = 0.8
"""Share of a token's life after which it is renewed."""
REFRESH_JITTER: Final = 0.05
"""Programs that started together must not call STS together: each renews up to this earlier."""
LIFE_LEFT_MIN_MS: Final = 1 * MINUTE
"""A token this close to its end is not used any more: the call may take a minute."""
FAILURE_PAUSE_MS: Final = MINUTE // 2
"""While an old token is still valid, a failed renewal is not retried sooner."""
UNAVAILABLE_PAUSE_MS: Final = 10 * SECOND
"""Without a valid token, a source that cannot be reached is not called again sooner."""


class KeysUnavailableError(AccessError):
    """The source of the keys cannot be reached or is busy: a later fetch may succeed."""


class Secret:
    """A text that is never printed: no plain form, no pickle, no JSON, no comparison."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """Return the text itself, for the code that signs with it."""
        return self.__text

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> NoReturn:
        raise TypeError("a secret has no plain form")

    def __format__(self, _: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True, slots=True)
class Credentials:
    """One set of keys, fetched at `began_at`; `expires_at` is 0 if they do not expire."""

    access_key_id: str
    secret: Secret
    token: Secret | None = None
    began_at: Instant = 0
    expires_at: Instant = 0

    def signs_like(self, other: Credentials) -> bool:
        """Return whether both give the same signatures, regardless of when they were fetched."""
        return self._texts() == other._texts()

    def _texts(self) -> tuple[str, str, str]:
        token = self.token.reveal() if self.token is not None else ""
        return self.access_key_id, self.secret.reveal(), token


class Source(Protocol):
    """A source of keys. `name` is printed, so it contains no key."""

    @property
    def name(self) -> str:
        """Name for messages, such as `environment` or `profile prod (RamRoleArn)`."""

    @property
    def blocks(self) -> bool:
        """Whether `fetch` may wait and must run in a worker thread."""

    def fetch(self, now: Instant) -> Credentials:
        """Return keys. Errors: AccessError R04xx; KeysUnavailableError if it may not last."""


@dataclass(frozen=True, slots=True)
class StaticSource:
    """Keys that are given as arguments."""

    access_key_id: str
    secret: Secret
    token: Secret | None = None
    name: str = "static"
    blocks: bool = False

    def fetch(self, now: Instant) -> Credentials:
        """Return the given keys."""
        return Credentials(self.access_key_id, self.secret, self.token, now)


class KeyVariables(NamedTuple):
    """The variables of one set of keys: those of the present SDKs, or of an older tool."""

    key_id: str
    secret: str
    token: str

    def present(self, environment: Mapping[str, str]) -> list[str]:
        """Return the names that have a value."""
        return [name for name in self if environment.get(name)]


KEY_VARIABLES: Final = (
    KeyVariables(
        "ALIBABA_CLOUD_ACCESS_KEY_ID",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        "ALIBABA_CLOUD_SECURITY_TOKEN",
    ),
    KeyVariables(
        "ALIBABACLOUD_ACCESS_KEY_ID",
        "ALIBABACLOUD_ACCESS_KEY_SECRET",
        "ALIBABACLOUD_SECURITY_TOKEN",
    ),
    KeyVariables("ALICLOUD_ACCESS_KEY_ID", "ALICLOUD_ACCESS_KEY_SECRET", "ALICLOUD_SECURITY_TOKEN"),
    KeyVariables("ALICLOUD_ACCESS_KEY", "ALICLOUD_SECRET_KEY", "ALICLOUD_SECURITY_TOKEN"),
)
"""In the order in which they count. The aliyun CLI reads the first three, Terraform's provider the
last one."""


@dataclass(frozen=True, slots=True)
class EnvironmentSource:
    """Keys in variables, read at each fetch. One set is used: names are never mixed."""

    environment: Mapping[str, str]
    blocks: bool = False

    @classmethod
    def is_set(cls, environment: Mapping[str, str]) -> bool:
        """Return whether any of the variables has a value; a part of a set is an error."""
        return any(names.present(environment) for names in KEY_VARIABLES)

    @property
    def name(self) -> str:
        """`environment`, with the variable where it is one of an older tool."""
        names = self._names()
        return "environment" if names is KEY_VARIABLES[0] else f"environment ({names.key_id})"

    def fetch(self, now: Instant) -> Credentials:
        """Read the variables. AccessError R0401 where the id or the secret is missing."""
        names = self._names()
        key_id, secret, token = (self.environment.get(name, "") for name in names)
        missing = [name for name in names[:2] if not self.environment.get(name)]
        if missing:
            raise AccessError.of(
                "R0401",
                say(
                    "{present} set without {missing}",
                    present=", ".join(names.present(self.environment)),
                    missing=", ".join(missing),
                ),
                help=say(
                    "set both {key_id} and {secret}, or neither",
                    key_id=names.key_id,
                    secret=names.secret,
                ),
            )
        return Credentials(key_id, Secret(secret), Secret(token) if token else None, now)

    def _names(self) -> KeyVariables:
        """The first set of which id or secret has a value, else the one of a lone token."""

        def rank(names: KeyVariables) -> int:
            present = names.present(self.environment)
            return 0 if set(names[:2]) & set(present) else 1 if present else 2

        return min(KEY_VARIABLES, key=rank)


class Keyring:
    """The keys in use, fetched once for all callers and renewed before they end.

    `on_secret` receives every secret text, so that logs can mask it.
    """

    def __init__(
        self, source: Source, clock: Clock, *, on_secret: Callable[[str], None] = lambda _: None
    ) -> None:
        self.source = source
        self._clock = clock
        self._on_secret = on_secret
        self._held: Credentials | None = None
        self._lock = asyncio.Lock()
        self._not_before: Instant = 0
        self._unavailable: KeysUnavailableError | None = None
        self._unavailable_until: Instant = 0

    async def get(self) -> Credentials:
        """Return keys that are valid for the next call. Errors: those of the source."""
        held = self._held
        if held is not None and self._clock.now() < self._renew_at(held):
            return held
        async with self._lock:
            return await self._fresh()

    async def renew(self, refused: Credentials) -> Credentials:
        """Return other keys than the refused ones, or the same ones if the source has no others.

        Errors: those of the source.
        """
        async with self._lock:
            if self._held is not refused:
                return await self._fresh()
            fetched = await self._fetched(self._clock.now())
            if fetched.signs_like(refused):
                return refused
            self._held = fetched
            return fetched

    async def _fresh(self) -> Credentials:
        """Fetch under the lock, unless another task just did. A failure keeps the old token."""
        now, held = self._clock.now(), self._held
        if held is not None and now < max(self._renew_at(held), self._not_before):
            return held
        if self._unavailable is not None and now < self._unavailable_until:
            raise self._unavailable.with_traceback(None)
        try:
            self._held = await self._fetched(now)
        except AccessError as error:
            if held is None or now >= held.expires_at - LIFE_LEFT_MIN_MS:
                if isinstance(error, KeysUnavailableError):
                    self._unavailable = error
                    self._unavailable_until = self._clock.now() + UNAVAILABLE_PAUSE_MS
                raise
            self._not_before = min(now + FAILURE_PAUSE_MS, held.expires_at - LIFE_LEFT_MIN_MS)
            return held
        return self._held

    async def _fetched(self, now: Instant) -> Credentials:
        """Fetch keys, in a worker thread if the source blocks, and register them for masking."""
        blocks, fetch = self.source.blocks, self.source.fetch
        loop = asyncio.get_running_loop()
        fetched = await loop.run_in_executor(None, fetch, now) if blocks else fetch(now)
        _check(fetched, self.source.name)
        for secret in (fetched.secret, fetched.token):
            if secret is not None:
                self._on_secret(secret.reveal())
        return fetched

    def _renew_at(self, held: Credentials) -> Instant:
        """Return when to fetch new keys: at 80 % of their life, a little earlier by hash."""
        if held.expires_at == 0:
            return 1 << 62
        life: Duration = held.expires_at - held.began_at
        share = REFRESH_AT - REFRESH_JITTER * jitter.share_of(
            f"{held.access_key_id}{held.expires_at}"
        )
        return min(held.began_at + int(life * share), held.expires_at - LIFE_LEFT_MIN_MS)


def _check(keys: Credentials, source: str) -> None:
    """Refuse invalid keys, most often with a line break from the end of a mounted file."""
    texts = {"access key id": keys.access_key_id, "secret": keys.secret.reveal()}
    if keys.token is not None:
        texts["token"] = keys.token.reveal()
    for name, text in texts.items():
        if not (text and text.isascii() and text.isprintable() and " " not in text):
            raise AccessError.of(
                "R0402",
                say(
                    "the {name} of {source} is empty or contains an invalid character",
                    name=name,
                    source=source,
                ),
                help=say("check for a space or a line break at its end"),
            )
