"""The tables of docs/permissions.md: every cell by IAM's logic, and every request that the commands make."""

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, unquote

import access
import boto3
import pytest
from botocore import xform_name
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from standins import cloud, iam

from skyfan.cli import main

NAMES = {
    "RESULTS": cloud.RESULTS,
    "FAILURES": cloud.FAILURES,
    "STACK": cloud.STACK,
    "REGION": "us-east-1",
    "ACCOUNT": iam.ACCOUNT,
}


def named(text: str, names: dict[str, str]) -> str:
    return re.sub("|".join(names), lambda found: names[found[0]], text)


@cache
def statements(role: str) -> list[Any]:
    """The policy of a role, in the stack that standins.iam has."""
    if role in access.PEOPLE:
        ours = {**NAMES, "RESULTS": iam.RESULTS, "FAILURES": iam.FAILURES, "STACK": "survey"}
        made: list[Any] = json.loads(named(json.dumps(access.policy(role)), ours))
        return made
    return iam.policies({"StandingQueries": "on"})[role]


@pytest.mark.parametrize("request_", access.REQUESTS, ids=lambda request: request.what)
@pytest.mark.parametrize("role", [*access.ROLES, "SepExtractLarge"])
def test_a_role_may_what_the_table_says(role: str, request_: access.Request) -> None:
    resource = named(
        request_.resource, {**NAMES, "RESULTS": iam.RESULTS, "FAILURES": iam.FAILURES, "STACK": "survey"}
    )
    context = {"s3:prefix": request_.prefix}
    is_listed = role.removesuffix("Large") in request_.roles
    assert iam.allowed(statements(role), request_.action, resource, context) is is_listed


# Requests of Lambda's interface by method and path.
LAMBDA = {
    r"POST .*/invocations": "InvokeFunction",
    r"GET .*/configuration": "GetFunctionConfiguration",
    r"GET .*/event-invoke-config": "GetFunctionEventInvokeConfig",
    r"GET .*/concurrency": "GetFunctionConcurrency",
}


def call_of(method: str, path: str, query: str, target: str, body: bytes) -> tuple[str, str, str]:
    """Action, resource and prefix of a request over HTTP."""
    place = f"us-east-1:{iam.ACCOUNT}"
    if target:
        group = json.loads(body)["logGroupName"]
        return f"logs:{target.rpartition('.')[2]}", f"arn:aws:logs:{place}:log-group:{group}:*", ""
    if "/account-settings" in path:
        return "lambda:GetAccountSettings", "*", ""
    if function := re.match(r"/[-\d]{10}/functions/([^/]+)/", path):
        (name,) = (
            name for form, name in LAMBDA.items() if re.fullmatch(form, f"{method} {path.rstrip('/')}")
        )
        return f"lambda:{name}", f"arn:aws:lambda:{place}:function:{function[1]}", ""
    if path == "/":
        form = parse_qs(body.decode())
        stack = f"arn:aws:cloudformation:{place}:stack/{form['StackName'][0]}/x"
        return f"cloudformation:{form['Action'][0]}", stack, ""
    bucket, _, key = unquote(path).strip("/").partition("/")
    if not key:
        return "s3:ListBucket", f"arn:aws:s3:::{bucket}", parse_qs(query).get("prefix", [""])[0]
    action = {"GET": "GetObject", "HEAD": "GetObject"}.get(method, f"{method.title()}Object")
    return f"s3:{action}", f"arn:aws:s3:::{bucket}/{key}", ""


@contextmanager
def recorded() -> Iterator[list[tuple[str, str, str]]]:
    """The requests that moto's server gets."""
    calls: list[tuple[str, str, str]] = []
    real = DomainDispatcherApplication.__call__

    def listening(self: Any, environ: dict[str, Any], start: Any) -> Any:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        calls.append(call_of(environ["REQUEST_METHOD"], path, query, target, body))
        return real(self, environ, start)

    with patch.object(DomainDispatcherApplication, "__call__", listening):
        yield calls


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A stack in moto, Lambda and its logs included; moto's S3 as an object."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }.items():
        monkeypatch.setenv(name, value)
    with cloud.moto() as (url, s3):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as file:
            file.writestr("empty.py", "")
        for name in cloud.FUNCTIONS:
            boto3.client("lambda").create_function(
                FunctionName=f"{cloud.STACK}-{name}",
                Runtime="python3.13",
                Role=role,
                Handler="empty.handler",
                Code={"ZipFile": code.getvalue()},
            )
            boto3.client("logs").create_log_group(logGroupName=f"/aws/lambda/{cloud.STACK}-{name}")
        yield s3


