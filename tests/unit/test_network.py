"""Proxies and certificates: the rules of urllib and botocore."""

import os
from pathlib import Path
from unittest import mock

import pytest
import trustme
from botocore.httpsession import ProxyConfiguration
from botocore.utils import get_environ_proxies
from hypothesis import given
from hypothesis import strategies as st

from skyfan import network
from skyfan.errors import UsageError

LAMBDA = "https://lambda.us-east-1.amazonaws.com"
HTTPS = "the proxy http://office:3128 (HTTPS_PROXY)"


@pytest.mark.parametrize(
    ("variables", "url", "expected"),
    [
        ({}, LAMBDA, None),
        ({"HTTPS_PROXY": "http://office:3128"}, LAMBDA, HTTPS),
        ({"https_proxy": "office:3128"}, LAMBDA, HTTPS),
        ({"HTTPS_PROXY": "http://other:1", "https_proxy": "http://office:3128"}, LAMBDA, HTTPS),
        ({"HTTPS_PROXY": "http://anna:s%25t@office:3128"}, LAMBDA, HTTPS),
        ({"HTTPS_PROXY": "https://office"}, LAMBDA, "the proxy https://office:443 (HTTPS_PROXY)"),
        ({"HTTPS_PROXY": "http://office"}, LAMBDA, "the proxy http://office:80 (HTTPS_PROXY)"),
        ({"HTTPS_PROXY": "http://[::1]:3128"}, LAMBDA, "the proxy http://[::1]:3128 (HTTPS_PROXY)"),
        ({"HTTP_PROXY": "http://office:3128"}, LAMBDA, None),
        ({"HTTP_PROXY": "http://office:3128"}, "http://a:80", "the proxy http://office:3128 (HTTP_PROXY)"),
        ({"HTTPS_PROXY": "http://office:3128", "NO_PROXY": "*"}, LAMBDA, None),
        ({"HTTPS_PROXY": "http://office:3128", "no_proxy": "x, .amazonaws.com"}, LAMBDA, None),
        ({"HTTPS_PROXY": "http://office:3128", "NO_PROXY": "amazonaws.org"}, LAMBDA, HTTPS),
        ({"HTTPS_PROXY": "http://office:3128", "NO_PROXY": "here:9"}, "https://here:9", None),
        ({"HTTPS_PROXY": "http://office:3128", "NO_PROXY": "here:9"}, "https://here:8", HTTPS),
        ({"ALL_PROXY": "socks5://x", "HTTPS_PROXY": "http://office:3128"}, LAMBDA, HTTPS),
        ({"ALL_PROXY": "socks5://x", "NO_PROXY": "*"}, LAMBDA, None),
    ],
)
def test_the_proxy_of_a_url(variables: dict[str, str], url: str, expected: str | None) -> None:
    with mock.patch.dict(os.environ, variables):
        found = network.proxy(url)
    assert (found and str(found)) == expected


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"HTTPS_PROXY": "socks5://anna:secret@office:1080"}, "HTTPS_PROXY names socks5://office:1080"),
        ({"HTTPS_PROXY": "http://office:port"}, "HTTPS_PROXY names http://office:port"),
        ({"HTTPS_PROXY": "http://:3128"}, "HTTPS_PROXY names http://:3128"),
        ({"ALL_PROXY": "http://anna:secret@office:3128"}, "ALL_PROXY is set but HTTPS_PROXY is not"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(
    variables: dict[str, str], named: str
) -> None:
    with mock.patch.dict(os.environ, variables), pytest.raises(UsageError) as refusal:
        network.proxy(LAMBDA)
    assert named in str(refusal.value)
    assert "secret" not in str(refusal.value)


_HOSTS = st.sampled_from(["lambda.eu-west-1.amazonaws.com", "127.0.0.1:4566", "localhost", "10.0.0.7"])
_PROXIES = st.sampled_from(["", "office:3128", "http://office:3128", "https://anna:s%25t@office:443"])
_DIRECT = st.lists(
    st.sampled_from(["amazonaws.com", ".amazonaws.com", "127.0.0.1", "127.0.0.1:4566", "10.0.0.0/8", "*", ""])
)
_NAMES = st.sampled_from(["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"])


@given(st.sampled_from(["http", "https"]), _HOSTS, st.dictionaries(_NAMES, _PROXIES), _DIRECT)
def test_the_proxy_is_botocores(scheme: str, host: str, proxies: dict[str, str], direct: list[str]) -> None:
    url = f"{scheme}://{host}"
    with mock.patch.dict(os.environ, {**proxies, "NO_PROXY": ",".join(direct)}):
        found = network.proxy(url)
        configuration = ProxyConfiguration(get_environ_proxies(url))
        expected = configuration.proxy_url_for(url)
    assert (found and found.url) == (expected or None)
    if found and expected:
        wanted = configuration.proxy_headers_for(expected).get("Proxy-Authorization", "")
        assert found.authorization == wanted


def test_certificates_are_those_that_the_first_variable_names(tmp_path: Path) -> None:
    names = [*network.AWS, "profile"]
    paths = {name: tmp_path / name for name in names}
    for path in paths.values():
        path.touch()
    variables = {name: str(path) for name, path in paths.items() if name != "profile"}
    with mock.patch.dict(os.environ, variables):
        assert network.bundle(network.AWS, str(paths["profile"])) == paths["AWS_CA_BUNDLE"]
        assert network.bundle(network.MAST) == paths["REQUESTS_CA_BUNDLE"]
        del os.environ["AWS_CA_BUNDLE"]
        assert network.bundle(network.AWS, str(paths["profile"])) == paths["profile"]
        assert network.bundle(network.AWS) == paths["REQUESTS_CA_BUNDLE"]
        del os.environ["REQUESTS_CA_BUNDLE"]
        assert network.bundle(network.AWS) == paths["SSL_CERT_FILE"]
    assert network.bundle(network.AWS) is None


def test_a_bundle_that_is_no_file_of_certificates_is_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pem", tmp_path):
        with (
            mock.patch.dict(os.environ, {"AWS_CA_BUNDLE": str(path)}),
            pytest.raises(UsageError, match=rf"AWS_CA_BUNDLE names {path}"),
        ):
            network.bundle(network.AWS)
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    for use in (network.tls, lambda path: network.storage_options(LAMBDA, path)):
        with pytest.raises(UsageError, match=str(empty)):
            use(empty)


def test_obstore_gets_the_same_proxy_and_certificates(tmp_path: Path) -> None:
    path, pem = tmp_path / "ca.pem", trustme.CA().cert_pem.bytes()
    path.write_bytes(pem)
    assert network.storage_options(LAMBDA, None) == {"allow_http": False}
    assert network.storage_options("http://a", path) == {"allow_http": True, "root_certificate": pem}
    with mock.patch.dict(os.environ, {"HTTPS_PROXY": "anna:s%25t@office:1", "NO_PROXY": "127.0.0.1:9"}):
        assert network.storage_options(LAMBDA, None)["proxy_url"] == "http://anna:s%25t@office:1"
        assert network.storage_options("https://127.0.0.1:9", None)["proxy_excludes"] == "127.0.0.1"
