"""Read secrets that a spec names: `env:NAME` is a variable, `file:PATH` the content of a file.

Called by the probes right before a request, and by preflight. Plans and journals contain only the
reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from rollout.model.phrase import Phrase, say

ENVIRONMENT: Final = "env:"
FILE: Final = "file:"
BYTES_MAX: Final = 64 * 1024
"""Maximum size of a file that contains a secret."""


class UnreadableSecret(Exception):
    """The secret of a reference cannot be read. The text has the reference and the cause."""

    def __init__(self, text: Phrase) -> None:
        super().__init__(text)
        self.text = text


def read(reference: str, environment: Mapping[str, str], hide: Callable[[str], None]) -> str:
    """Return the secret without surrounding white space, after passing it to `hide`.

    Errors: UnreadableSecret.
    """
    if reference.startswith(ENVIRONMENT):
        value = environment.get(reference.removeprefix(ENVIRONMENT), "").strip()
    else:
        value = _content(reference)
    if not value:
        raise UnreadableSecret(say("{reference} is not set or empty", reference=reference))
    if not value.isprintable():
        text = say("{reference} has line breaks or control characters", reference=reference)
        raise UnreadableSecret(text)
    hide(value)
    return value


def _content(reference: str) -> str:
    try:
        with Path(reference.removeprefix(FILE)).open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
        text = raw.decode()
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise UnreadableSecret(
            say("{reference}: {cause}", reference=reference, cause=why)
        ) from None
    except ValueError:
        raise UnreadableSecret(say("{reference} is not UTF-8 text", reference=reference)) from None
    if len(raw) > BYTES_MAX:
        most = BYTES_MAX // 1024
        raise UnreadableSecret(
            say("{reference} is larger than {most} KiB", reference=reference, most=most)
        )
    return text.strip()