def statements_of(person: str) -> list[Any]:
    """The policy of somebody for the stack in moto."""
    made: list[Any] = json.loads(named(json.dumps(access.policy(person)), NAMES))
    return made


@pytest.mark.slow
def test_commands_ask_for_what_the_table_grants_and_use_all_of_it(
    backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = [f"s3://stpubdata/hst/public/{name}_flt.fits" for name in "abc"]
    used: dict[str, list[tuple[str, str, str]]] = {person: [] for person in access.PEOPLE}

    def asks(person: str, *words: str) -> None:
        # What it is about is no catalog, so that some commands end with an error: after their requests.
        with recorded() as calls, pytest.raises(SystemExit):
            main.main(args=list(words), prog_name="skyfan")
        assert calls, words
        # A plan looks for sizes in the archive, which is not the stack's.
        used[person] += [call for call in calls if not call[1].startswith("arn:aws:s3:::stpubdata")]

    asks(access.INVOKER, "run", *files, "--engine", "aws", "--run", "r", "--no-wait")
    backend.put_object(cloud.RESULTS, f"runs/r/catalogs/{files[0].removeprefix('s3://')}.cat.fits", b"c")
    now = datetime.now(UTC)
    record = {
        "requestPayload": {"input": files[1], "run": "r"},
        "responsePayload": {"errorType": "StorageError"},
    }
    lambdas = f"aws/lambda/async/{cloud.STACK}-SepExtract/{now:%Y/%m/%d}/{now:%Y-%m-%dT%H.%M.%S}-x"
    backend.put_object(cloud.FAILURES, lambdas, json.dumps(record).encode())
    for words in (["status", "r"], ["runs"], ["collect", "r"]):
        asks(access.READER, *words)
    asks(access.ACCOUNTANT, "costs", "r", "--advise")
    asks(access.ACCOUNTANT, "report", "r")
    asks(access.INVOKER, "retry", "r")
    for name in "bc":
        backend.put_object(
            cloud.RESULTS, f"runs/r/catalogs/stpubdata/hst/public/{name}_flt.fits.cat.fits", b"c"
        )
    asks(access.INVOKER, "cancel", "r")
    criteria = ("--instrument", "WFC3/IR", "--product", "FLT", "--budget", "5USD/month")
    asks(access.INVOKER, "watch", "add", "w", *criteria)
    plan = {
        "uri": files[0],
        "size": 9,
        "etag": "e",
        "tier": "standard",
        "accepted": "2026-11-27T00:00:00.000Z",
    }
    backend.put_object(cloud.RESULTS, f"runs/w/plans/{'0' * 32}.planned", json.dumps(plan).encode())
    asks(access.INVOKER, "retry", "w")
    asks(access.INVOKER, "watch", "pause", "w")
    asks(access.READER, "watch", "list")
    asks(access.READER, "status", "w")

    refused = {
        (person, *call)
        for person, calls in used.items()
        for call in calls
        if not iam.allowed(statements_of(person), call[0], call[1], {"s3:prefix": call[2]})
    }
    assert refused == set(), "requests that the table does not grant"
    everything = {call for calls in used.values() for call in calls}
    unused = {
        (grant.action, resource)
        for grant in access.GRANTS
        for resource in grant.resources
        if grant.action not in ONLY_SOMETIMES
        and not any(
            action == grant.action and iam.matches(arn, named(resource, NAMES))
            for action, arn, _ in everything
        )
    }
    assert unused == set(), "grants that no command uses"


ONLY_SOMETIMES = {
    "cloudformation:DescribeStackEvents",  # of a stack that failed
    "lambda:PutFunctionConcurrency",  # to restore what an earlier version stopped
    "lambda:DeleteFunctionConcurrency",
}


@pytest.mark.slow
def test_the_tables_name_every_operation_of_boto3_in_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of S3 go through obstore, and are recorded above."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    operations = {
        xform_name(name): f"{service}:{name}".replace("lambda:Invoke", "lambda:InvokeFunction")
        for service in ("cloudformation", "lambda", "logs", "sts")
        for name in boto3.client(service).meta.service_model.operation_names
        if name not in ("InvokeAsync", "InvokeWithResponseStream")
    }
    found = set()
    for path in (Path(__file__).parents[2] / "invoke/skyfan").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "value", None)
            if isinstance(name, str) and name in operations:
                found.add(operations[name])
    granted = {grant.action for grant in access.GRANTS if not grant.action.startswith("s3:")}
    assert found - granted == {"sts:GetCallerIdentity"}, "of deploy and doctor, in the table of who deploys"
    assert granted - found == set()
