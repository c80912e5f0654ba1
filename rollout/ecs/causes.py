"""Explain the client's short reasons for a missing or unreadable reply to users.

Called where such a reason is printed. The journal holds the short reasons themselves.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, NamedTuple


class Cause(NamedTuple):
    """What happened, what to check, and the error code it belongs to."""

    text: str
    check: str
    code: str = "R0410"


_PHRASES: Final = {int(status): status.phrase for status in HTTPStatus}
_NETWORK: Final = "check the network, the proxy settings and --endpoint"
_BETWEEN: Final = "check the proxy or gateway between this machine and the service"
_LATER: Final = "try again later, or with a longer --api-timeout"

_CAUSES: Final = {
    "certificate": Cause(
        "the certificate is not valid for this host",
        "check for a proxy that replaces certificates; SSL_CERT_FILE adds certificate authorities",
    ),
    "closed": Cause("the connection was closed before the call was sent", _NETWORK),
    "connect_timeout": Cause("no connection in time", _NETWORK),
    "cut_off": Cause("the reply was cut off", _NETWORK),
    "dns": Cause("the host name was not found", "check name resolution and --endpoint"),
    "dry_run_ignored": Cause(
        "the endpoint executed a dry run",
        "check --endpoint: the real service never does this",
        "R0412",
    ),
    "malformed_http": Cause("the reply is not HTTP", f"{_BETWEEN}, and --endpoint", "R0412"),
    "page_loop": Cause("the pages of the reply do not end", _BETWEEN, "R0412"),
    "proxy_or_gateway": Cause(
        "the reply is not from the API: a proxy or gateway answered instead", _BETWEEN, "R0412"
    ),
    "proxy_login": Cause(
        "the proxy refused the login, or requires one",
        "set HTTPS_PROXY to http://USER:PASSWORD@HOST:PORT with a valid user and password",
    ),
    "proxy_refused": Cause(
        "the proxy refused to connect to this host",
        "allow the host in the proxy, or add it to NO_PROXY",
    ),
    "proxy_unreachable": Cause("the proxy cannot be reached", "check HTTPS_PROXY and NO_PROXY"),
    "redirect": Cause("a proxy or gateway redirected the call", _BETWEEN, "R0412"),
    "refused": Cause("the connection was refused", "check that --endpoint names a running service"),
    "reset": Cause("the connection was reset", _NETWORK),
    "timeout": Cause("no reply in time", _LATER),
    "tls": Cause("the TLS handshake failed", _NETWORK),
    "too_large": Cause("the reply is larger than any reply of the API", _BETWEEN, "R0412"),
    "unasked_bytes": Cause("the connection carried an unexpected reply", _BETWEEN, "R0412"),
    "unreachable": Cause("the host cannot be reached", _NETWORK),
}


def explain(reason: str) -> Cause | None:
    """Return the meaning of a reason; None where it is a code of the service."""
    if reason.startswith("http_") and reason[5:].isdecimal():
        status = int(reason[5:])
        return Cause(
            f"HTTP {status} {_PHRASES.get(status, '')}".rstrip() + " without an error of the API",
            f"{_LATER}; if the error persists, {_BETWEEN}",
            "R0412",
        )
    return _CAUSES.get(reason)
