"""template.yaml deployed into moto: what the SAM transform makes of it, and what a role may do there.

Nothing enforces a policy in moto, so standins.iam evaluates them.
"""

import ast
import io
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import boto3
import permissions
from moto import mock_aws

from . import iam
from .iam import ACCOUNT

FUNCTIONS = ["SepExtract", "SepExtractLarge", "FitsSummary", "Transits"]
"""The functions of skyfan; a clone may have more."""
KEYS = f"arn:aws:kms:us-east-1:{ACCOUNT}:key"


@dataclass(frozen=True)
class Stack:
    given: dict[str, str]
    """Parameters that are not the defaults."""
    template: dict[str, Any]
    """What the SAM transform made of template.yaml."""
    outputs: dict[str, str]

    @property
    def bucket(self) -> str:
        return self.outputs["ResultsBucket"]

    @property
    def failures(self) -> str:
        return self.outputs["FailuresBucket"]

    def role(self, function: str) -> str:
        arn = boto3.client("lambda").get_function_configuration(FunctionName=f"survey-{function}")["Role"]
        return str(arn).rpartition("/")[2]


# moto would leave its credentials in the environment of the tests that follow.
_ENVIRONMENT_AS_IT_IS: Any = {"core": {"mock_credentials": False}}

_USER = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def deployed(given: dict[str, str]) -> Iterator[Stack]:
    """The stack `survey` with these parameters, as long as the context lasts."""
    with (
        mock.patch.dict(os.environ, _USER),
        mock_aws(config=_ENVIRONMENT_AS_IT_IS),
    ):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("empty.py", "")
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="artifacts")
        s3.create_bucket(Bucket="my.catalogs")
        s3.put_object(Bucket="artifacts", Key="code.zip", Body=archive.getvalue())
        template = permissions.translated(given)
        cloudformation = boto3.client("cloudformation")
        cloudformation.create_stack(
            StackName="survey",
            TemplateBody=json.dumps(_for_moto(template, given)),
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        (made,) = cloudformation.describe_stacks(StackName="survey")["Stacks"]
        assert made["StackStatus"] == "CREATE_COMPLETE"
        outputs = {item["OutputKey"]: item["OutputValue"] for item in made["Outputs"]}
        attach_policies(template)
        yield Stack(given, template, outputs)


def _for_moto(value: Any, given: dict[str, str]) -> Any:
    """A template without AWS::NoValue in lists, which moto takes for a value; standing queries have it."""
    if isinstance(value, dict):
        return {key: _for_moto(item, given) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    found = []
    for item in value:
        words = item.get("Fn::If") if isinstance(item, dict) else None
        if words and words[0] == "KeepsWatches" and words[2] == {"Ref": "AWS::NoValue"}:
            if given.get("StandingQueries") == "on":
                found.append(words[1])
        else:
            found.append(_for_moto(item, given))
    return found


def attach_policies(template: dict[str, Any]) -> None:
    """What CloudFormation does and moto does not: a role's ManagedPolicyArns."""
    made = boto3.client("cloudformation").describe_stack_resources(StackName="survey")["StackResources"]
    names = {item.get("LogicalResourceId"): item.get("PhysicalResourceId") for item in made}
    for name, resource in template["Resources"].items():
        for policy in resource["Properties"].get("ManagedPolicyArns", []):
            boto3.client("iam").attach_role_policy(RoleName=names[name], PolicyArn=names[policy["Ref"]])


def statements(role: str) -> list[dict[str, Any]]:
    """All statements of a role, inline and attached, as IAM keeps them."""
    iam = boto3.client("iam")
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
        read = iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)
        documents.append(read["PolicyVersion"]["Document"])
    # moto keeps an inline policy of a template as what Python prints for a dict
    plain = [ast.literal_eval(item) if isinstance(item, str) else item for item in documents]
    return [statement for document in plain for statement in document["Statement"]]


def allowed(
    role: str, action: str, resource: str, *, prefix: str = "", owner: str = ACCOUNT, via: str = ""
) -> bool:
    """IAM's decision about a request of a role in moto."""
    context = {"s3:prefix": prefix, "aws:ResourceAccount": owner, "kms:ViaService": via}
    return iam.allowed(statements(role), action, resource, context)
