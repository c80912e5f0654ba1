"""Gates, bakes and pauses are checked from the journal alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rollout.errors import Exit
from rollout.journal.directory import DirectoryRun
from rollout.journal.verify import verify
from rollout.model import event as ev
from rollout.model.event import OperatorVerb
from rollout.model.spec import WaveGate
from tests.journal import example_runs
from tests.journal.example_runs import ExampleRun
from tests.journal.recheck.cases import messages
from tests.journal.samples import NOW

PAUSE, PROMOTE, RESUME = OperatorVerb.PAUSE, OperatorVerb.PROMOTE, OperatorVerb.RESUME
LATER = NOW + 60_000


def at_the_gate(gate: WaveGate = WaveGate.MANUAL) -> ExampleRun:
    """A run whose canary is finished, with a bake of a minute."""
    example = ExampleRun(example_runs.gated(gate=gate))
    return example.open_wave(0).rotated(0, 1).close_gated(0)


LEGAL: dict[str, Callable[[], ExampleRun]] = {
    "an automatic gate after its bake": lambda: (
        at_the_gate(WaveGate.AUTO).add(ev.GateOpened(0, LATER)).open_wave(1).rotated(2)
    ),
    "a promoted gate": lambda: (
        at_the_gate().command(PROMOTE).add(ev.GateOpened(0, LATER, "1")).open_wave(1)
    ),
    "a full promotion before the gate": lambda: (
        ExampleRun(example_runs.gated())
        .command(PROMOTE, full=True)
        .open_wave(0)
        .rotated(0, 1)
        .close_gated(0)
        .add(ev.GateOpened(0, LATER, "1"))
        .open_wave(1)
    ),
    "calls after a pause": lambda: (
        ExampleRun().open_wave(0).command(PAUSE).command(RESUME).attached(0, 1)
    ),
    "a call that ends in a pause": lambda: (
        ExampleRun().open_wave(0).attach(0).command(PAUSE).settle().command(PROMOTE).attached(1)
    ),
}
ILLEGAL: dict[str, tuple[str, Callable[[], ExampleRun]]] = {
    "a wave before its gate": (
        "wave rest started before the gate opened",
        lambda: at_the_gate().open_wave(1),
    ),
    "a short bake": (
        "the gate after wave canary opened before its bake was over",
        lambda: at_the_gate(WaveGate.AUTO).add(ev.GateOpened(0, LATER - 1)),
    ),
    "a manual gate that nobody promoted": (
        "the gate after wave canary opened without a promotion",
        lambda: at_the_gate().add(ev.GateOpened(0, LATER, "1")),
    ),
    "a promotion that only ended a pause": (
        "the gate after wave canary opened without a promotion",
        lambda: at_the_gate().command(PAUSE).command(PROMOTE).add(ev.GateOpened(0, LATER, "2")),
    ),
    "a gate that was not shut": (
        "the gate after wave 0 was not shut",
        lambda: ExampleRun().open_wave(0).add(ev.GateOpened(0, LATER)),
    ),
    "a call in a pause": (
        "was issued in a paused run",
        lambda: ExampleRun().open_wave(0).command(PAUSE).attach(0, 1),
    ),
    "a wave and a cell in a pause": (
        "wave canary started in a paused run",
        lambda: ExampleRun().command(PAUSE).open_wave(0),
    ),
}


@pytest.mark.parametrize("name", LEGAL)
def test_what_an_operator_allowed_is_no_false_alarm(tmp_path: Path, name: str) -> None:
    """Gates that opened in order, and pauses that ended, are part of a clean run."""
    assert messages(verify(DirectoryRun(LEGAL[name]().write(tmp_path)))) == ""


@pytest.mark.parametrize("name", ILLEGAL)
def test_what_no_operator_allowed_is_named(tmp_path: Path, name: str) -> None:
    """A journal whose waves or calls begin too early is a violation, exit 9."""
    words, make = ILLEGAL[name]
    verdict = verify(DirectoryRun(make().write(tmp_path)))

    assert words in messages(verdict)
    assert verdict.exit is Exit.INTEGRITY
