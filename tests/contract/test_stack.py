"""The stack as CloudFormation would make it: template.yaml packaged, translated, made in moto, read back.

Not AWS: moto makes resources and answers their APIs, but no function runs and nothing enforces a policy here,
so policies are evaluated by IAM's rules as standins.stack has them.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from samtranslator.yaml_helper import yaml_parse
from standins.iam import listed
from standins.stack import FUNCTIONS, KEYS, Stack, allowed, deployed, statements

REPO = Path(__file__).parents[2]
# What moto cannot make is named here; what these say is checked in the translated template instead.
NOT_IN_MOTO = {"AWS::S3::BucketPolicy", "AWS::Lambda::EventInvokeConfig"}
# Nor does it take over these properties of what it makes.
DROPPED_BY_MOTO = {
    "AWS::IAM::Role": {"ManagedPolicyArns"},
    "AWS::Lambda::Function": {"Architectures", "Layers", "LoggingConfig"},
    "AWS::S3::Bucket": {"PublicAccessBlockConfiguration", "OwnershipControls", "LifecycleConfiguration"},
    # And, of the bucket for results alone, VersioningConfiguration.
}
OTHER = {
    "Architecture": "arm64",
    "ExistingOutputBucket": "my.catalogs",
    "OutputKmsKey": f"{KEYS}/results",
    "ExtraInputBucket": "my-images",
    "ExtraInputKmsKey": f"{KEYS}/images",
    "MemorySize": "3008",
    "LargeMemorySize": "8192",
    "Timeout": "120",
    "ReservedConcurrency": "50",
    "LargeReservedConcurrency": "0",
    "MaximumRetries": "0",
    "MaximumEventAge": "600",
    "LogRetentionDays": "7",
    "Dashboard": "false",
}


# Off by default, or made only by default.
CONDITIONS = {"ShowsDashboard", "KeepsWatches"}

# moto warns of the kinds of resources that it cannot make; NOT_IN_MOTO names them.
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")


@pytest.fixture(
    scope="module",
    params=[pytest.param({}, id="defaults"), pytest.param(OTHER, id="other", marks=pytest.mark.slow)],
)
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    with deployed(request.param) as made:
        yield made


def test_every_resource_is_made_or_named_as_what_moto_cannot_make(stack: Stack) -> None:
    resources = stack.template["Resources"]
    made = boto3.client("cloudformation").describe_stack_resources(StackName="survey")["StackResources"]
    # its layers have no physical ID, and are there all the same
    there = {item["ResourceType"] for item in made if item.get("PhysicalResourceId")}
    there |= {"AWS::Lambda::LayerVersion"} if boto3.client("lambda").list_layers()["Layers"] else set()
    wanted = {item["Type"] for item in resources.values() if item.get("Condition") not in CONDITIONS}
    if not stack.given:
        wanted.add("AWS::CloudWatch::Dashboard")
    assert wanted - there == NOT_IN_MOTO
    # Should moto learn one of these, the tests below are to read it back.
    read = boto3.client("lambda").get_function_configuration(FunctionName="survey-SepExtract")
    assert not read["Layers"]
    assert "LoggingConfig" not in read
    if stack.given:
        assert read["Architectures"] == ["x86_64"] != [stack.given["Architecture"]]
    for what in ("public_access_block", "bucket_ownership_controls", "bucket_lifecycle_configuration"):
        with pytest.raises(ClientError, match=r"NoSuch|NotFound"):
            getattr(boto3.client("s3"), f"get_{what}")(Bucket=stack.failures)
    for kind, properties in DROPPED_BY_MOTO.items():
        for item in resources.values():
            if item.get("Condition") == "KeepsWatches":
                continue
            assert item["Type"] != kind or properties <= item["Properties"].keys()


def test_functions_are_as_the_parameters_say(stack: Stack) -> None:
    memory = {"SepExtract": 512, "SepExtractLarge": 1769, "FitsSummary": 512, "Transits": 512}
    timeout = {"SepExtract": 300, "SepExtractLarge": 900, "FitsSummary": 60, "Transits": 120}
    results = {"FitsSummary": "summaries/{key}.json", "Transits": "transits/{key}.cat.fits"}
    if stack.given:
        memory |= {"SepExtract": 3008, "SepExtractLarge": 8192}
        timeout |= {"SepExtract": 120}
    client = boto3.client("lambda")
    for name in FUNCTIONS:
        function = client.get_function(FunctionName=f"survey-{name}")
        made = function["Configuration"]
        assert made["Runtime"] == "python3.13"
        assert made["MemorySize"] == memory[name]
        assert made["Timeout"] == timeout[name]
        template = stack.template["Resources"][name]["Properties"]
        assert template["Architectures"] == [{"Ref": "Architecture"}]
        (layer,) = template["Layers"]
        assert stack.template["Resources"][layer["Ref"]]["Type"] == "AWS::Lambda::LayerVersion"
        kind = results.get(name, "catalogs/{key}.cat.fits")
        extra = ",my-images" if stack.given else ""
        assert made["Environment"]["Variables"] == {
            "SKYFAN_INPUTS": f"stpubdata{extra}",
            "SKYFAN_OUTPUT": f"s3://{stack.bucket}/runs/{{run}}/{kind}",
            "SKYFAN_FAILURES": f"s3://{stack.bucket}/runs/{{run}}/failures/{{key}}.json",
            "SKYFAN_DOUBTFUL": f"s3://{stack.bucket}/runs/{{run}}/doubtful/{{key}}",
        }
        assert template["LoggingConfig"] == {"LogFormat": "JSON", "LogGroup": {"Ref": f"{name}Logs"}}
        # 0 reserves nothing: Lambda's own 0 would be a function that never runs
        reserved = (function.get("Concurrency") or {}).get("ReservedConcurrentExecutions")
        assert reserved == (50 if stack.given and name == "SepExtract" else None)


def test_the_large_variant_is_the_same_code_and_not_a_copy(stack: Stack) -> None:
    document = yaml_parse((REPO / "template.yaml").read_text(encoding="utf-8"))
    small, large = (document["Resources"][name]["Properties"] for name in FUNCTIONS[:2])
    differing = {key for key in small | large if small.get(key) != large.get(key)}
    limits = {"MemorySize", "Timeout", "ReservedConcurrentExecutions"}
    assert differing == {"FunctionName", "Description", "LoggingConfig", *limits}


def test_failures_are_retried_and_then_recorded(stack: Stack) -> None:
    for name in FUNCTIONS:
        settings = stack.template["Resources"][f"{name}EventInvokeConfig"]["Properties"]
        assert settings["FunctionName"] == {"Ref": name}
        assert settings["Qualifier"] == "$LATEST"
        assert int(settings["MaximumRetryAttempts"]) == (0 if stack.given else 2)
        assert int(settings["MaximumEventAgeInSeconds"]) == (600 if stack.given else 21600)
        destination = settings["DestinationConfig"]["OnFailure"]["Destination"]
        assert destination == {"Fn::GetAtt": ["FailureBucket", "Arn"]}


def test_logs_are_kept_as_long_as_said(stack: Stack) -> None:
    groups = boto3.client("logs").describe_log_groups()["logGroups"]
    days = 7 if stack.given else 30
    assert {group["retentionInDays"] for group in groups} == {days}
    assert {group["logGroupName"] for group in groups} >= {f"/aws/lambda/survey-{name}" for name in FUNCTIONS}


def test_outputs_are_what_the_command_line_looks_up(stack: Stack) -> None:
    for name in FUNCTIONS:
        assert stack.outputs[f"{name}Name"] == f"survey-{name}"
        assert stack.outputs[f"{name}Arn"].endswith(f":function:survey-{name}")
        assert stack.outputs[f"{name}LogGroup"] == f"/aws/lambda/survey-{name}"
    assert stack.outputs["DoubtfulMarks"] == "doubtful"
    assert stack.outputs["ProcessorArchitecture"] == stack.given.get("Architecture", "x86_64")
    assert stack.bucket == stack.given.get("ExistingOutputBucket", stack.bucket)
    assert ("DashboardUrl" in stack.outputs) is (not stack.given)


def test_buckets_are_private_encrypted_and_kept(stack: Stack) -> None:
    s3 = boto3.client("s3")
    own = {"FailureBucket": stack.failures} | ({} if stack.given else {"OutputBucket": stack.bucket})
    names = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    assert names == {"artifacts", "my.catalogs", *own.values()}, "an existing bucket is used, and none made"
    for name, bucket in own.items():
        properties = stack.template["Resources"][name]["Properties"]
        block = properties["PublicAccessBlockConfiguration"]
        assert all(block.values())
        assert len(block) == 4
        assert properties["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
        assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
        versions = {"Status": "Enabled"} if name == "OutputBucket" else None
        assert properties.get("VersioningConfiguration") == versions
        assert stack.template["Resources"][name]["DeletionPolicy"] == "RetainExceptOnCreate"
        rule, *others = properties["LifecycleConfiguration"]["Rules"]
        assert rule["Status"] == "Enabled"
        assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
        assert rule.get("ExpirationInDays") == (90 if name == "FailureBucket" else None)
        assert bool(others) is (name == "OutputBucket")
        for old in others:
            assert old["Status"] == "Enabled"
            assert old["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
            assert old["ExpiredObjectDeleteMarker"]
            assert "ExpirationInDays" not in old, "results never expire"
        policy = stack.template["Resources"][f"{name}Policy"]
        assert policy["DeletionPolicy"] == "RetainExceptOnCreate", "the rule stays as the bucket does"
        refused = [item["Condition"] for item in policy["Properties"]["PolicyDocument"]["Statement"]]
        assert {"Bool": {"aws:SecureTransport": "false"}} in refused
        assert {item["Effect"] for item in policy["Properties"]["PolicyDocument"]["Statement"]} == {"Deny"}


@pytest.mark.slow
def test_a_role_writes_its_own_prefix_its_own_log_and_nothing_else(stack: Stack) -> None:
    logs = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/survey-"
    bucket, failures = f"arn:aws:s3:::{stack.bucket}", f"arn:aws:s3:::{stack.failures}"
    kinds = {"SepExtract": "catalogs", "SepExtractLarge": "catalogs"}
    kinds |= {"FitsSummary": "summaries", "Transits": "transits"}
    for name, kind in kinds.items():
        role = stack.role(name)
        assert allowed(role, "s3:PutObject", f"{bucket}/runs/x/{kind}/stpubdata/a/b.fits")
        assert allowed(role, "s3:PutObject", f"{failures}/aws/lambda/async/survey-{name}/2026/11/22/x")
        assert allowed(role, "s3:ListBucket", failures)
        assert allowed(role, "s3:PutObject", f"{bucket}/runs/x/failures/a.json")
        assert allowed(role, "s3:PutObject", f"{bucket}/runs/x/doubtful/NO_SKY/stpubdata/a/b.fits")
        for key in ("runs/x/run.json", "runs/x/receipts/a", "aws/lambda/async/x", "runs", "other/a.fits"):
            assert not allowed(role, "s3:PutObject", f"{bucket}/{key}")
        others = {*kinds.values()} - {kind}
        for other in others:
            assert not allowed(role, "s3:PutObject", f"{bucket}/runs/x/{other}/a")
        assert not allowed(role, "s3:PutObject", "arn:aws:s3:::stpubdata/hst/public/x")
        assert not allowed(role, "s3:PutObject", "arn:aws:s3:::my-images/a.fits")
        assert allowed(role, "s3:GetObject", f"{bucket}/runs/x/{kind}/a"), "to see which results exist"
        for key in (
            *(f"runs/x/{other}/a" for other in others),
            "runs/x/run.json",
            "runs/x/failures/a.json",
            "other/a.fits",
        ):
            assert not allowed(role, "s3:GetObject", f"{bucket}/{key}")
        for action in ("DeleteObject", "PutObjectAcl", "PutBucketPolicy", "DeleteBucket"):
            assert not allowed(role, f"s3:{action}", f"{bucket}/runs/x/{kind}/a")
            assert not allowed(role, f"s3:{action}", bucket)
        assert allowed(role, "s3:GetObject", f"{bucket}/runs/x/cancel.json")
        assert allowed(role, "s3:ListBucket", bucket), "otherwise a missing cancel.json is access denied"
        for key in ("run.json", "receipts/a", "failures/a.json", "doubtful/NO_SKY/a"):
            assert not allowed(role, "s3:GetObject", f"{bucket}/runs/x/{key}")
        shared = {each for each, folder in kinds.items() if folder == kind}
        for log in FUNCTIONS:
            stream = f"{logs}{log}:log-stream:2026/11/22/[$LATEST]0"
            assert allowed(role, "logs:PutLogEvents", stream) is (log in shared)
        assert not allowed(role, "logs:CreateLogGroup", f"{logs}other:*")
        for action in ("lambda:InvokeFunction", "iam:PassRole", "sts:AssumeRole", "kms:Decrypt"):
            assert not allowed(role, action, "arn:aws:iam::123456789012:role/x")
        for place in (f"{bucket}/runs/x/{kind}/a", f"{bucket}/runs/x/failures/a", f"{failures}/a"):
            assert not allowed(role, "s3:PutObject", place, owner="210987654321"), "a name that changed hands"
        for action in ("kms:GenerateDataKey", "kms:Decrypt"):
            for service in ("s3", "lambda"):
                via = f"{service}.us-east-1.amazonaws.com"
                uses = allowed(role, action, f"{KEYS}/results", via=via)
                assert uses is (service == "s3" and "OutputKmsKey" in stack.given)
        reads = allowed(role, "kms:Decrypt", f"{KEYS}/images", via="s3.eu-west-1.amazonaws.com")
        assert reads is ("ExtraInputKmsKey" in stack.given)
        assert not allowed(role, "kms:GenerateDataKey", f"{KEYS}/images", via="s3.us-east-1.amazonaws.com")


def test_a_role_reads_the_public_archive_and_what_was_added(stack: Stack) -> None:
    archive = "arn:aws:s3:::stpubdata"
    for name in FUNCTIONS:
        role = stack.role(name)
        for mission in ("hst", "jwst", "tess"):
            assert allowed(role, "s3:GetObject", f"{archive}/{mission}/public/a/b_flt.fits")
            assert allowed(role, "s3:ListBucket", archive, prefix=f"{mission}/public/a/")
        assert not allowed(role, "s3:GetObject", f"{archive}/hst/proprietary/a.fits")
        assert not allowed(role, "s3:ListBucket", archive, prefix="hst/proprietary/")
        assert allowed(role, "s3:GetObject", "arn:aws:s3:::my-images/a.fits") is bool(stack.given)
        assert not allowed(role, "s3:GetObject", "arn:aws:s3:::others/a.fits")


def test_writes_elsewhere_stay_denied_whatever_else_is_attached(stack: Stack) -> None:
    role = stack.role("SepExtract")
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    iam = boto3.client("iam")
    iam.put_role_policy(
        RoleName=role,
        PolicyName="Careless",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [everything]}),
    )
    try:
        assert allowed(role, "s3:GetObject", "arn:aws:s3:::others/a")
        for action in ("PutObject", "PutObjectAcl", "DeleteObject", "CreateBucket", "PutBucketPolicy"):
            assert not allowed(role, f"s3:{action}", "arn:aws:s3:::others/a")
        assert not allowed(role, "s3:PutObject", f"arn:aws:s3:::{stack.bucket}/other/a")
        assert not allowed(role, "s3:DeleteObject", f"arn:aws:s3:::{stack.bucket}/runs/x/catalogs/a")
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="Careless")


def test_no_permission_is_a_bare_star(stack: Stack) -> None:
    for name in FUNCTIONS:
        for statement in statements(stack.role(name)):
            for item in (*listed(statement["Action"]), *listed(statement.get("Resource", []))):
                assert item != "*"
                assert statement["Effect"] == "Deny" or not re.fullmatch(r"\w+:\*", item)
        (trust,) = boto3.client("iam").get_role(RoleName=stack.role(name))["Role"][
            "AssumeRolePolicyDocument"
        ]["Statement"]
        assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_the_dashboard_shows_functions_that_are_there(stack: Stack) -> None:
    boards = boto3.client("cloudwatch").list_dashboards()["DashboardEntries"]
    if stack.given:
        assert boards == []
        return
    (board,) = boards
    read = boto3.client("cloudwatch").get_dashboard(DashboardName=board["DashboardName"])
    widgets = json.loads(read["DashboardBody"])["widgets"]
    resources = stack.template["Resources"]
    everyone = [
        name
        for name, item in resources.items()
        if item["Type"] == "AWS::Lambda::Function" and item.get("Condition") != "KeepsWatches"
    ]
    assert everyone[: len(FUNCTIONS)] == FUNCTIONS
    for widget in widgets:
        names = set(re.findall(r"survey-\w+", json.dumps(widget)))
        assert names == {f"survey-{name}" for name in everyone}, widget["properties"]["title"]
    assert "${" not in read["DashboardBody"]
    rows = [item for widget in widgets for item in widget["properties"].get("metrics", [])]
    metrics = {item[1] for item in rows if len(item) > 1}
    assert metrics >= {"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"}
    costs = [item[0]["expression"] for item in rows if len(item) == 1]
    assert costs[: len(FUNCTIONS)] == [
        f"FILL(d{i},0)*{mb}/1024000*0.0000166667+FILL(i{i},0)*0.0000002"
        for i, mb in enumerate((512, 1769, 512, 512), start=1)
    ]
    for left in widgets:
        assert left["x"] + left["width"] <= 24
    queries = [widget["properties"]["query"] for widget in widgets if widget["type"] == "log"]
    assert len(queries) == 3
    assert [query for query in queries if "ispresent(record)" in query], "failures that no metric counts"
    for query in queries:
        sources = re.findall(r"SOURCE '([^']+)'", query)
        assert sources == [f"/aws/lambda/survey-{name}" for name in everyone]
    assert os.environ["AWS_DEFAULT_REGION"] in board["DashboardName"]
