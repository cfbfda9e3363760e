"""Invocations through a proxy and TLS, each a process of its own; only environment variables say so."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from standins.processes import running

from skyfan.aws.connection import endpoint
from skyfan.aws.sender import Admission, Sender
from skyfan.aws.signing import Credentials
from skyfan.engine import AwsOptions, Call

USER = "anna:s%25t"
NUMBER = 20


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ca.pem and server.pem, which ca.pem signed for 127.0.0.1."""
    folder, ca = tmp_path_factory.mktemp("tls"), trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return folder


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    """A Lambda endpoint without TLS."""
    with running("lambda_endpoint") as url:
        yield url


@pytest.fixture(scope="module")
def secure(plain: str, certificates: Path) -> Iterator[str]:
    """The same endpoint behind TLS."""
    pem = str(certificates / "server.pem")
    with running("http_proxy", "--tls-for", plain, "--certificate", pem) as url:
        yield url


@pytest.fixture(scope="module")
def proxy() -> Iterator[str]:
    """A proxy that wants a user and a password."""
    with running("http_proxy", "--user", USER.replace("%25", "%")) as url:
        yield url


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")


def send(url: str, patience_s: float = 30.0) -> tuple[Sender, int]:
    """Sends NUMBER files to an endpoint; the sender, and how many files it accepted."""
    accepted: list[str] = []

    async def work() -> Sender:
        sender = Sender(
            endpoint(),
            Credentials(),
            AwsOptions(connections=4, timeout_s=5.0, patience_s=patience_s),
            admission=Admission(),
            on_accepted=lambda some: accepted.extend(uri for call, _, _ in some for uri in call.uris),
            on_tick=lambda: None,
        )
        await sender.run(Call("skyfan-F", (f"s3://b/{at}",), b"{}") for at in range(NUMBER))
        return sender

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        sender = asyncio.run(work())
    return sender, len(accepted)


def forwarded(proxy: str) -> list[str]:
    """The first lines of the requests that a proxy forwarded so far."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{proxy}/requests", timeout=30) as answer:
        lines: list[str] = json.load(answer)
    return lines


def with_user(proxy: str, user: str = USER) -> str:
    return proxy.replace("//", f"//{user}@")


def test_plain_http_goes_through_the_proxy(plain: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", with_user(proxy))
    before = len(forwarded(proxy))
    sender, accepted = send(plain)
    assert (accepted, sender.stopped) == (NUMBER, "")
    path = f"{plain}/2015-03-31/functions/skyfan-F/invocations"
    assert forwarded(proxy)[before:] == [f"POST {path}"] * NUMBER


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "ca_bundle"])
def test_tls_goes_through_a_tunnel_and_trusts_the_bundle(
    secure: str,
    proxy: str,
    certificates: Path,
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    bundle = str(certificates / "ca.pem")
    if variable == "ca_bundle":
        (tmp_path / "config").write_text(f"[default]\nca_bundle = {bundle}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    else:
        monkeypatch.setenv(variable, bundle)
    monkeypatch.setenv("HTTPS_PROXY", with_user(proxy))
    before = len(forwarded(proxy))
    sender, accepted = send(secure)
    assert (accepted, sender.stopped) == (NUMBER, "")
    assert set(forwarded(proxy)[before:]) == {f"CONNECT {secure.removeprefix('https://')}"}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_proxy_itself_may_want_tls(
    plain: str, secure: str, certificates: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates / "ca.pem"))
    with running("http_proxy", "--certificate", str(certificates / "server.pem")) as url:
        monkeypatch.setenv(f"{scheme}_proxy", url)
        sender, accepted = send(secure if scheme == "https" else plain)
    assert url.startswith("https:")
    assert (accepted, sender.stopped) == (NUMBER, "")


def test_no_proxy_goes_past_it(secure: str, certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates / "ca.pem"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", secure.removeprefix("https://"))
    assert send(secure)[1] == NUMBER


@pytest.mark.parametrize("user", ["", "anna:wrong@"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_another_user_ends_it_and_is_named(
    plain: str,
    secure: str,
    proxy: str,
    certificates: Path,
    scheme: str,
    user: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates / "ca.pem"))
    monkeypatch.setenv(f"{scheme}_proxy", proxy.replace("//", f"//{user}"))
    sender, accepted = send(secure if scheme == "https" else plain)
    assert accepted == 0
    assert sender.stopped.startswith(f"the proxy {proxy} ({scheme.upper()}_PROXY)")
    assert "USER:PASSWORD@" in sender.stopped
    assert "wrong" not in sender.stopped


def test_an_untrusted_certificate_ends_it_and_names_the_variable(
    secure: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", with_user(proxy))
    sender, accepted = send(secure)
    assert accepted == 0
    assert secure in sender.stopped
    assert proxy in sender.stopped
    assert "AWS_CA_BUNDLE" in sender.stopped


@pytest.mark.parametrize(
    ("address", "upstream"),
    [("http://127.0.0.1:1", "https://127.0.0.1:2"), ("", "https://127.0.0.1:2")],
    ids=["no proxy there", "no endpoint behind it"],
)
def test_a_way_that_may_open_again_is_waited_for_and_then_named(
    proxy: str, address: str, upstream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address or with_user(proxy))
    sender, accepted = send(upstream, patience_s=0.5)
    assert accepted == 0
    assert sender.counts.broken > 1
    assert f"the proxy {address or proxy}" in sender.stopped
