"""Sources of keys that the official library reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from rollout.ecs import credential_sources, vendor
from rollout.ecs.credentials import Credentials, KeysUnavailableError, Source
from rollout.ecs.external import Printed
from rollout.errors import AccessError, Exit

HTTPS_PROXY = {"HTTPS_PROXY": "http://p:1"}
VPC_STS_HOST = "sts-vpc.cn-beijing.aliyuncs.com"
VPC_STS = {
    "ALIBABA_CLOUD_STS_REGION": "cn-beijing",
    "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED": "true",
}
SECRET = "canary-secret-of-the-profile"


def _home(tmp_path: Path, *profiles: dict[str, str], current: str = "one") -> dict[str, str]:
    folder = tmp_path / ".aliyun"
    folder.mkdir()
    text = json.dumps({"current": current, "profiles": list(profiles)})
    (folder / "config.json").write_text(text)
    return {"HOME": str(tmp_path), "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}


def _keys(name: str, mode: str = "AK") -> dict[str, str]:
    return {
        "name": name,
        "mode": mode,
        "access_key_id": f"id-{name}",
        "access_key_secret": SECRET,
        "sts_token": f"token-{name}",
    }


def _profile(name: str, environment: Mapping[str, str]) -> Source:
    return credential_sources.choose(environment, name)


def _id(found: Credentials) -> str:
    return found.access_key_id


def test_a_named_profile_is_the_only_source(tmp_path: Path) -> None:
    """`--profile two` takes the keys of profile two, whatever the current one is."""
    environment = _home(tmp_path, _keys("one"), _keys("two"))
    source = _profile("two", environment)
    assert _id(source.fetch(0)) == "id-two"
    assert source.name == "profile two (AK)"


def test_a_token_comes_along_and_is_fetched_again(tmp_path: Path) -> None:
    """Keys of mode StsToken have their token and an expiry, so that they are fetched again."""
    source = _profile("one", _home(tmp_path, _keys("one", "StsToken")))
    found = source.fetch(1_000)
    assert found.token is not None
    assert found.token.reveal() == "token-one"
    assert found.expires_at == 1_000 + vendor.TOKEN_LIFE_MS


@pytest.mark.parametrize(
    "token,expiration,expected",
    [
        ("t", 5_000, 5_000_000),
        ("t", None, 1_000 + vendor.TOKEN_LIFE_MS),
        ("t", 0, 1_000 + vendor.TOKEN_LIFE_MS),
        (None, 5_000, 5_000_000),
        (None, None, 0),
    ],
)
def test_keys_last_as_long_as_their_provider_says(
    token: str | None, expiration: int | None, expected: int
) -> None:
    """The expiry is the provider's own, in seconds there. A token without one has a short life, so
    that it is fetched again; keys without token and expiry do not expire.
    """

    class Provider:
        def get_credentials(self) -> Printed:
            return Printed("id", "secret", token, expiration)

    found = vendor.VendorSource("x", lambda _: Provider()).fetch(1_000)

    assert found.expires_at == expected


def test_the_current_profile_is_the_default(tmp_path: Path) -> None:
    """With nothing named the CLI's current profile is used, or the one a variable names."""
    environment = _home(tmp_path, _keys("one"), _keys("two"))
    assert _id(credential_sources.choose(environment).fetch(0)) == "id-one"
    named = environment | {"ALIBABA_CLOUD_PROFILE": "two"}
    chain = credential_sources.choose(named)
    assert _id(chain.fetch(0)) == "id-two"
    assert chain.name == "profile two (AK)"


@pytest.mark.parametrize("mode", ["BearerToken", "Anonymous"])
def test_an_unsupported_mode_names_itself(tmp_path: Path, mode: str) -> None:
    """A mode the library does not read is refused by name, exit 4."""
    environment = _home(tmp_path, _keys("one", mode))
    with pytest.raises(AccessError, match=mode) as caught:
        _profile("one", environment)
    assert caught.value.problems[0].code == "R0406"
    assert caught.value.exit is Exit.DENIED


