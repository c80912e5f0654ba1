"""The format reference is correct: its sample is a journal, its list of events is complete."""

import re
import subprocess
from pathlib import Path

from rollout.journal.chain import Chain
from rollout.model.event import AnyEvent
from tests import tree

TEXT = (tree.ROOT / "docs" / "journal.md").read_text("utf-8")


def block(language: str) -> str:
    """The one block of code in that language."""
    text, *_ = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return str(text)


def test_the_sample_is_a_journal() -> None:
    """Every line follows from the one before, byte by byte as the program would write it."""
    lines = block("json").splitlines()
    reading, writing, buffer = Chain(), Chain(), bytearray()

    for text in lines:
        line = reading.follow(text.encode())
        writing.extend(buffer, line.body, line.at)

    assert len(lines) == 4
    assert buffer.decode() == block("json")


def test_the_chain_is_checked_as_the_reference_says(tmp_path: Path) -> None:
    """The command prints what the second line names."""
    (tmp_path / "journal-000001.jsonl").write_text(block("json"))

    done = subprocess.run(
        ["sh", "-c", block("sh")], cwd=tmp_path, check=True, capture_output=True, text=True
    )

    assert f'"prev":"{done.stdout.split()[0]}"' in block("json").splitlines()[1]


def test_every_event_is_documented() -> None:
    """Each event type stands in the table, and the table names no other."""
    table = TEXT.partition("## Events")[2].partition("## Writing")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]

    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert documented == {kind.__name__ for kind in AnyEvent.__args__}
