"""What template.yaml promises on paper: parameters that refuse nonsense, whole functions, silent linters."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import template as generator
from samtranslator.yaml_helper import yaml_parse

from skyfan import template
from skyfan.bill import prices

REPO = Path(__file__).parents[2]
DOCUMENT = yaml_parse((REPO / "template.yaml").read_text(encoding="utf-8"))
PARAMETERS = DOCUMENT["Parameters"]
RESOURCES = DOCUMENT["Resources"]
DASHBOARD = "AWS::CloudWatch::Dashboard"
# The Watcher processes no files, and is not one of them.
FUNCTIONS = {
    name
    for name, item in RESOURCES.items()
    if item["Type"] == "AWS::Serverless::Function" and item.get("Condition") != "KeepsWatches"
}


def refusal(name: str, value: str) -> str | None:
    """What CloudFormation says to a parameter, by its rules: a pattern is for the whole value."""
    rule = PARAMETERS[name]
    told: str = rule.get("ConstraintDescription") or f"must be one of {rule.get('AllowedValues')}"
    good = value in map(str, rule["AllowedValues"]) if "AllowedValues" in rule else True
    if rule["Type"] == "Number":
        number = float(value) if re.fullmatch(r"-?\d+(\.\d+)?", value) else None
        good = good and number is not None
        if number is not None and "MinValue" in rule:
            good = good and rule["MinValue"] <= number <= rule["MaxValue"]
    elif "AllowedPattern" in rule:
        good = good and re.fullmatch(rule["AllowedPattern"], value) is not None
    return None if good else f"Parameter {name} {told}"


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_has_a_good_default_a_limit_and_words(name: str) -> None:
    rule = PARAMETERS[name]
    assert refusal(name, str(rule["Default"])) is None
    assert rule["Description"].endswith(".")
    assert {"AllowedPattern", "AllowedValues", "MinValue"} & rule.keys()
    assert "AllowedValues" in rule or rule["ConstraintDescription"].startswith("must be ")
    groups = DOCUMENT["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert [group["Label"]["default"] for group in groups if name in group["Parameters"]]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("MemorySize", "256", "must be 512 to 10240 MB"),
        ("MemorySize", "10241", "must be 512 to 10240 MB"),
        ("MemorySize", "lots", "must be 512 to 10240 MB"),
        ("LargeMemorySize", "1024", "must be 1769 to 10240 MB"),
        ("Timeout", "901", "must be 30 to 900 seconds"),
        ("Architecture", "sparc", "x86_64"),
        ("LogRetentionDays", "31", "must be one of"),
        ("MaximumRetries", "3", "must be 0, 1 or 2"),
        ("MaximumEventAge", "59", "must be 60 to 21600"),
        ("ReservedConcurrency", "00", "whole number"),
        ("ReservedConcurrency", "-1", "whole number"),
        ("ReservedConcurrency", "1.5", "whole number"),
        ("LargeReservedConcurrency", "ten", "whole number"),
        ("OutputBucketName", "My_Bucket", "lower-case"),
        ("OutputBucketName", "ab", "3 to 63"),
        ("OutputBucketName", "a" * 64, "3 to 63"),
        ("OutputBucketName", "-abc", "first and last"),
        ("ExistingOutputBucket", "s3://mine", "not the ARN"),
        ("ExistingOutputBucket", "a..b", "name"),
        ("ExtraInputBucket", "arn:aws:s3:::mine", "not the ARN"),
        ("InputBuckets", "", "separated by commas"),
        ("InputBuckets", "stpubdata, mine", "without spaces"),
        ("InputBuckets", "stpubdata,", "separated by commas"),
        ("InputBuckets", "*", "names of buckets"),
        ("Dashboard", "yes", "true"),
        ("OutputKmsKey", "alias/aws/s3", "not of an alias"),
        ("ExtraInputKmsKey", "arn:aws:kms:us-east-1:123456789012:alias/mine", "not of an alias"),
    ],
)
def test_a_wrong_parameter_is_refused_with_a_message(name: str, value: str, told: str) -> None:
    message = refusal(name, value)
    assert message is not None
    assert told in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ReservedConcurrency", ""),
        ("ReservedConcurrency", "0"),
        ("ReservedConcurrency", "1000"),
        ("OutputBucketName", "skyfan-2026"),
        ("ExistingOutputBucket", "my.old.bucket"),
        ("InputBuckets", "stpubdata,my.old.bucket,x-1"),
        ("MemorySize", "10240"),
        ("OutputKmsKey", "arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-0123abcd"),
    ],
)
def test_a_right_parameter_is_taken(name: str, value: str) -> None:
    assert refusal(name, value) is None


def resolved(what: Any, **given: str) -> Any:
    """A value of the template with these parameters, every condition decided."""
    parameters = {name: {**rule} for name, rule in PARAMETERS.items()}
    for name, value in given.items():
        parameters[name]["Default"] = value
    return template.Resolver({**DOCUMENT, "Parameters": parameters})(what)


def test_a_reservation_of_0_or_nothing_is_none() -> None:
    for name, parameter in (
        ("SepExtract", "ReservedConcurrency"),
        ("SepExtractLarge", "LargeReservedConcurrency"),
    ):
        value = RESOURCES[name]["Properties"]["ReservedConcurrentExecutions"]
        assert [resolved(value, **{parameter: given}) for given in ("", "0", "1", "50")] == [
            "",
            "",
            "1",
            "50",
        ]


def test_one_output_bucket_is_named_at_most() -> None:
    (rule,) = DOCUMENT["Rules"]["OneOutputBucket"]["Assertions"]
    assert resolved(rule["Assert"])
    assert resolved(rule["Assert"], OutputBucketName="new-bucket")
    assert resolved(rule["Assert"], ExistingOutputBucket="old-bucket")
    assert not resolved(rule["Assert"], OutputBucketName="new-bucket", ExistingOutputBucket="old-bucket")
    assert "not both" in rule["AssertDescription"]


def test_the_generated_parts_are_up_to_date() -> None:
    text = generator.TEMPLATE.read_text(encoding="utf-8")
    assert generator.filled(text) == text, "run make template"
    assert {item.name for item in generator.functions(text)} == FUNCTIONS, "no function beside the entries"


ENTRY = """\
    PixelCensus:
      Description: A census of pixels.
      Code: functions/pixel_census
      Results: pixel_census/{key}.json
      Memory: 1024
      Timeout: Timeout
      Large: {Description: A large census of pixels., Memory: LargeMemorySize, Timeout: 900}
