"""What commands say where credentials, configuration or AWS are not as they should be.

The clients are real; a server answers with errors.

`pytest -s tests/contract/test_situations.py` prints the table.
"""

import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from skyfan.cli import main
from skyfan.storage import s3

S3 = ("status", "r", "--output", "s3://bucket")
STACK = ("status", "r", "--stack", "mine")
KEYS = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "sesame"}
START = "sso_start_url = https://x.awsapps.com/start\nsso_region = us-east-1\n"
ROLE = "sso_account_id = 1\nsso_role_name = r\n"
ASSUME = "role_arn = arn:aws:iam::1:role/r\nsource_profile ="


class Server(NamedTuple):
    url: str
    answers: list[tuple[int, str]]
    headers: dict[str, str]
    """Of each answer."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Answers each request with the last of `answers`."""
    answers: list[tuple[int, str]] = []
    headers: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            status, text = answers[-1]
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text.encode())

        do_GET = do_POST = do_HEAD = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield Server(f"http://127.0.0.1:{running.server_port}", answers, headers)
        running.shutdown()
        thread.join()


def said(server: Server, words: tuple[str, ...]) -> str:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    message = result.output.strip()
    for word in ("Traceback", "Debug", "RetryError", "botocore.", "sesame", "--access signed"):
        assert word not in message
    assert message.count("\n") <= 1
    return message


CONFIGURED: dict[str, tuple[dict[str, str], str, str]] = {
    "no credentials": ({}, "", "aws configure"),
    "no such profile": ({"AWS_PROFILE": "nobody"}, "", "nobody"),
    "half of the keys": ({"AWS_ACCESS_KEY_ID": "A"}, "", "incomplete"),
    "half of the keys in the file": ({}, "[default]\naws_access_key_id = A\n", "incomplete"),
    "source_profile is not there": (
        {},
        f"[default]\n{ASSUME} gone\n",
        "gone",
    ),
    "profiles in a circle": ({}, f"[default]\n{ASSUME} b\n[profile b]\n{ASSUME} default\n", "configuration"),
    "credential_process fails": (
        {},
        f"[default]\ncredential_process = {sys.executable} -c 1/0\n",
        "credential_process",
    ),
    "credential_process is not there": (
        {},
        "[default]\ncredential_process = /nowhere/keys\n",
        "credential_process",
    ),
    "SSO, never signed in": ({}, f"[default]\n{START}{ROLE}", "aws sso login"),
    "SSO session, never signed in": (
        {},
        f"[default]\nsso_session = s\n{ROLE}[sso-session s]\n{START}",
        "aws sso login",
    ),
    "aws login": ({}, "[default]\nlogin_session = arn:aws:iam::1:user/u\n", "aws login|botocore\\[crt\\]"),
    "a file that is no configuration": (KEYS, "region: here\n", "configuration"),
    "no region of AWS": ({**KEYS, "AWS_REGION": "us east"}, "", "AWS_REGION"),
    "an endpoint without a scheme": ({**KEYS, "AWS_ENDPOINT_URL": "localhost:9000"}, "", "localhost:9000"),
    "no certificates": ({**KEYS, "AWS_CA_BUNDLE": "/nowhere.pem"}, "", "AWS_CA_BUNDLE"),
    "a proxy that is not HTTP": ({**KEYS, "HTTPS_PROXY": "socks5://p:1"}, "", "HTTPS_PROXY"),
}


@pytest.mark.parametrize("words", [S3, pytest.param(STACK, marks=pytest.mark.slow)], ids=["S3", "stack"])
@pytest.mark.parametrize("name", CONFIGURED)
def test_what_is_wrong_here(
    name: str, words: tuple[str, ...], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, config, expected = CONFIGURED[name]
    (tmp_path / "config").write_text(config)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    if not {"HTTPS_PROXY", "ALL_PROXY", "AWS_REGION"} & set(variables):
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    server.answers.append((400, ""))
    message = said(server, words)
    print(f"\n{name:36} {message}")
    assert re.search(expected, message), message


ANSWERED = {
    "InvalidAccessKeyId": (403, "aws configure"),
    "InvalidClientTokenId": (403, "aws configure"),
    "SignatureDoesNotMatch": (403, "secret key"),
    "RequestTimeTooSkewed": (403, "clock"),
    "ExpiredToken": (400, "sign in again"),
    "AuthorizationHeaderMalformed": (400, "eu-west-1"),
    "AccessDenied": (403, "permission"),
    "OptInRequired": (403, "not ready"),
    "Unheard": (400, "expecting 'eu-west-1'"),
}


@pytest.mark.slow
@pytest.mark.parametrize("words", [S3, STACK], ids=["S3", "stack"])
@pytest.mark.parametrize("code", ANSWERED)
def test_what_aws_answers(
    code: str, words: tuple[str, ...], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, expected = ANSWERED[code]
    for key, value in {**KEYS, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(key, value)
    error = f"<Code>{code}</Code><Message>said: expecting 'eu-west-1'</Message>"
    server.answers.append(
        (
            status,
            f"<Error>{error}</Error>"
            if words is S3
            else f"<ErrorResponse><Error>{error}</Error></ErrorResponse>",
        )
    )
    message = said(server, words)
    print(f"\n{code:36} {message}")
    assert expected in message
    assert "said" in message


@pytest.mark.parametrize("region", ["eu-west-1", ""])
def test_a_redirect_without_a_body_names_the_region_that_its_header_has(
    region: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in {**KEYS, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setitem(server.headers, "x-amz-bucket-region", region)
    server.answers.append((301, ""))
    s3._region_of.cache_clear()
    for words in (S3, ("plan", "s3://bucket/p/"), ("plan", "s3://bucket/a.fits")):
        message = said(server, words)
        print(f"\n{'PermanentRedirect':36} {message}")
        assert f"it is in another region{', ' if region else ''}{region}: set AWS_REGION" in message
