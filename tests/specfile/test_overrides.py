"""Overrides: which fields they may set, which values are looser, and how they are validated."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout import specfile
from rollout.errors import RolloutError
from rollout.model.spec import Amount, OnUnknown
from rollout.specfile import overrides
from tests.app import service as stage


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec: half of the fleet may be down, settle window of a second."""
    monkeypatch.chdir(tmp_path)
    return stage.write_spec(tmp_path)


def loaded(path: Path, *texts: str) -> specfile.Loaded:
    """The spec with these overrides."""
    return specfile.load(path, path.parent, overrides.parse(texts))


def test_fields_of_the_file_and_absent_ones_are_set(path: Path) -> None:
    """Values are validated and converted as in the file; the text of the spec stays."""
    made = loaded(
        path,
        "budgets[0].maxDown=60%",
        "allowPasswordLoss=true",
        "limits.maxExposed=9",
        "onUnknown=assumeDone",
    )

    assert made.spec.budgets[0].max_down == Amount(share_ppm=600_000)
    assert made.spec.allow_password_loss and made.spec.limits.exposed_max == 9
    assert made.spec.on_unknown is OnUnknown.ASSUME_DONE
    assert made.spec.text == path.read_text("utf-8")
    assert [(one.field, one.value, one.former) for one in made.overrides] == [
        ("budgets[0].maxDown", "60%", "50%"),
        ("allowPasswordLoss", "true", ""),
        ("limits.maxExposed", "9", ""),
        ("onUnknown", "assumeDone", ""),
    ]


@pytest.mark.parametrize(
    "text, looser",
    [
        ("budgets[0].maxDown=60%", True),
        ("budgets[0].maxDown=50%", False),
        ("budgets[0].maxDown=1%", False),
        ("budgets[0].maxDown=1", True),
        ("restart.settleWindow=2s", False),
        ("restart.settleWindow=0s", True),
        ("allowPasswordLoss=true", True),
        ("allowPasswordLoss=false", False),
        ("onUnknown=hold", False),
        ("restart.stopped=leave", False),
        ("limits.maxExposed=1", True),
        ("formerRotationUnproven=allow", True),
        ("formerRotationUnproven=exclude", False),
    ],
)
def test_a_value_is_looser_unless_it_is_known_to_be_as_safe(
    path: Path, text: str, *, looser: bool
) -> None:
    """A count cannot be compared with a percentage, nor a value with a default: both are looser."""
    made = loaded(path, text)

    assert [one.looser for one in made.overrides] == [looser]
    assert made.spec.chain_unproven is (text == "formerRotationUnproven=allow")


@pytest.mark.parametrize(
    "text, code",
    [
        ("budgets[0].maxDown", "R0150"),
        ("=5", "R0150"),
        ("budgets[0].maxDown=", "R0150"),
        ("budgets[5].maxDown=5%", "R0150"),
        ("exclude[0].reason=none", "R0150"),
        ("budgets.maxDown=5%", "R0150"),
        ("keyPair.name=other", "R0150"),
        ("approvals.required=1", "R0150"),
        ("inventory[0].regions=cn-beijing", "R0150"),
        ("budgets[0]={ by: fleet }", "R0150"),
        ("budgets[0]..maxDown=1", "R0150"),
        ("formerRotationUnproven=maybe", "R0150"),
        ("allowPasswordLoss=perhaps", "R01"),
        ("alowPasswordLoss=true", "R01"),
        ("budgets[0].maxDown=150%", "R01"),
    ],
)
def test_what_cannot_be_overridden_is_refused(path: Path, text: str, code: str) -> None:
    """Malformed options, unknown places, and values that the spec's own rules refuse."""
    with pytest.raises(RolloutError) as caught:
        loaded(path, text)

    assert caught.value.problems[0].code.startswith(code)