"""


def added() -> str:
    """The template after one entry was added: two functions more, that nothing else here knows."""
    end = "    # `skyfan new-function` adds"
    text = generator.TEMPLATE.read_text(encoding="utf-8")
    assert text.count(end) == 1
    return generator.filled(text.replace(end, ENTRY + end))


@pytest.mark.parametrize("name", [*sorted(FUNCTIONS), "PixelCensus", "PixelCensusLarge"])
def test_a_function_has_all_that_belongs_to_one(name: str) -> None:
    document = DOCUMENT if name in FUNCTIONS else yaml_parse(added())
    resources = document["Resources"]
    properties = resources[name]["Properties"]
    assert properties["FunctionName"] == {"Fn::Sub": f"${{AWS::StackName}}-{name}"}
    role = resources[properties["Role"]["Fn::GetAtt"][0]]["Properties"]
    assert role["ManagedPolicyArns"] == [{"Ref": "EveryFunctionPolicy"}]
    assert f"${{{name}Logs}}:*" in json.dumps(role), "its role may write its log"
    assert properties["LoggingConfig"] == {"LogFormat": "JSON", "LogGroup": {"Ref": f"{name}Logs"}}
    readers = resources["ExtraInputPolicy"]["Properties"]["Roles"]
    assert {"Ref": properties["Role"]["Fn::GetAtt"][0]} in readers
    log = resources[f"{name}Logs"]["Properties"]
    assert log["LogGroupName"] == {"Fn::Sub": f"/aws/lambda/${{AWS::StackName}}-{name}"}
    assert log["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert resources[name]["Metadata"]["BuildMethod"] == "makefile"
    for output in ("Name", "Arn", "LogGroup"):
        assert f"{name}{output}" in document["Outputs"]
    output = resolved(properties["Environment"]["Variables"]["SKYFAN_OUTPUT"])
    assert re.fullmatch(r"s3://OutputBucket/runs/\{run\}/\w+/\{key\}\.[a-z.]+", output)
    kind = output.split("/")[5]
    assert f"/runs/*/{kind}/*" in json.dumps(role), "its role may put what SKYFAN_OUTPUT names"


def test_every_widget_shows_every_function() -> None:
    """Each list of functions in the dashboard, metric by metric, and each query of their logs."""
    document = yaml_parse(added())
    functions = {*FUNCTIONS, "PixelCensus", "PixelCensusLarge"}
    dashboards = [item for item in document["Resources"].values() if item["Type"] == DASHBOARD]
    (body,) = (item["Properties"]["DashboardBody"]["Fn::Sub"][0] for item in dashboards)
    widgets = json.loads(body)["widgets"]
    for widget in widgets:
        lists = [re.findall(r"SOURCE '\$\{(\w+)Logs\}'", widget["properties"].get("query", ""))]
        rows = widget["properties"].get("metrics", [])
        metrics = {(row[1], row[-1].get("stat")) for row in rows if len(row) > 1}
        for metric in metrics:
            found = [row[3] for row in rows if len(row) > 1 and (row[1], row[-1].get("stat")) == metric]
            lists.append([text.removeprefix("${").removesuffix("}") for text in found])
        if costs := [row[0]["label"] for row in rows if len(row) == 1]:
            lists.append(costs)
        shown = [item for item in lists if item]
        assert shown, widget["properties"]["title"]
        for item in shown:
            assert sorted(item) == sorted(functions), widget["properties"]["title"]


@pytest.mark.slow
def test_a_stack_with_another_function_passes_the_linter(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(added(), encoding="utf-8")
    for folder in ("functions", "layers"):
        (tmp_path / folder).symlink_to(REPO / folder)
    assert lint(path) == ("", "", 0)


def test_the_local_engine_finds_the_same_limits() -> None:
    ours = template.read(REPO / "template.yaml")
    assert set(ours.functions) == FUNCTIONS
    limits = {
        "SepExtract": (512, 300),
        "SepExtractLarge": (1769, 900),
        "FitsSummary": (512, 60),
        "Transits": (512, 120),
    }
    for name, expected in limits.items():
        assert (ours.function(name).memory_mb, ours.function(name).timeout_s) == expected
    assert ours.function("SepExtractLarge").code == ours.function("SepExtract").code


def test_sam_deploys_what_it_built() -> None:
    configuration = tomllib.loads((REPO / "samconfig.toml").read_text(encoding="utf-8"))
    for profile in ("x86_64", "arm64"):
        chosen = configuration[profile]
        for command in ("build", "deploy", "local_invoke", "local_start_lambda"):
            assert chosen[command]["parameters"]["parameter_overrides"] == f"Architecture={profile}"
    for command in ("global", "validate", "deploy"):
        assert {"default", "x86_64", "arm64"} <= configuration.keys()
        settings = [configuration[name][command]["parameters"] for name in ("default", "x86_64", "arm64")]
        assert (
            len({json.dumps({k: v for k, v in s.items() if k != "parameter_overrides"}) for s in settings})
            == 1
        )
    event = REPO / configuration["default"]["local_invoke"]["parameters"]["event"]
    assert set(json.loads(event.read_text())) == {"input"}, "an event that every function takes"


def lint(path: Path) -> tuple[str, str, int]:
    """stdout, stderr and exit status of cfn-lint."""
    command = [Path(sys.executable).with_name("cfn-lint"), "--", path]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, timeout=300, check=False)
    return done.stdout, done.stderr, done.returncode


@pytest.mark.slow
def test_cfn_lint_has_nothing_to_say() -> None:
    assert lint(REPO / "template.yaml") == ("", "", 0)


def checkov() -> str | None:
    """The scanner has an environment of its own, as it pins a boto3 that is older than moto's."""
    return os.environ.get("SKYFAN_CHECKOV") or shutil.which("checkov", path=str(REPO / ".venv/checkov/bin"))


