"""Where calls may go: the service's hosts, loopback, and nothing else."""

import pytest

from rollout.ecs import endpoints
from rollout.errors import ConfigError, Exit


@pytest.mark.parametrize(
    "region, host",
    [
        ("cn-beijing", "ecs.cn-beijing.aliyuncs.com"),
        ("eu-central-1", "ecs.eu-central-1.aliyuncs.com"),
        ("cn-hangzhou", "ecs-cn-hangzhou.aliyuncs.com"),
        ("cn-shenzhen-finance-1", "ecs-cn-hangzhou.aliyuncs.com"),
        ("cn-north-2-gov-1", "ecs.aliyuncs.com"),
        ("cn-wuhan", "ecs.aliyuncs.com"),
    ],
)
def test_regions_have_the_hosts_of_the_official_sdk(region: str, host: str) -> None:
    """The rule, and the entries of the SDK's map that deviate from it."""
    assert endpoints.Endpoints().ecs(region) == f"https://{host}"


def test_no_region_can_smuggle_a_host() -> None:
    """A region becomes part of a host name, so it must look like one."""
    for region in ("x.evil.example/", "", "cn_hangzhou", "CN-HANGZHOU", "a@b", "a" * 50):
        with pytest.raises(ConfigError):
            endpoints.host(region)


@pytest.mark.parametrize(
    "text, override",
    [
        ("http://127.0.0.1:8473", "http://127.0.0.1:8473"),
        ("http://127.0.0.1:8473/", "http://127.0.0.1:8473"),
        ("127.0.0.1:8473", "http://127.0.0.1:8473"),
        ("localhost:1", "http://localhost:1"),
        ("http://[::1]:8473", "http://[::1]:8473"),
        ("https://127.0.0.1:8443", "https://127.0.0.1:8443"),
        ("https://ecs-vpc.cn-beijing.aliyuncs.com", "https://ecs-vpc.cn-beijing.aliyuncs.com"),
        ("ECS.cn-beijing.aliyuncs.com", "https://ecs.cn-beijing.aliyuncs.com"),
    ],
)
def test_an_override_takes_every_region_and_sts(text: str, override: str) -> None:
    """One endpoint for all: that is how a whole program is pointed at an emulator."""
    chosen = endpoints.parse(text)
    assert chosen.ecs("cn-hangzhou") == chosen.ecs("eu-west-1") == chosen.sts() == override
    assert chosen.emulated == ("aliyuncs" not in text)


@pytest.mark.parametrize(
    "text",
    [
        "http://ecs.aliyuncs.com",
        "http://127.0.0.1.evil.example",
        "https://127.evil.example",
        "https://evil.example",
        "https://ecs.aliyuncs.com.evil.example",
        "https://evilaliyuncs.com",
        "https://user:hunter2@ecs.aliyuncs.com",
        "https://ecs.aliyuncs.com/path",
        "https://ecs.aliyuncs.com?x=1",
        "https://ecs.aliyuncs.com#x",
        "ftp://127.0.0.1",
        "https://",
        "https://ecs.aliyuncs.com:99999",
        "ecs aliyuncs.com",
        "https://ecs..aliyuncs.com",
        "https://.aliyuncs.com",
        f"https://{'a' * 64}.aliyuncs.com",
        "",
    ],
)
def test_any_other_endpoint_is_a_configuration_error(text: str) -> None:
    """Plain http off loopback, foreign domains, paths and passwords end with 78 and a cure."""
    with pytest.raises(ConfigError) as raised:
        endpoints.parse(text)
    assert (raised.value.exit, raised.value.problems[0].code) == (Exit.CONFIG, "R0010")
    assert raised.value.problems[0].help
    assert "hunter2" not in str(raised.value)


def test_without_an_override_identity_is_asked_of_sts() -> None:
    """GetCallerIdentity belongs to another product with a host of its own."""
    assert endpoints.Endpoints().sts() == "https://sts.aliyuncs.com"
    assert not endpoints.Endpoints().emulated
