"""Secrets that the program uses, and a search for them in all files and output of the program."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
"""A program with a defect: its message and its traceback contain the current keys."""

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
UNREDACTED = f"""
from rollout import logs
logs.redact = lambda text: text
logs.hide = lambda secret: None
{CRASHING}"""


def forms(secret: str) -> Iterator[str]:
    """Return the secret unchanged and in the usual encodings."""
    yield secret
    yield quote(secret, safe="")
    yield quote(secret)
    yield secret.encode().hex()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for lead in range(3):  # in a longer text it can start at three positions
            whole = encode(bytes(lead) + secret.encode())
            yield whole[4 if lead else 0 : -4].decode()


def leaks(texts: Mapping[str, str]) -> list[str]:
    """Return which text contains which secret."""
    return [
        f"{secret} in {name}"
        for name, text in texts.items()
        for secret in SECRETS
        if any(form in text for form in forms(secret))
    ]


def files(folder: Path) -> dict[str, str]:
    """Yield every file that the program left in a directory."""
    return {
        str(path.relative_to(folder)): path.read_text("utf-8", errors="replace")
        for path in folder.rglob("*")
        if path.is_file()
    }


def run(
    made: Stage, *words: str, secret: str = SECRET, program: Sequence[str] = ROLLOUT
) -> subprocess.CompletedProcess[str]:
    """Run a command with the temporary keys of a profile, in a systemd unit. The home directory is
    outside the searched directory.
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
    """Configure the emulator to accept only the planted keys."""
    users = (
        {"name": "canary", "key_id": KEY_ID, "secret": SECRET, "token": TOKEN},
        {"enabled": False},  # the emulator's own user
    )
    for user in users:
        body = json.dumps(user).encode()
        urllib.request.urlopen(f"{made.url}/_admin/users", body).close()  # noqa: S310


def test_no_secret_in_any_file_or_output(tmp_path: Path) -> None:
    """The keys that sign the calls of a rotation are in no file and no output, in no encoding."""
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
        [run_id] = [path.name for path in (tmp_path / "runs").glob("r-*")]
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
def test_the_search_finds_a_leaked_secret(tmp_path: Path, program: str) -> None:
    """The search finds the secrets of a program that prints, logs or does not redact them."""
    with stage(tmp_path, size=2, options=FAST) as made:
        admit(made)
        made.write_spec("end")
        ended = run(made, "plan", "end.yaml", *LOUD, program=(sys.executable, "-c", program))

    assert any(SECRET in leak for leak in leaks({"err": ended.stderr} | files(tmp_path)))


class Echo(BaseHTTPRequestHandler):
    """Answers some actions with an error that repeats the call, and forwards all others."""

    protocol_version = "HTTP/1.1"
    emulator = ""
    echoed: frozenset[str] = frozenset()

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_POST(self) -> None:
        """Answer one call."""
        action = self.headers.get("x-acs-action", "")
        if action in self.echoed:
            status, raw = 400, self._repeat()
        else:
            status, raw = self._forward()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _repeat(self) -> bytes:
        """Return the received call and its secret in several encodings."""
        sent = [TOKEN, SECRET, self.headers["authorization"]]
        text = " ".join([*sent, *(form for each in sent[:2] for form in forms(each))])
        body = {"Code": f"Echo.{TOKEN}", "Message": text, "RequestId": TOKEN, "HostId": text}
        return json.dumps(body).replace("=", "\\u003d").encode()

    def _forward(self) -> tuple[int, bytes]:
        request = urllib.request.Request(  # noqa: S310 - the emulator
            self.emulator + self.path, data=b"", headers=dict(self.headers), method="POST"
        )
        request.add_header("host", self.headers["host"])
        try:
            with urllib.request.urlopen(request) as reply:  # noqa: S310
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@contextlib.contextmanager
def echoing(made: Stage, *actions: str) -> Iterator[Stage]:
    """Yield the same project with an endpoint that repeats these calls."""
    handler = type("One", (Echo,), {"emulator": made.url, "echoed": frozenset(actions)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Stage(made.folder, f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_endpoint_that_repeats_the_call_is_not_repeated(tmp_path: Path) -> None:
    """Token, secret and signature in an error of the service are in no journal and no output."""
    with stage(tmp_path, size=12, options=FAST) as made:
        admit(made)
        made.write_spec("end")
        planned = run(made, "plan", "end.yaml", "--out", "end.plan.json")
        assert planned.returncode == 0, planned.stderr
        with echoing(made, "DescribeInstances") as bad:
            refused = run(bad, "plan", "end.yaml", *LOUD, "--api-timeout", "1s")
        with echoing(made, "AttachKeyPair") as bad:
            applied = run(bad, "apply", "end.plan.json", "--no-input", *LOUD)
        shown = [run(made, *words, "-o", "json") for words in (("status",), ("audit", "show"))]
    assert "Echo" in refused.stderr and refused.returncode != 0
    assert applied.returncode != 0
    texts = {" ".join(ended.args): ended.stdout + ended.stderr for ended in (refused, applied)}
    texts |= {f"shown {number}": ended.stdout for number, ended in enumerate(shown)}
    left = files(tmp_path)
    assert any("***" in text for name, text in left.items() if "journal" in name)
    assert leaks(texts | left) == []
    for text in (texts | left).values():
        assert not re.search(r"Signature=[0-9a-f]{8}", text)
