"""The stack on accounts as people have them: keys of their own, permissions that somebody must grant."""

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import permissions
import pytest
from moto.cloudformation.models import Event, cloudformation_backends
from standins.stack import ACCOUNT, FUNCTIONS, KEYS, allowed, deployed

from skyfan import session, template
from skyfan.api import stacks as deploys
from skyfan.aws import stack as stacks
from skyfan.errors import UsageError

REPO = Path(__file__).parents[2]

# moto warns of the kinds of resources that it cannot make.
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")


@pytest.mark.slow
def test_a_new_bucket_is_encrypted_with_the_key_that_functions_may_use() -> None:
    with deployed({"OutputKmsKey": f"{KEYS}/results"}) as stack:
        (rule,) = boto3.client("s3").get_bucket_encryption(Bucket=stack.bucket)[
            "ServerSideEncryptionConfiguration"
        ]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"] == {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": f"{KEYS}/results",
        }
        properties = stack.template["Resources"]["OutputBucket"]["Properties"]
        (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["Fn::If"][1]["BucketKeyEnabled"], "moto drops it"
        for name in FUNCTIONS:
            via = "s3.us-east-1.amazonaws.com"
            assert allowed(stack.role(name), "kms:GenerateDataKey", f"{KEYS}/results", via=via)
            assert not allowed(stack.role(name), "kms:Decrypt", f"{KEYS}/other", via=via)
        # whatever the key refuses can be recorded
        (rule,) = boto3.client("s3").get_bucket_encryption(Bucket=stack.failures)[
            "ServerSideEncryptionConfiguration"
        ]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_the_deployer_s_permissions_follow_the_template() -> None:
    document = permissions.translated({})
    before = permissions.actions(document)
    for service, action in (
        ("lambda", "GetFunctionCodeSigningConfig"),
        ("lambda", "GetFunctionRecursionConfig"),
        ("lambda", "GetRuntimeManagementConfig"),
        ("lambda", "PublishLayerVersion"),
        ("iam", "PassRole"),
        ("s3", "PutEncryptionConfiguration"),
        ("cloudformation", "ExecuteChangeSet"),
    ):
        assert action in before[service]
    assert "ec2" not in before, "no function is in a VPC"
    assert not [name for name in before["s3"] if name.startswith("Put") and "Website" in name]
    document["Resources"]["SepExtract"]["Properties"]["VpcConfig"] = {}
    document["Resources"]["Alarm"] = {"Type": "AWS::CloudWatch::Alarm"}
    after = permissions.actions(document)
    assert "DescribeSubnets" in after["ec2"]
    assert "PutMetricAlarm" in after["cloudwatch"]


# Calls of a user while the stack is in some state: reads, sends and deploys.
STATES = tomllib.loads((REPO / "invoke/skyfan/aws/states.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def stack() -> Iterator[Any]:
    """The stack as moto keeps it, to set its status."""
    with deployed({}):
        yield cloudformation_backends[ACCOUNT]["us-east-1"].get_stack("survey")


@pytest.mark.slow
@pytest.mark.parametrize("status", STATES)
def test_a_state_is_named_with_its_reason_and_what_to_do(
    status: str, stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(stack, "status", status)
    stack.events.clear()
    stack._add_stack_event("CREATE_IN_PROGRESS", resource_status_reason="User Initiated")
    event = Event(
        stack_id=stack.stack_id,
        stack_name="survey",
        logical_resource_id="SepExtractLarge",
        physical_resource_id="",
        resource_type="AWS::Lambda::Function",
        resource_status="CREATE_FAILED",
        resource_status_reason="'MemorySize' value failed to satisfy constraint",
        resource_properties=None,
    )
    stack.events.append(event)
    row = STATES[status]
    client = boto3.client("cloudformation", "us-east-1")
    description = stacks.described(client, "survey")
    assert description is not None
    state = stacks.state_of(client, description)
    assert state is not None
    assert (state.use, state.deploy) == (row["use"], row["deploy"])
    assert f"'survey' in us-east-1 is {status}: {row['meaning']}" in state.message
    is_failure = "FAILED" in status or "ROLLBACK" in status
    assert ("SepExtractLarge: 'MemorySize' value failed" in state.message) is is_failure
    assert "{" not in state.message
    is_new = status == "REVIEW_IN_PROGRESS"
    if not row["deploy"]:
        with pytest.raises(UsageError, match=status):
            deploys._existing(client, "survey")
    else:
        assert (deploys._existing(client, "survey") is None) is is_new
    if row["use"] == "none":
        with pytest.raises(UsageError, match=status):
            stacks.find("survey")
    elif row["use"] == "read":
        found = stacks.find("survey")
        assert found.results.name
        with pytest.raises(UsageError, match=status):
            found.check()
    else:
        stacks.find("survey").check()


@pytest.mark.slow
def test_a_stack_of_another_region_is_found_by_its_hint(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with pytest.raises(UsageError, match="not exist in eu-west-1, but in us-east-1: add --region us-east-1"):
        stacks.find("survey")
    with pytest.raises(UsageError, match="'other' does not exist in eu-west-1: `skyfan deploy` creates it"):
        stacks.find("other")


class Lambda:
    """Says what an account allows."""

    def __init__(self, limit: int, unreserved: int) -> None:
        self._limit = {"ConcurrentExecutions": limit, "UnreservedConcurrentExecutions": unreserved}

    def get_account_settings(self) -> Any:
        return {"AccountLimit": self._limit}


@pytest.mark.parametrize(
    ("limit", "unreserved", "wanted", "before", "most"),
    [
        (10, 10, "1", "", 0),  # a new account
        (1000, 1000, "901", "", 900),
        (1000, 1000, "900", "", None),
        (1000, 700, "700", "", 600),
        (1000, 700, "700", "300", None),  # what the stack itself has is free for it
        (10, 10, "0", "", None),
    ],
)
def test_a_reservation_that_the_account_cannot_make_is_refused_before_the_build(
    monkeypatch: pytest.MonkeyPatch, limit: int, unreserved: int, wanted: str, before: str, most: int | None
) -> None:
    monkeypatch.setattr(session, "client", lambda *_, **__: Lambda(limit, unreserved))
    registry = replace(template.read(REPO / "template.yaml"), parameters={"ReservedConcurrency": wanted})
    existing = {"ReservedConcurrency": before}
    if most is None:
        deploys._check_concurrency(registry, existing, "us-east-1")
    else:
        with pytest.raises(UsageError, match=f"account can reserve {most}:"):
            deploys._check_concurrency(registry, existing, "us-east-1")