@contextmanager
def calling_out() -> Iterator[tuple[dict[str, str], socket.socket]]:
    """Variables that lead all requests of a program to a socket that takes none of them, and the socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        yield dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), proxy), server


def requests(server: socket.socket) -> list[bytes]:
    """Requests to a proxy that a socket was sent; others are of tests whose server had this port before."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(1)
                with contextlib.suppress(OSError):
                    found.append(connection.recv(100))
    return [sent for sent in found if sent.startswith(b"CONNECT ") or b" http" in sent.partition(b"\r")[0]]


@pytest.mark.slow
def test_checkov_finds_nothing_but_what_the_template_explains(tmp_path: Path) -> None:
    """In our stack, and in one that `skyfan new-function` gave another function. It asks nobody."""
    scanner = checkov()
    if scanner is None:
        pytest.skip("checkov is not here; `make .venv/checkov/.made` installs it")
    larger = tmp_path / "larger.yaml"
    larger.write_text(added(), encoding="utf-8")
    files = [word for path in (REPO / "template.yaml", larger) for word in ("--file", path)]
    options = ["--framework", "cloudformation", "--skip-download", "--output", "json"]
    # Its answer about newer versions of itself is kept for an hour in the cache.
    quiet = {"CKV_SKIP_PACKAGE_UPDATE_CHECK": "true", "XDG_CACHE_HOME": str(tmp_path)}
    with calling_out() as (variables, server):
        done = subprocess.run(
            [scanner, *files, *options], cwd=tmp_path, env=os.environ | variables | quiet,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert requests(server) == []
    report = json.loads(done.stdout)
    assert [(item["check_id"], item["resource"]) for item in report["results"]["failed_checks"]] == []
    assert report["summary"]["passed"] > 40
    assert report["summary"]["parsing_errors"] == 0
    explained = {
        (name, item["id"])
        for name, resource in yaml_parse(added())["Resources"].items()
        for item in resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
    }
    skips = report["results"]["skipped_checks"]
    skipped = {(item["resource"].rpartition(".")[2], item["check_id"]) for item in skips}
    assert skipped == explained, "no explanation for what is not found"
    for item in skips:
        assert len(item["check_result"]["suppress_comment"]) > 30


def test_the_dashboard_has_the_prices_of_the_price_list() -> None:
    rates = prices.load()
    (dashboard,) = (item for item in RESOURCES.values() if item["Type"] == DASHBOARD)
    filled = dashboard["Properties"]["DashboardBody"]["Fn::Sub"][1]
    arm, x86 = (float(price) for price in filled["GBSecond"]["Fn::If"][1:])
    assert (arm, x86) == (rates.gb_second["arm64"][0].price, rates.gb_second["x86_64"][0].price)
    assert float(filled["Request"]) == rates.request
