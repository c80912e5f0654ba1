"""Plan and apply against the real service's host names: by proxy, VPC endpoint and IPv6.

The commands run in a private network namespace without the emulator's settings, so they use the
addresses, TLS and credentials of a production run.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.namespace import Namespace, private_namespace
from tests.e2e.network import PROXY_LOGIN, Proxy, Service, certified, serving
from tests.e2e.stage import ROLLOUT, Stage, stage

HANGZHOU = "ecs-cn-hangzhou.aliyuncs.com"
SHANGHAI = "ecs.cn-shanghai.aliyuncs.com"
STS = "sts.aliyuncs.com"
PUBLIC = {HANGZHOU, SHANGHAI, STS}
VPC = {"ecs-vpc.cn-hangzhou.aliyuncs.com", "sts-vpc.cn-hangzhou.aliyuncs.com"}
FLEET = """\
- { count: 3, region: cn-hangzhou }
- { count: 3, region: cn-shanghai }
"""
MAX_DOWN = 3


@dataclass(frozen=True)
class Client:
    """Runs `rollout` in the namespace as a production machine would run it."""

    made: Stage
    namespace: Namespace

    def run(
        self, *words: str, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, with more `variables`."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.made.folder),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "SSL_CERT_FILE": str(self.made.folder / "ca.pem"),
            "ALIBABA_CLOUD_ACCESS_KEY_ID": "emulator",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "emulator-secret",
            **(variables or {}),
        }
        return subprocess.run(
            self.namespace.program(self.made.folder, [*ROLLOUT, *words]),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def rotate(
        self, *words: str, targets: int = 6, variables: Mapping[str, str] | None = None
    ) -> None:
        """Plan and apply, and require that each target is attached and restarted exactly once."""
        plan = ("plan", "net.yaml", "--out", "net.plan.json", *words)
        for command in (plan, ("apply", "net.plan.json", "--no-input", *words)):
            ended = self.run(*command, variables=variables)
            assert ended.returncode == 0, ended.stdout + ended.stderr
        planned = self.made.targets("net.plan.json")
        assert len(planned) == targets
        rows = self.made.admin("ledger")
        attached = Counter(row["instance"] for row in rows if row["effect"] == "attach")
        assert attached == dict.fromkeys(planned, 1)
        assert self.made.wrong("net.plan.json", down_max=MAX_DOWN) == ""


@contextlib.contextmanager
def network(
    folder: Path, hosts: Mapping[str, str], listen: Sequence[tuple[str, int]], **words: str
) -> Iterator[Client]:
    """Yield a client in a network with these hosts, before an emulator with six instances."""
    (folder / "fleet.yaml").write_text(FLEET)
    options = ("--fleet", "fleet.yaml", "--boot-time", "500ms")
    with (
        private_namespace(folder, hosts, listen) as namespace,
        stage(folder, size=None, options=options) as made,
    ):
        made.write_spec("net", max_down=str(MAX_DOWN), **words)
        yield Client(made, namespace)


@pytest.mark.parametrize("proxy_address", ["127.0.0.1", "::1"])
def test_a_rotation_through_a_proxy(tmp_path: Path, proxy_address: str) -> None:
    """Every connection passes through the proxy that HTTPS_PROXY names with its login, although the
    hosts could be reached directly; NO_PROXY excepts a host."""
    hosts = dict.fromkeys(PUBLIC, "127.0.0.1")
    listen = [("127.0.0.1", 443), (proxy_address, 3128)]
    tls = certified(tmp_path / "ca.pem")
    behind = socket.create_server(("127.0.0.1", 0))
    with network(tmp_path, hosts, listen) as client:
        direct_socket, proxy_socket = client.namespace.listening
        direct = Service(direct_socket, tls, client.made.url)
        through = Service(behind, tls, client.made.url)
        proxy = Proxy(proxy_socket, through)
        with serving(direct, through, proxy):
            authority = f"[{proxy_address}]:3128" if ":" in proxy_address else "127.0.0.1:3128"
            named = {"HTTPS_PROXY": f"http://{PROXY_LOGIN}@{authority}"}
            client.rotate(variables=named)

            assert direct.calls == [] and proxy.refused == []
            assert {call.host for call in through.calls} == PUBLIC
            assert set(proxy.relayed) == {f"{host}:443" for host in PUBLIC}

            ended = client.run("plan", "net.yaml", variables=named | {"NO_PROXY": STS})
            assert ended.returncode == 0, ended.stderr
            assert {call.host for call in direct.calls} == {STS}


def test_nothing_is_reachable_without_the_proxy(tmp_path: Path) -> None:
    """Where only the proxy leads out, a plan without it ends with 1 and names the host; with a
    wrong login it names the proxy. Neither reaches the service."""
    tls = certified(tmp_path / "ca.pem")
    behind = socket.create_server(("127.0.0.1", 0))
    with network(tmp_path, {}, [("127.0.0.1", 3128)]) as client:
        through = Service(behind, tls, client.made.url)
        proxy = Proxy(client.namespace.listening[0], through)
        with serving(through, proxy):
            for variables, cause in (
                ({}, "the host name was not found: sts.aliyuncs.com:443"),
                (
                    {"HTTPS_PROXY": "http://operator:wrong@127.0.0.1:3128"},
                    "the proxy refused the login, or requires one: sts.aliyuncs.com:443",
                ),
            ):
                ended = client.run("plan", "net.yaml", "--api-timeout", "3s", variables=variables)
                assert ended.returncode == 1, ended.stderr
                assert "error[R0410]" in ended.stderr and cause in ended.stderr
            assert proxy.refused and proxy.relayed == [] and through.calls == []


def test_a_rotation_through_the_vpc_endpoint(tmp_path: Path) -> None:
    """With the VPC endpoint of ECS, STS is called at its VPC endpoint too and no public host is
    called."""
    hosts = dict.fromkeys(VPC, "127.0.0.1") | dict.fromkeys(PUBLIC, "127.0.0.2")
    tls = certified(tmp_path / "ca.pem")
    listen = [("127.0.0.1", 443), ("127.0.0.2", 443)]
    with network(tmp_path, hosts, listen, regions="cn-hangzhou") as client:
        vpc, public = (Service(one, tls, client.made.url) for one in client.namespace.listening)
        with serving(vpc, public):
            client.rotate("--endpoint", "https://ecs-vpc.cn-hangzhou.aliyuncs.com", targets=3)

            assert public.calls == []
            assert {call.host for call in vpc.calls} == VPC


def test_a_rotation_over_ipv6_only(tmp_path: Path) -> None:
    """Hosts that have IPv6 addresses only are reached."""
    tls = certified(tmp_path / "ca.pem")
    with network(tmp_path, dict.fromkeys(PUBLIC, "::1"), [("::1", 443)]) as client:
        service = Service(client.namespace.listening[0], tls, client.made.url)
        with serving(service):
            client.rotate()

            assert {call.host for call in service.calls} == PUBLIC
