"""The language of texts for people: which one a process uses, and its catalogue.

Chosen by `main` for each command line; read by everything in `cli` that prints. Documents, logs,
journals and names of all kinds stay in English and never pass through here.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, get_args

from rollout.errors import RolloutError
from rollout.model.phrase import Catalogue, Phrase, Wording, say, say_many

Language = Literal["en", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
OPTION, VARIABLE, SETTING = "--lang", "ROLLOUT_LANG", "lang"
LOCALE_VARIABLES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")
"""In the order of POSIX: the first one with a value decides."""
FOLDER: Final = Path(__file__).parents[1] / "locale"
DOMAIN: Final = "rollout"
_CATALOGUES: Final[Mapping[Language, str]] = {"zh": "zh_CN"}
"""The folder of each language but English, whose texts are in the code."""

_SAMPLES: Final[Mapping[Language, str]] = {"zh": "密钥对"}
"""Characters of each language that not every encoding has."""

_current: list[tuple[Language, Catalogue | None]] = [("en", None)]


def use(language: Language) -> None:
    """Print texts for people in this language from now on, or in English if the encoding of the
    terminal lacks its characters.
    """
    encodings = (getattr(stream, "encoding", None) for stream in (sys.stdout, sys.stderr))
    printed = language if can_print(language, encodings) else "en"
    _current[0] = (printed, catalogue(printed))


def can_print(language: Language, encodings: Iterable[str | None]) -> bool:
    """Return whether all of these encodings have the characters of a language."""
    sample = _SAMPLES.get(language, "")
    try:
        return all(sample.encode(encoding or "utf-8") or not sample for encoding in encodings)
    except (UnicodeEncodeError, LookupError):
        return False


def is_english() -> bool:
    """Return whether texts are printed as the code has them."""
    return _current[0][1] is None


def current() -> Language:
    """Return the language of texts for people."""
    return _current[0][0]


def catalogue(language: Language) -> Catalogue | None:
    """Return the translations of a language; None for English, or if they are not installed."""
    if language not in _CATALOGUES:
        return None
    import gettext

    try:
        return gettext.translation(DOMAIN, FOLDER, [_CATALOGUES[language]])
    except OSError:
        return None


def translated(text: Wording) -> str:
    """Return a text in the current language. Plain text is looked up as a whole."""
    found = _current[0][1]
    if found is None or not text:
        return str(text)
    return text.translated(found) if isinstance(text, Phrase) else found.gettext(text)


def tr(template: str, /, **values: object) -> str:
    """Return `say(template, ...)` in the current language."""
    return translated(say(template, **values))


def tr_many(one: str, many: str, number: int, /, **values: object) -> str:
    """Return `say_many(one, many, number, ...)` in the current language."""
    return translated(say_many(one, many, number, **values))


def before_parsing(arguments: Sequence[str], environment: Mapping[str, str]) -> Language:
    """Return the language of help pages and of errors in the command line itself: the option, the
    variable or a settings file, as for all settings, else the language of the surroundings.
    """
    given = _option(arguments) or environment.get(VARIABLE) or _of_files()
    known = next((one for one in LANGUAGES if one == given), None)
    return known or of_surroundings(None, environment)


def of_surroundings(profile: str | None, environment: Mapping[str, str]) -> Language:
    """Return the language of the aliyun CLI's profile, else that of the locale, else English."""
    from rollout.app import profile_language

    names = (environment.get(name) for name in LOCALE_VARIABLES)
    locale = next((name for name in names if name), "")
    found = profile_language.read(profile, environment) or locale
    return "zh" if found.lower().startswith("zh") else "en"


def _option(arguments: Sequence[str]) -> str | None:
    """Return the value of `--lang` in a command line that may be wrong elsewhere."""
    for at, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == OPTION:
            return value if equals else next(iter(arguments[at + 1 : at + 2]), None)
    return None


def _of_files() -> str | None:
    """Return the language of the strongest settings file. A damaged file is reported later."""
    from rollout.cli import settings

    with contextlib.suppress(RolloutError, OSError):
        for file in settings.files():
            if isinstance(value := file.values.get(SETTING), str):
                return value
    return None
