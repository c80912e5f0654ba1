"""Where calls go: a site has a client of its own, a lane has a pace of its own.

Used by every layer. Both are named tuples, so they are as cheap to hash and compare as tuples.
"""

from __future__ import annotations

from typing import NamedTuple


class Site(NamedTuple):
    """An account in one region: the unit that an engine has a client for."""

    account: str
    region: str


class AtSite:
    """Gives `site` to a structure that has the fields account and region."""

    __slots__ = ()
    account: str
    region: str

    @property
    def site(self) -> Site:
        """Account and region."""
        return Site(self.account, self.region)


class KeySite(NamedTuple):
    """A wanted key at one site: a key pair to compare and, if missing, to import. `key` indexes
    `Plan.keys`.
    """

    site: Site
    key: int


class KeyAtSite(AtSite):
    """Gives `key_site` to a structure that has the fields account, region and key."""

    __slots__ = ()
    key: int

    @property
    def key_site(self) -> KeySite:
        """Account, region and key."""
        return KeySite(self.site, self.key)


class Lane(NamedTuple):
    """An action at one site: the unit that the service throttles."""

    site: Site
    action: str
