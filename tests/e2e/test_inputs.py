"""Inventories from pipes, exports of other tools, and incomplete listings."""

from __future__ import annotations

import fcntl
import json
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from tests.e2e.stage import PUBLIC_KEY, Stage, stage

LIVE = "{ source: ecs, regions: [cn-hangzhou, cn-shanghai] }"
LISTED = '{ source: ids, path: "-", regions: [cn-hangzhou, cn-shanghai] }'
SPEC = """\
apiVersion: rollout/v1
kind: KeyRotation
metadata: {{ name: {name} }}
spec:
  keyPair: {{ name: inputs-key, publicKeyFile: new.pub, ensure: import }}
  inventory: [ {source} ]
{more}  budgets: [ {{ by: fleet, maxDown: 50% }} ]
"""
PATIENCE_S = 60


def spec(made: Stage, name: str, source: str, more: str = "") -> str:
    """Write a spec with this source to the project directory. Return its file name."""
    (made.folder / "new.pub").write_text(PUBLIC_KEY + "\n")
    (made.folder / f"{name}.yaml").write_text(SPEC.format(name=name, source=source, more=more))
    return f"{name}.yaml"


def ids(made: Stage, *words: str, piped: str = "") -> list[str]:
    """Return the targets that `plan … -o ids` prints."""
    ended = subprocess.run(
        made.command("plan", *words, "-o", "ids"),
        cwd=made.folder,
        env=made.environment(),
        input=piped,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


def test_printed_ids_are_a_valid_inventory(tmp_path: Path) -> None:
    """The output of `plan -o ids` in a pipe gives a plan with the same targets in both regions."""
    with stage(tmp_path, size=60) as made:
        first = ids(made, spec(made, "live", LIVE))
        again = ids(made, spec(made, "listed", LISTED), piped="\n".join(first))

    assert first and sorted(again) == sorted(first)


def test_a_file_cannot_override_an_exclusion(tmp_path: Path) -> None:
    """A live plan uses the tags of the service: a file without tags, or with other tags, does not
    include an instance that a rule excludes.
    """
    tags = ("bastion", "web")
    fleet = [f"- {{ count: 3, region: cn-hangzhou, tags: {{ role: {role} }} }}" for role in tags]
    (tmp_path / "fleet.yaml").write_text("\n".join(fleet))
    with stage(tmp_path, size=None, options=("--fleet", str(tmp_path / "fleet.yaml"))) as made:
        source = '{ source: ecs, regions: [cn-hangzhou], select: "role=ROLE" }'
        bastions, others = (
            ids(made, spec(made, role, source.replace("ROLE", role))) for role in tags
        )
        export = [
            {"InstanceId": each, "RegionId": "cn-hangzhou", "Tags": "role=web", "Status": 7}
            for each in bastions + others
        ]
        (tmp_path / "export.json").write_text(json.dumps(export))
        rule = '  exclude: [ { select: "role=bastion", reason: by hand } ]\n'
        taken = ids(made, spec(made, "file", "{ source: json, path: export.json }", rule))

    assert len(bastions) == 3
    assert sorted(taken) == sorted(others)


def test_a_page_of_a_listing_is_not_applied_as_the_fleet(tmp_path: Path) -> None:
    """An incomplete listing ends with exit 65, both counts and no run; `--allow-partial` applies
    its instances.
    """
    with stage(tmp_path, size=30, options=("--boot-time", "200ms")) as made:
        one = ids(made, spec(made, "live", LIVE.replace(", cn-shanghai", "")))[0]
        page = {"Instances": {"Instance": [{"InstanceId": one}]}, "TotalCount": 10, "PageNumber": 1}
        (tmp_path / "page.json").write_text(json.dumps(page))
        source = "{ source: json, path: page.json, region: cn-hangzhou }"
        name = spec(made, "page", source).removesuffix(".yaml")
        text = (tmp_path / f"{name}.yaml").read_text().replace("50%", "1")
        (tmp_path / f"{name}.yaml").write_text(text)
        words = ("apply", f"{name}.yaml", "--confirm", name, "--no-input")

        refused = made.run(*words)

        assert refused.returncode == 65, refused.stderr
        assert "TotalCount is 10" in refused.stderr and "only 1" in refused.stderr
        assert made.admin("ledger") == []
        accepted = made.run(*words, "--allow-partial")
        assert accepted.returncode == 0, accepted.stderr
        assert made.restarts() == {one: 1}


@pytest.mark.parametrize("number, code", [(15, 143), (2, 130)])
def test_a_signal_ends_a_command_that_waits_for_its_list(
    tmp_path: Path, number: int, code: int
) -> None:
    """SIGTERM ends a command that waits for a pipe whose writer stays open and sends nothing."""
    made = Stage(tmp_path, "http://127.0.0.1:9")
    name = spec(
        made, "listed", LISTED.replace("regions: [cn-hangzhou, cn-shanghai]", "region: cn-hangzhou")
    )
    process = subprocess.Popen(
        made.command("plan", name, "--offline"),
        cwd=tmp_path,
        env=made.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    process.stdin.write(b"i-bp1aaaa0001\n")
    process.stdin.flush()
    while _unread(process.stdin.fileno()):
        time.sleep(0.02)
    began = time.monotonic()

    process.send_signal(number)

    assert process.wait(PATIENCE_S) == code
    assert time.monotonic() - began < 10
    process.stdin.close()


def _unread(pipe: int) -> int:
    """Return the number of bytes in a pipe that its reader has not read."""
    answer = fcntl.ioctl(pipe, termios.FIONREAD, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])
