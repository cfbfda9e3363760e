"""What Lambda says of a stack's functions, over HTTP: it counts, or a line says what is used instead."""

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pytest

from skyfan import template
from skyfan.api import bills
from skyfan.aws import stack as stacks
from skyfan.aws.stack import Stack, deployed
from skyfan.errors import UsageError
from skyfan.plans import plan as plans
from skyfan.plans.plan import Plan

REPO = Path(__file__).parents[2]
NAMES = ("SepExtract", "SepExtractLarge")
OUTPUTS = {f"{name}{what}": f"skyfan-{name}" for name in NAMES for what in ("Name", "Arn")}
STACK = Stack("skyfan", "us-east-1", OUTPUTS)
DENIED = (403, "AccessDeniedException", {"Message": "is not authorized"})
NONE = (404, "ResourceNotFoundException", {"Message": "no such configuration"})


class Lambda:
    """Answers by operation: a document, or status, error type and document."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "configuration": {
                "MemorySize": 3008,
                "Timeout": 120,
                "Environment": {"Variables": {"SKYFAN_INPUTS": "stpubdata,my-sky"}},
            },
            "event-invoke-config": {"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 3600},
            "concurrency": {},
            "account-settings": {
                "AccountLimit": {"ConcurrentExecutions": 400, "UnreservedConcurrentExecutions": 300}
            },
        }

    def answer(self, path: str) -> tuple[int, str, dict[str, Any]]:
        function, operation = re.findall(r"(?:functions/([^/]+)/)?([\w-]+)/?$", path)[0]
        found = self.answers.get(f"{function}/{operation}", self.answers[operation])
        return found if isinstance(found, tuple) else (200, "", found)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lambda]:
    service = Lambda()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, document = service.answer(self.path)
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if kind:
                self.send_header("x-amzn-ErrorType", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        yield service
        server.shutdown()


def ask(concurrency: int | None = None) -> stacks.Functions:
    return deployed(STACK, template.read(REPO / "template.yaml"), "SepExtract", concurrency)


def test_what_is_deployed_counts_not_the_template(aws: Lambda) -> None:
    aws.answers["skyfan-SepExtractLarge/configuration"] = {"MemorySize": 5120, "Timeout": 900}
    found = ask()
    assert found.memory_mb == {"standard": 3008, "large": 5120}
    standard = found.tiers["standard"]
    assert (standard.name, standard.timeout_s, standard.retries) == ("skyfan-SepExtract", 120.0, 1)
    assert (found.age_s, found.concurrency, found.notices) == (3600.0, 300, ())
    assert standard.inputs == {"stpubdata", "my-sky"}
    assert found.tiers["large"].inputs == frozenset()


def test_the_scarcest_concurrency_counts_and_its_origin_is_named(aws: Lambda) -> None:
    aws.answers["skyfan-SepExtractLarge/concurrency"] = {"ReservedConcurrentExecutions": 20}
    found = ask()
    assert found.concurrency == 20
    assert "skyfan-SepExtractLarge" in found.concurrency_source
    aws.answers["account-settings"]["AccountLimit"]["UnreservedConcurrentExecutions"] = 10  # a new account
    found = ask()
    assert found.concurrency == 10
    assert "account" in found.concurrency_source
    assert ask(77).concurrency == 77
    with pytest.raises(UsageError, match="concurrency"):
        ask(0)


def test_lambda_s_defaults_hold_for_a_function_without_settings_of_its_own(aws: Lambda) -> None:
    aws.answers["event-invoke-config"] = NONE
    found = ask()
    assert (found.tiers["standard"].retries, found.age_s, found.notices) == (2, 21600.0, ())


def test_sam_s_emulator_knows_no_settings_and_the_template_counts(aws: Lambda) -> None:
    aws.answers = dict.fromkeys(aws.answers, (404, "PathNotFoundLocally", {"Type": "LocalService"}))
    found = ask()
    described = template.read(REPO / "template.yaml").function("SepExtractLarge")
    assert found.memory_mb["large"] == described.memory_mb
    assert len(found.notices) == 7  # three of each function, and one of the account


@pytest.mark.parametrize(
    ("operation", "named", "instead"),
    [
        ("configuration", "memory size", "template.yaml"),
        ("event-invoke-config", "event age", "template.yaml"),
        ("concurrency", "reserved", "nothing is taken to be reserved"),
        ("account-settings", "account", "1,000"),
    ],
)
def test_only_want_of_permission_falls_back_and_a_line_says_so(
    aws: Lambda, operation: str, named: str, instead: str
) -> None:
    aws.answers[operation] = DENIED
    found = ask()
    lines = [line for line in found.notices if named in line]
    assert lines
    assert all(instead in line and "not authorized" in line for line in lines)
    if operation == "configuration":
        assert found.memory_mb == {"standard": 512, "large": 1769}
        assert found.tiers["standard"].timeout_s == 300.0
    if operation == "account-settings":
        assert found.concurrency == 1000
        assert "could not be read" in found.concurrency_source


@pytest.mark.parametrize("operation", list(Lambda().answers))
@pytest.mark.parametrize(
    "answer",
    [
        (403, "ExpiredTokenException", {"Message": "the token is expired"}),
        (403, "InvalidSignatureException", {"Message": "the clock is wrong"}),
        (400, "InvalidParameterValueException", {"Message": "no such name"}),
    ],
    ids=lambda answer: str(answer[1]),
)
def test_any_other_failure_is_an_error(aws: Lambda, operation: str, answer: Any) -> None:
    aws.answers[operation] = answer
    with pytest.raises(UsageError, match=answer[2]["Message"]):
        ask()


def test_a_function_that_does_not_exist_is_an_error(aws: Lambda) -> None:
    aws.answers["configuration"] = NONE
    with pytest.raises(UsageError, match="no such configuration"):
        ask()


def test_a_network_that_fails_is_an_error(aws: Lambda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:1"):
        ask()


def test_a_function_that_a_cancel_has_stopped_is_refused(aws: Lambda) -> None:
    aws.answers["skyfan-SepExtract/concurrency"] = {"ReservedConcurrentExecutions": 0}
    with pytest.raises(UsageError, match="skyfan cancel deep --restore"):
        ask().check("deep")
    aws.answers["skyfan-SepExtract/concurrency"] = {"ReservedConcurrentExecutions": 5}
    ask().check("deep")


def plan_of(folder: Path, *sizes: int) -> Plan:
    uris = [f"s3://stpubdata/{at:05}_drz.fits" for at in range(len(sizes))]
    table = pa.table({"uri": uris, "size": sizes, "tier": ["standard"] * len(sizes)})
    return plans.write(folder / "plan.parquet", table, {})


def test_a_plan_is_estimated_for_the_stack(
    aws: Lambda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "find", lambda name, patient: STACK)
    aws.answers["skyfan-SepExtractLarge/configuration"] = {"MemorySize": 5120, "Timeout": 900}
    made, notices = bills.forecast(plan_of(tmp_path, 10**7, 2 * 10**9))
    (memory,) = (text for text in made.assumptions if text.startswith("memory"))
    assert "3008 MB for 1 standard" in memory
    assert "5120 MB for 1 large" in memory
    assert any("300 invocations" in text for text in made.assumptions)
    assert notices == []
    # 100 mosaics of 1 GB take up to 386.5 s each: 10.7 h one after the other, and an event lives one hour.
    _, notices = bills.forecast(plan_of(tmp_path, *[10**9] * 100), concurrency=1)
    assert any("MaximumEventAge" in line and "waves" in line for line in notices)
    _, notices = bills.forecast(plan_of(tmp_path, *[10**9] * 100), concurrency=20)
    assert notices == []


def test_advice_has_the_deployed_time_limits_or_those_of_the_template(
    aws: Lambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "find", lambda name, patient: STACK)
    aws.answers["skyfan-SepExtractLarge/configuration"] = {"MemorySize": 5120, "Timeout": 900}
    assert bills.time_limits("SepExtract", "mine").seconds == {3008: 120.0, 5120: 900.0}
    aws.answers["configuration"] = DENIED
    for stack in ("mine", None):
        limits = bills.time_limits("SepExtract", stack)
        assert limits.seconds == {512: 300.0, 1769: 900.0}
        assert "template.yaml" in limits.source
    assert not bills.time_limits("Unheard", None).seconds


def test_a_plan_without_a_stack_says_what_is_assumed_and_why(tmp_path: Path) -> None:
    made, (notice,) = bills.forecast(plan_of(tmp_path, 10**7))
    assert "credentials" in notice
    assert any("1,000 invocations" in text and "assumed" in text for text in made.assumptions)
    made, _ = bills.forecast(plan_of(tmp_path, 10**7), concurrency=5)
    assert any("5 invocations" in text and "as requested" in text for text in made.assumptions)