def test_no_source_at_all_says_what_to_do(tmp_path: Path) -> None:
    """Nothing configured: R0401 with a cure, exit 4."""
    environment = {"HOME": str(tmp_path), "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}
    with pytest.raises(AccessError, match="no credentials") as caught:
        credential_sources.choose(environment).fetch(0)
    assert caught.value.exit is Exit.DENIED
    assert "aliyun configure" in str(caught.value.problems[0].help)


def test_the_librarys_errors_have_our_messages(tmp_path: Path) -> None:
    """A failing source reports its kind of error, never a secret, and no chained traceback."""
    expired = {
        "name": "one",
        "mode": "CloudSSO",
        "cloud_sso_sign_in_url": "https://signin.example/login",
        "cloud_sso_account_id": "1",
        "cloud_sso_access_config": "ac-1",
        "access_token": SECRET,
    }
    source = _profile("one", _home(tmp_path, expired))
    with pytest.raises(AccessError) as caught:
        source.fetch(0)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert SECRET not in str(caught.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """A private key or a token file that is not there: its path, and what is wrong with it."""
    key = {"name": "one", "mode": "RsaKeyPair", "key_pair_name": "p", "private_key": "/gone.pem"}
    with pytest.raises(AccessError, match=r"/gone.pem cannot be read \(No such file") as caught:
        _profile("one", _home(tmp_path, key)).fetch(0)
    assert caught.value.problems[0].code == "R0402"


def test_a_missing_profile_is_refused(tmp_path: Path) -> None:
    """A profile that is not there is R0401, naming the file."""
    with pytest.raises(AccessError, match="no profile three"):
        _profile("three", _home(tmp_path, _keys("one")))


@pytest.mark.parametrize(
    "environment,seen",
    [
        ({}, {}),
        ({"HTTPS_PROXY": "http://p:1"}, {"HTTPS_PROXY": "http://p:1"}),
        ({"https_proxy": "http://p:1"}, {"HTTPS_PROXY": "http://p:1"}),
        ({"ALL_PROXY": "http://p:1"}, {"HTTPS_PROXY": "http://p:1"}),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".aliyuncs.com"}, {}),
        ({"HTTP_PROXY": "http://p:1", "http_proxy": "http://p:2"}, {}),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "sts.aliyuncs.com", **VPC_STS}, HTTPS_PROXY),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": VPC_STS_HOST, **VPC_STS}, {}),
    ],
)
def test_credential_services_are_reached_by_the_same_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], seen: dict[str, str]
) -> None:
    """The library reads fewer variables than we do, and would ask a proxy for the metadata service:
    it sees what the transport uses, and the environment stays as it was.
    """
    read = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy")
    names = (*read, "ALL_PROXY", "NO_PROXY", *VPC_STS)
    for name in (*names, "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    found: dict[str, str] = {}

    class Provider:
        def get_credentials(self) -> Printed:
            found.update({name: os.environ[name] for name in read if name in os.environ})
            return Printed("id", "secret", None)

    vendor.VendorSource("x", lambda _: Provider()).fetch(0)

    assert found == seen
    assert {name: os.environ[name] for name in names if name in os.environ} == environment


@pytest.mark.parametrize(
    "endpoint,given,left",
    [
        (f"https://{VPC_STS_HOST}", {}, VPC_STS),
        (
            "https://sts.cn-beijing.aliyuncs.com",
            {},
            VPC_STS | {"ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED": "false"},
        ),
        ("https://sts-vpc.cn-hangzhou.aliyuncs.com", VPC_STS, VPC_STS),
        ("https://sts.aliyuncs.com", {}, {}),
        ("http://127.0.0.1:8473", {}, {}),
    ],
)
def test_roles_get_their_keys_at_the_same_sts(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, given: dict[str, str], left: dict[str, str]
) -> None:
    """The library learns a regional endpoint by its own variables, which win where they are set."""
    for name in VPC_STS:
        monkeypatch.setenv(name, "")  # so that it is restored afterwards
        monkeypatch.delenv(name)
    for name, text in given.items():
        monkeypatch.setenv(name, text)

    vendor.use_sts(endpoint)

    assert {name: os.environ[name] for name in VPC_STS if name in os.environ} == left


@pytest.mark.parametrize(
    "caused_by,words,check",
    [
        ("SSLError('[SSL: CERTIFICATE_VERIFY_FAILED]')", "certificate is not valid", "NO_PROXY"),
        ("ProxyError('Tunnel connection failed: 407 x')", "refused the login", "HTTPS_PROXY"),
        ("ProxyError('Tunnel connection failed: 403 x')", "proxy refused to connect", "allow"),
        ("ProxyError('Unable to connect')", "proxy cannot be reached", "HTTPS_PROXY"),
        ("NameResolutionError('sts')", "host name was not found", "name resolution"),
        ("SSLError('handshake')", "TLS handshake failed", "network"),
        ("NewConnectionError('Connection refused')", "connection was refused", "running"),
    ],
)
def test_a_failed_connection_names_its_cause(caused_by: str, words: str, check: str) -> None:
    """The library calls every failed connection RetryError, and its text has the signed URL. Only a
    certificate that is not valid is no temporary failure.
    """

    class Provider:
        def get_credentials(self) -> Printed:
            raise RetryError(f"Max retries exceeded with url: /?OIDCToken={SECRET} ({caused_by})")

    class RetryError(Exception):
        pass

    with pytest.raises(AccessError) as caught:
        vendor.VendorSource("OIDC role", lambda _: Provider()).fetch(0)
    (problem,) = caught.value.problems

    assert words in problem.message and check in str(problem.help)
    assert SECRET not in f"{problem.message} {problem.help}"
    assert isinstance(caught.value, KeysUnavailableError) == ("CERTIFICATE" not in caused_by)


@pytest.mark.parametrize(
    "text,code",
    [
        ('http_code: 503, result: {"Code": "ServiceUnavailable"}', "R0411"),
        ('http_code: 400, result: {"Code": "Throttling.User"}', "R0411"),
        ("http_code: 429, result: slow down", "R0411"),
        ('http_code: 403, result: {"Code": "NoPermission"}', ""),
        ('http_code: 404, result: {"Code": "EntityNotExist.Role"}', ""),
        ("unable to load original credentials", ""),
    ],
)
def test_only_a_refusal_of_the_credential_service_is_final(text: str, code: str) -> None:
    """A service that is busy or has failed is a temporary error with its own code and exit 1. A
    refusal is R0402 with exit 4.
    """

    class CredentialException(Exception):
        pass

    class Provider:
        def get_credentials(self) -> Printed:
            raise CredentialException(f"error refreshing credentials, {text}")

    with pytest.raises(AccessError) as caught:
        vendor.VendorSource("OIDC role", lambda _: Provider()).fetch(0)
    (problem,) = caught.value.problems

    assert isinstance(caught.value, KeysUnavailableError) == bool(code)
    assert problem.code == (code or "R0402")
    assert caught.value.exit is (Exit.FAILED if code else Exit.DENIED)


@pytest.mark.parametrize("code", ["InvalidTimeStamp.Expired", "InvalidTimeStamp.Future"])
def test_a_refused_signing_time_names_the_clock(code: str) -> None:
    """The library signs with the time of this machine: the error says that its clock may be wrong
    and how to set it. A wrong clock does not correct itself, so the error is final.
    """

    class CredentialException(Exception):
        pass

    class Provider:
        def get_credentials(self) -> Printed:
            raise CredentialException(f'failed, http_code: 400, result: {{"Code":"{code}"}}')

    with pytest.raises(AccessError) as caught:
        vendor.VendorSource("profile prod", lambda _: Provider()).fetch(0)
    (problem,) = caught.value.problems

    assert not isinstance(caught.value, KeysUnavailableError)
    assert problem.code == "R0402"
    assert f"(HTTP 400 {code}): this machine's clock is wrong" in problem.message
    assert "set this machine's clock" in str(problem.help)


@pytest.mark.parametrize("message", ["Read timed out", "Connection reset by peer"])
def test_a_lost_connection_is_temporary(message: str) -> None:
    """A timeout and any other failed connection of the library is R0410."""

    class RetryError(Exception):
        pass

    class Provider:
        def get_credentials(self) -> Printed:
            raise RetryError(message)

    with pytest.raises(KeysUnavailableError) as caught:
        vendor.VendorSource("OIDC role", lambda _: Provider()).fetch(0)

    assert caught.value.problems[0].code == "R0410"
