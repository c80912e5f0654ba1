"""Secrets that the program really uses, and the search for them in everything it leaves behind."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.stage import ROLLOUT, Stage, stage

KEY_ID = "LTAI5tCanaryCanaryCanary"
SECRET = "canary-Secret/With+Odd=Signs"
TOKEN = "canary-Token/With+Odd=Signs"
WRONG = "canary-Wrong/With+Odd=Signs"
SECRETS = (KEY_ID, SECRET, TOKEN, WRONG)

FAST = ("--boot-time", "200ms")
LOUD = ("-v", "-v")

CRASHING = f"""
from rollout.cli import main
from rollout.ecs.client import EcsClient
def broken(self):
    keys = {(KEY_ID, SECRET, TOKEN)!r}
    raise RuntimeError(f"a defect with {{keys}} and secret={{keys[1]}}")
EcsClient.identify = broken
main.run()
"""
"""A program with a defect: its message and its traceback repeat the keys that are in use."""

PRINTING = """
import sys
from rollout import logs
from rollout.cli import main
hide = logs.hide
def spy(secret):
    print(secret, file=sys.stderr)
    hide(secret)
logs.hide = spy
main.run()
"""
LOGGING = """
from rollout import logs
from rollout.cli import main
hide = logs.hide
def spy(secret):
    logs.say("key", "debug", value=secret)
    hide(secret)
logs.hide = spy
main.run()
"""
UNREDACTED = f"from rollout import logs\nlogs.redact = lambda text: text\n{CRASHING}"


def forms(secret: str) -> Iterator[str]:
    """The secret as it is, and as the encodings in use write it."""
    yield secret
    yield quote(secret, safe="")
    yield quote(secret)
    yield secret.encode().hex()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for lead in range(3):  # inside a longer text it may begin at any of three places
            whole = encode(bytes(lead) + secret.encode())
            yield whole[4 if lead else 0 : -4].decode()


def leaks(texts: Mapping[str, str]) -> list[str]:
    """Which text holds which secret."""
    return [
        f"{secret} in {name}"
        for name, text in texts.items()
        for secret in SECRETS
        if any(form in text for form in forms(secret))
    ]


def files(folder: Path) -> dict[str, str]:
    """Every file that the program left below a folder."""
    return {
        str(path.relative_to(folder)): path.read_text("utf-8", errors="replace")
        for path in folder.rglob("*")
        if path.is_file()
    }


def run(
    made: Stage, *words: str, secret: str = SECRET, program: Sequence[str] = ROLLOUT
) -> subprocess.CompletedProcess[str]:
    """Run a command with the temporary keys of a profile, in a unit of systemd. The home directory
    is beside the folder that is searched.
    """
    home = made.folder.parent / f"home-of-{made.folder.name}"
    (home / ".aliyun").mkdir(parents=True, exist_ok=True)
    profile = {
        "name": "canary",
        "mode": "StsToken",
        "access_key_id": KEY_ID,
        "access_key_secret": secret,
        "sts_token": TOKEN,
    }
    (home / ".aliyun" / "config.json").write_text(json.dumps({"profiles": [profile]}), "utf-8")
    environment = made.environment() | {
        "HOME": str(home),
        "ROLLOUT_PROFILE": "canary",
        "INVOCATION_ID": "0" * 32,
        "JOURNAL_STREAM": "8:1",
    }
    return subprocess.run(
        [*program, *words],
        cwd=made.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def admit(made: Stage) -> None:
    """Make the planted keys the only ones with which a call is accepted."""
    users = (
        {"name": "canary", "key_id": KEY_ID, "secret": SECRET, "token": TOKEN},
        {"enabled": False},  # the emulator's own user
    )
    for user in users:
        body = json.dumps(user).encode()
        urllib.request.urlopen(f"{made.url}/_admin/users", body).close()  # noqa: S310


def test_no_secret_in_any_artefact(tmp_path: Path) -> None:
    """Keys that sign every call of a rotation are in no file and no output, in no encoding."""
    with stage(tmp_path, size=12, options=FAST) as made:
        admit(made)
        made.write_spec("end")
        texts: dict[str, str] = {}

        def step(*words: str) -> None:
            ended = run(made, *words, *LOUD)
            assert ended.returncode == 0, f"{words}: {ended.stderr}"
            texts[f"out of {words}"], texts[f"err of {words}"] = ended.stdout, ended.stderr

        step("plan", "end.yaml", "--out", "end.plan.json")
        step("rehearse", "end.plan.json", "--seeds", "2", "--out", "page.html")
        step("apply", "end.plan.json", "--no-input", "--log-format", "json")
        [run_id] = [path.name for path in (tmp_path / "runs").iterdir() if path.is_dir()]
        step("status", run_id)
        step("audit", "verify", run_id)
        step("audit", "show", run_id)
        refused = run(made, "plan", "end.yaml", *LOUD, secret=WRONG)
        assert "SignatureDoesNotMatch" in refused.stderr
        crashed = run(made, "plan", "end.yaml", *LOUD, program=(sys.executable, "-c", CRASHING))
        assert "error[bug]" in crashed.stderr
        texts |= {"refused": refused.stdout + refused.stderr}
        texts |= {"crashed": crashed.stdout + crashed.stderr}
        left = files(tmp_path)
        effects = made.admin("ledger")

    assert effects, "the planted keys were used"
    assert [name for name in left if "rollout-crash-" in name], "the crash file was read"
    assert any("a defect with" in text for text in left.values())
    assert "page.html" in left
    assert leaks(texts | left) == []


@pytest.mark.parametrize("program", [PRINTING, LOGGING, UNREDACTED])
def test_the_search_finds_a_secret_that_is_shown(tmp_path: Path, program: str) -> None:
    """A program that prints, logs or does not blank what it uses fails the search above."""
    with stage(tmp_path, size=2, options=FAST) as made:
        admit(made)
        made.write_spec("end")
        ended = run(made, "plan", "end.yaml", *LOUD, program=(sys.executable, "-c", program))

    assert any(SECRET in leak for leak in leaks({"err": ended.stderr} | files(tmp_path)))
