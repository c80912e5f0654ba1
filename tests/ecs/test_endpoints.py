"""Where calls may go: the service's hosts, loopback, and nothing else."""

import pytest
from alibabacloud_ecs20140526.client import Client as EcsSdk
from alibabacloud_sts20150401.client import Client as StsSdk
from alibabacloud_tea_openapi.models import Config

from rollout.ecs import endpoints
from rollout.errors import ConfigError, Exit
from rollout.model import regions


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
    """A region becomes part of a host name, so it must have that form."""
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
    ],
)
def test_an_emulator_takes_every_region_and_sts(text: str, override: str) -> None:
    """One endpoint for all: that is how a whole program is pointed at an emulator."""
    chosen = endpoints.parse(text)
    assert chosen.ecs("cn-hangzhou") == chosen.ecs("eu-west-1") == chosen.sts() == override
    assert chosen.emulated
    assert chosen.in_clear == override.startswith("http:")
    assert chosen.private == ()


@pytest.mark.parametrize(
    "text, sts",
    [
        ("https://ecs.aliyuncs.com", "https://sts.aliyuncs.com"),
        ("ECS.cn-beijing.aliyuncs.com", "https://sts.aliyuncs.com"),
        ("https://ecs-cn-hangzhou.aliyuncs.com", "https://sts.aliyuncs.com"),
        ("https://ecs-cn-hangzhou.aliyuncs.com:443", "https://sts.aliyuncs.com"),
        ("ecs-vpc.cn-beijing.aliyuncs.com", "https://sts-vpc.cn-beijing.aliyuncs.com"),
        (
            "https://ecs-vpc.cn-shanghai-finance-1.aliyuncs.com",
            "https://sts-vpc.cn-shanghai-finance-1.aliyuncs.com",
        ),
    ],
)
def test_sts_is_asked_at_the_endpoint_of_the_same_kind(text: str, sts: str) -> None:
    """A VPC without a way to the internet reaches STS through its own VPC endpoint."""
    chosen = endpoints.parse(text)
    assert chosen.ecs("eu-west-1") == f"https://{text.removeprefix('https://').lower()}"
    assert chosen.sts() == sts
    assert not chosen.emulated and not chosen.in_clear and chosen.private == ()


def test_every_host_of_the_official_sdks_is_accepted() -> None:
    """All endpoints of the SDKs may be named, for both products."""
    hosts = {endpoints.host(region) for region in regions.KNOWN}
    hosts |= {f"ecs-vpc.{region}.aliyuncs.com" for region in regions.KNOWN}
    hosts |= {f"sts-vpc.{region}.aliyuncs.com" for region in regions.KNOWN}
    hosts |= {f"sts.{region}.aliyuncs.com" for region in regions.KNOWN}
    hosts |= set(EcsSdk(Config(region_id="cn-beijing"))._endpoint_map.values())
    hosts |= set(StsSdk(Config(region_id="cn-beijing"))._endpoint_map.values())
    for name in hosts:
        product: endpoints.Product = "sts" if name.startswith("sts") else "ecs"
        assert endpoints.address(name, product) == f"https://{name}"


TENANTS = (
    "1234567890123456.cn-hangzhou.fc.aliyuncs.com",
    "ecs.cn-hangzhou.fc.aliyuncs.com",
    "ecs.oss-cn-hangzhou.aliyuncs.com",
    "ecs-vpc.oss-cn-hangzhou.aliyuncs.com",
    "bucket.oss-cn-hangzhou.aliyuncs.com",
    "ecs.oss-accelerate.aliyuncs.com",
    "ecs.cn-hangzhou.log.aliyuncs.com",
    "ecs.mns.cn-hangzhou.aliyuncs.com",
    "x.ecs.cn-hangzhou.aliyuncs.com",
    "ecs-evil.aliyuncs.com",
    "evil.aliyuncs.com",
    "oss-cn-hangzhou.aliyuncs.com",
    "sts.aliyuncs.com",
)


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("name", TENANTS)
def test_hosts_of_tenants_and_other_products_are_no_endpoints(name: str, *, private: bool) -> None:
    """Anybody can have a function or a bucket below the service's domain, and would receive tokens
    there."""
    with pytest.raises(ConfigError, match="is not a host of ECS"):
        endpoints.address(f"https://{name}", private=private)


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "http://ecs.aliyuncs.com",
        "http://127.0.0.1.evil.example",
        "http://ecs.corp.example",
        "https://ecs.aliyuncs.com.evil.example",
        "https://evilaliyuncs.com",
        "https://aliyuncs.com",
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
def test_any_other_endpoint_is_a_configuration_error(text: str, *, private: bool) -> None:
    """Plain http off loopback, look-alikes, paths and passwords end with 78 and a cure."""
    with pytest.raises(ConfigError) as raised:
        endpoints.address(text, private=private)
    assert (raised.value.exit, raised.value.problems[0].code) == (Exit.CONFIG, "R0010")
    assert raised.value.problems[0].help
    assert "hunter2" not in str(raised.value)


def test_a_private_cloud_must_be_allowed() -> None:
    """Another domain is an endpoint only if explicitly allowed, and STS is then on that host."""
    with pytest.raises(ConfigError, match="private cloud"):
        endpoints.address("https://ecs.cloud.corp.example")
    chosen = endpoints.Endpoints(endpoints.address("ecs.cloud.corp.example", private=True))
    assert chosen.sts() == chosen.ecs("cn-qd-d01") == "https://ecs.cloud.corp.example"
    assert chosen.private == ("ecs.cloud.corp.example",)
    sts = endpoints.address("sts.cloud.corp.example", "sts", private=True)
    assert endpoints.Endpoints(chosen.override, sts).sts() == "https://sts.cloud.corp.example"


def test_without_an_override_identity_is_asked_of_sts() -> None:
    """GetCallerIdentity belongs to another product with a host of its own."""
    assert endpoints.Endpoints().sts() == "https://sts.aliyuncs.com"
    assert not endpoints.Endpoints().emulated


@pytest.mark.parametrize(
    "endpoint, region",
    [
        ("https://sts-vpc.cn-beijing.aliyuncs.com", ("cn-beijing", True)),
        ("https://sts.cn-beijing.aliyuncs.com", ("cn-beijing", False)),
        ("https://sts.aliyuncs.com", ("", False)),
        ("http://127.0.0.1:8473", ("", False)),
        ("https://sts.cloud.example", ("", False)),
    ],
)
def test_the_region_of_an_sts_endpoint(endpoint: str, region: tuple[str, bool]) -> None:
    """Only hosts of the service have a region, which its other clients need."""
    assert endpoints.sts_region(endpoint) == region
