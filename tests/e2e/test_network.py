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
from tests.e2e.network import PROXY_LOGIN, STS_ACTIONS, Proxy, Service, certified, serving
from tests.e2e.stage import ROLLOUT, Stage, stage

HANGZHOU = "ecs-cn-hangzhou.aliyuncs.com"
SHANGHAI = "ecs.cn-shanghai.aliyuncs.com"
STS = "sts.aliyuncs.com"
PUBLIC = {HANGZHOU, SHANGHAI, STS}
VPC = {"ecs-vpc.cn-hangzhou.aliyuncs.com", "sts-vpc.cn-hangzhou.aliyuncs.com"}
KEYS = {
    "ALIBABA_CLOUD_ACCESS_KEY_ID": "emulator",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "emulator-secret",
}
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
    role_keys: bool = False
    """The keys are those of a Kubernetes service account's role, from STS."""

    def run(
        self, *words: str, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, with more `variables`."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.made.folder),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "SSL_CERT_FILE": str(self.made.folder / "ca.pem"),
            **(self.role() if self.role_keys else KEYS),
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

    def role(self) -> dict[str, str]:
        """Return the variables of an OIDC role, and write its token file."""
        token = self.made.folder / "token"
        token.write_text("token of the service account")
        return {
            "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1234567890123456:role/pod",
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1234567890123456:oidc-provider/ack",
            "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(token),
        }

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
    folder: Path,
    hosts: Mapping[str, str],
    listen: Sequence[tuple[str, int]],
    *,
    role_keys: bool = False,
    **words: str,
) -> Iterator[Client]:
    """Yield a client in a network with these hosts, before an emulator with six instances."""
    (folder / "fleet.yaml").write_text(FLEET)
    options = ("--fleet", "fleet.yaml", "--boot-time", "500ms")
    with (
        private_namespace(folder, hosts, listen) as namespace,
        stage(folder, size=None, options=options) as made,
    ):
        made.write_spec("net", max_down=str(MAX_DOWN), **words)
        yield Client(made, namespace, role_keys)


@dataclass(frozen=True)
class Proxied:
    """A client, the proxy, the service behind it, and the service as it is reached directly."""

    client: Client
    proxy: Proxy
    through: Service
    direct: Service

    @property
    def named(self) -> dict[str, str]:
        """Return the variable that names the proxy, with its login."""
        host, port = self.proxy.address
        name = f"[{host}]" if ":" in host else host
        return {"HTTPS_PROXY": f"http://{PROXY_LOGIN}@{name}:{port}"}


@contextlib.contextmanager
def proxied(
    folder: Path,
    hosts: Mapping[str, str],
    *,
    proxy_address: str = "127.0.0.1",
    role_keys: bool = False,
) -> Iterator[Proxied]:
    """Yield a network with a proxy; only the names in `hosts` can also be reached without it."""
    tls = certified(folder / "ca.pem")
    listen = [("127.0.0.1", 443), (proxy_address, 3128)]
    with network(folder, hosts, listen, role_keys=role_keys) as client:
        direct, proxy = client.namespace.listening
        service = Service(direct, tls, client.made.url)
        through = Service(socket.create_server(("127.0.0.1", 0)), tls, client.made.url)
        made = Proxied(client, Proxy(proxy, through), through, service)
        with serving(made.direct, made.through, made.proxy):
            yield made


@pytest.mark.parametrize("proxy_address", ["127.0.0.1", "::1"])
def test_a_rotation_through_a_proxy(tmp_path: Path, proxy_address: str) -> None:
    """Every connection passes through the proxy that HTTPS_PROXY names with its login, although the
    hosts could be reached directly; NO_PROXY excepts a host."""
    hosts = dict.fromkeys(PUBLIC, "127.0.0.1")
    with proxied(tmp_path, hosts, proxy_address=proxy_address) as made:
        made.client.rotate(variables=made.named)

        assert made.direct.calls == [] and made.proxy.refused == []
        assert {call.host for call in made.through.calls} == PUBLIC
        assert set(made.proxy.relayed) == {f"{host}:443" for host in PUBLIC}

        ended = made.client.run("plan", "net.yaml", variables=made.named | {"NO_PROXY": STS})
        assert ended.returncode == 0, ended.stderr
        assert {call.host for call in made.direct.calls} == {STS}


def test_nothing_is_reachable_without_the_proxy(tmp_path: Path) -> None:
    """Where only the proxy leads out, a plan without it ends with 1 and names the host; with a
    wrong login it names the proxy. Neither reaches the service."""
    wrong = {"HTTPS_PROXY": "http://operator:wrong@127.0.0.1:3128"}
    with proxied(tmp_path, {}) as made:
        for variables, cause in (
            ({}, "the host name was not found: sts.aliyuncs.com:443"),
            (wrong, "the proxy refused the login, or requires one: sts.aliyuncs.com:443"),
        ):
            words = ("plan", "net.yaml", "--api-timeout", "3s")
            ended = made.client.run(*words, variables=variables)
            assert ended.returncode == 1, ended.stderr
            assert "error[R0410]" in ended.stderr and cause in ended.stderr
        assert made.proxy.refused and made.proxy.relayed == [] and made.through.calls == []


def test_the_keys_of_a_role_are_fetched_through_the_proxy(tmp_path: Path) -> None:
    """The official library uses the same proxy and login. It trusts public authorities only there:
    the error names the certificate, and no token is sent."""
    hosts = dict.fromkeys(PUBLIC, "127.0.0.1")
    with proxied(tmp_path, hosts, role_keys=True) as made:
        ended = made.client.run("plan", "net.yaml", variables=made.named)
        assert ended.returncode == 4, ended.stderr
        assert "the certificate is not valid for this host" in ended.stderr
        assert made.direct.calls == made.through.calls == [] and made.proxy.refused == []
        assert set(made.proxy.relayed) == {f"{STS}:443"}

        ended = made.client.run("plan", "net.yaml", variables=made.named | {"NO_PROXY": STS})
        assert ended.returncode == 0, ended.stderr
        assert {call.action for call in made.direct.calls} == STS_ACTIONS


@pytest.mark.parametrize("role_keys", [False, True])
def test_a_rotation_through_the_vpc_endpoint(tmp_path: Path, *, role_keys: bool) -> None:
    """With the VPC endpoint of ECS, STS is called at its VPC endpoint too, also for the keys of a
    role, and no public host is called."""
    hosts = dict.fromkeys(VPC, "127.0.0.1") | dict.fromkeys(PUBLIC, "127.0.0.2")
    tls = certified(tmp_path / "ca.pem")
    listen = [("127.0.0.1", 443), ("127.0.0.2", 443)]
    with network(tmp_path, hosts, listen, role_keys=role_keys, regions="cn-hangzhou") as client:
        vpc, public = (Service(one, tls, client.made.url) for one in client.namespace.listening)
        with serving(vpc, public):
            client.rotate("--endpoint", "https://ecs-vpc.cn-hangzhou.aliyuncs.com", targets=3)

            assert public.calls == []
            assert ("AssumeRoleWithOIDC" in {call.action for call in vpc.calls}) is role_keys
            assert {call.host for call in vpc.calls} == VPC


def test_a_rotation_over_ipv6_only(tmp_path: Path) -> None:
    """Hosts that have IPv6 addresses only are reached."""
    tls = certified(tmp_path / "ca.pem")
    with network(tmp_path, dict.fromkeys(PUBLIC, "::1"), [("::1", 443)]) as client:
        service = Service(client.namespace.listening[0], tls, client.made.url)
        with serving(service):
            client.rotate()

            assert {call.host for call in service.calls} == PUBLIC
