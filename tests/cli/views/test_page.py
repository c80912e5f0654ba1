"""The page of a forecast: self-contained, well formed, and safe with any plan name."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest

from rollout.app import rehearse
from rollout.app.rehearse import Rehearsal, RehearsalOptions
from rollout.cli.views import page
from rollout.model.plan import Plan
from rollout.sim.rehearse.forecast import RunEnding, forecast
from tests.app import factory


class Reader(HTMLParser):
    """Checks that tags close in order; keeps tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def written(plan: Plan, seeds: int = 2) -> str:
    """The page of a plan."""
    chosen = rehearse.prepare(plan, RehearsalOptions(seeds, 20_000, None, None))
    lived = rehearse.simulate_all(plan, chosen, lambda *_: None)
    found = forecast(lived)
    return page.page(plan, "sha256:" + "0" * 64, Rehearsal(chosen, found, lived, factory.NOW))


def read(text: str) -> Reader:
    """A page whose tags all close."""
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    return reader


def test_the_page_asks_for_nothing_else() -> None:
    """No script, link, image or address: it can be mailed and opened anywhere."""
    text = written(factory.plan(60))
    reader = read(text)

    assert not {"script", "link", "img", "iframe", "object", "base"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name in ("src", "href", "style")]
    assert not re.search(r"https?:|url\(|@import", text)
    assert not [name for name, _ in reader.attributes if name.startswith("on")]


def test_the_page_says_what_the_text_says() -> None:
    """Figures, assumptions with their source, the peak, a dot for each seed, the outcomes."""
    reader = read(written(factory.plan(60), seeds=3))

    for words in ("Duration, P50", "--boot-time", "RebootInstance", "2 allowed", "exit 0"):
        assert words in reader.text
    assert reader.tags.count("circle") == 3
    assert "prefers-color-scheme: dark" in written(factory.plan(60))


def test_each_exit_code_stands_once_in_the_head() -> None:
    """Seeds that stop for different reasons with the same code are one figure."""
    plan = factory.plan(60)
    chosen = rehearse.prepare(plan, RehearsalOptions(3, 20_000, None, None))
    lived = rehearse.simulate_all(plan, chosen, lambda *_: None)
    endings = (RunEnding(2, 5, "in_doubt", "a"), RunEnding(1, 5, "protocol_anomaly", "b"))
    found = msgspec.structs.replace(forecast(lived), endings=endings)

    text = page.page(plan, "sha256:" + "0" * 64, Rehearsal(chosen, found, lived, factory.NOW))

    assert text.count("<dt>exit 5</dt>") == 1
    assert "<dd>3 of 3 seeds</dd>" in text


def test_every_picture_has_words() -> None:
    """Each chart has a text alternative."""
    reader = read(written(factory.plan(60)))
    labels = [value for name, value in reader.attributes if name == "aria-label"]

    assert reader.tags.count("svg") == len(labels) == 2
    assert all(labels)


@pytest.mark.parametrize("emulator", [True, False])
def test_nobody_takes_an_emulator_for_the_service(*, emulator: bool) -> None:
    """EMULATOR is in the page's head only for an emulated plan."""
    assert ("EMULATOR" in written(factory.plan(60, emulator=emulator))) is emulator


def test_names_cannot_become_markup() -> None:
    """A plan's name is escaped."""
    plan = msgspec.structs.replace(factory.plan(60), name="<script>alert(1)</script>&")

    reader = read(written(plan))

    assert "script" not in reader.tags
    assert "<script>alert(1)</script>&" in reader.text
