"""Whatever the configuration of the aliyun CLI holds: a source of credentials or an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rollout.cli.errors import rendering
from rollout.ecs import credential_sources
from rollout.errors import RolloutError
from tests.fuzz import edited, fuzzed, json_values

PROFILE = {"name": "default", "mode": "AK", "access_key_id": "a", "access_key_secret": "b"}
NAMES = st.sampled_from(["current", "profiles", *PROFILE, "source_profile", "ram_role_arn"])


def choose(folder: Path, content: bytes) -> None:
    """Let the file decide which credentials are used."""
    (folder / ".aliyun").mkdir(exist_ok=True)
    (folder / ".aliyun" / "config.json").write_bytes(content)
    for profile in (None, "default", "\ud83d"):
        try:
            credential_sources.choose({"HOME": str(folder)}, profile)
        except RolloutError as error:
            rendering.render(error).encode()


@fuzzed
@given(edited(json.dumps({"current": "default", "profiles": [PROFILE]})))
def test_no_configuration_crashes_its_reader(tmp_path: Path, content: bytes) -> None:
    """Odd bytes anywhere in the file."""
    choose(tmp_path, content)


@fuzzed
@given(json_values(NAMES))
def test_no_value_crashes_its_reader(tmp_path: Path, value: Any) -> None:
    """Values of any form under the names that the file has."""
    choose(tmp_path, json.dumps(value).encode())
    choose(tmp_path, json.dumps({"current": "default", "profiles": value}).encode())
    choose(
        tmp_path,
        json.dumps({"current": "default", "profiles": [{**PROFILE, "mode": value}]}).encode(),
    )
