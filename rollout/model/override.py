"""One override of a field of a spec, as an option gives it. Used by `specfile` and by use cases."""

from __future__ import annotations

import msgspec

UNPROVEN = "formerRotationUnproven"
"""`exclude` or `allow`: not a field of the spec, so that each plan needs its own reason."""


class Override(msgspec.Struct, frozen=True):
    """One `--override`. `former` is the value in the file, empty if the file has none. `looser` is
    false if the value is known to be at least as safe as the former one.
    """

    field: str
    value: str
    former: str = ""
    looser: bool = True
