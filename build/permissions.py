"""What a deployer of the stack must be allowed: a table of docs/permissions.md, from the translated template.

What the SAM transform makes of template.yaml says which resources CloudFormation creates; the schema of each
type of resource, as cfn-lint ships it, says which actions its creation, update and deletion take. A schema
lists them for all properties: changes to what the template does not use are left out, and reading is kept.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

ROOT = Path(__file__).resolve().parents[1]
REGION = "us-east-1"

# Actions for properties that a type may have: a pattern of the actions, and the property that needs them.
_FEATURES = {
    "AWS::S3::Bucket": {
        r"s3:.*BucketAbac": "AbacStatus",
        r"s3:.*Accelerate": "AccelerateConfiguration",
        r"s3:.*Acl$": "AccessControl",
        r"s3:.*Analytics": "AnalyticsConfigurations",
        r"s3:.*C(ORS|ors)": "CorsConfiguration",
        r"s3:.*IntelligentTiering": "IntelligentTieringConfigurations",
        r"s3:.*Inventory": "InventoryConfigurations",
        r"s3:.*BucketLogging": "LoggingConfiguration",
        r"s3(tables:|:.*BucketMetadata)": "MetadataTableConfiguration",
        r"s3:.*Metrics": "MetricsConfigurations",
        r"s3:.*Notification": "NotificationConfiguration",
        r"s3:.*ObjectLock": "ObjectLockConfiguration",
        r"(s3:.*Replication|iam:PassRole)": "ReplicationConfiguration",
        r"s3:.*Versioning": "VersioningConfiguration",
        r"s3:.*Website": "WebsiteConfiguration",
    },
    "AWS::Lambda::Function": {
        r"lambda:.*CapacityProvider|lambda:.*ScalingConfig|lambda:PublishVersion": "CapacityProviderConfig",
        r"lambda:(Put|Delete).*CodeSigning": "CodeSigningConfigArn",
        r"(elasticfilesystem|s3files):": "FileSystemConfigs",
        r"kms:": "KmsKeyArn",
        r"lambda:PutFunctionRecursionConfig": "RecursiveLoop",
        r"lambda:(PutRuntimeManagementConfig|AssociateRuntimeAlias)": "RuntimeManagementConfig",
        r"ec2:": "VpcConfig",
    },
    "AWS::IAM::Role": {r"iam:.*PermissionsBoundary": "PermissionsBoundary"},
    "AWS::IAM::ManagedPolicy": {r"iam:.*GroupPolicy": "Groups", r"iam:.*UserPolicy": "Users"},
    "AWS::Logs::LogGroup": {
        r"logs:.*BearerToken": "BearerTokenAuthenticationEnabled",
        r"(logs:.*(DataProtection|LogDelivery)|s3:REST|firehose:)": "DataProtectionPolicy",
        r"logs:.*DeletionProtection": "DeletionProtectionEnabled",
        r"logs:.*IndexPolicy": "FieldIndexPolicies",
        r"logs:.*KmsKey": "KmsKeyId",
        r"logs:(Put|Delete)ResourcePolicy": "ResourcePolicyDocument",
    },
}
_READS = re.compile(r"\w+:(Get|List|Describe)")
# What sam itself calls: it keeps packages in a bucket that it makes by a stack of its own.
_SAM = {
    "cloudformation": "CreateChangeSet DeleteChangeSet DeleteStack DescribeChangeSet DescribeStackEvents "
    "DescribeStackResources DescribeStacks ExecuteChangeSet GetTemplate GetTemplateSummary "
    "ListStackResources",
    "s3": "CreateBucket DeleteObject GetBucketLocation GetObject PutBucketTagging PutBucketVersioning "
    "PutObject",
    "sts": "GetCallerIdentity",
}
# What `skyfan deploy` asks before it builds.
_SKYFAN = ("lambda:GetAccountSettings",)
# Actions that S3 names otherwise than its schema does.
_NAMES = {
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
}


def translated(parameters: dict[str, str]) -> dict[str, Any]:
    """template.yaml as `sam package` uploads it, after CloudFormation's SAM transform."""
    import boto3
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator
    from samtranslator.yaml_helper import yaml_parse

    document = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    for resource in document["Resources"].values():
        for key in {"CodeUri", "ContentUri"} & resource["Properties"].keys():
            resource["Properties"][key] = {"Bucket": "artifacts", "Key": "code.zip"}
    session = boto3.Session(region_name=REGION)
    made: dict[str, Any] = Translator({}, Parser(), boto_session=session).translate(document, parameters)
    return made


def actions(template: dict[str, Any]) -> dict[str, list[str]]:
    """The actions by service that creating, updating and deleting a translated template takes."""
    properties: dict[str, set[str]] = {}
    for resource in template["Resources"].values():
        properties.setdefault(resource["Type"], set()).update(resource.get("Properties", {}))
    found = {f"{service}:{name}" for service, names in _SAM.items() for name in names.split()}
    found.update(_SKYFAN)
    for kind, used in properties.items():
        found.update(_of_type(kind, used))
    services: dict[str, list[str]] = {}
    for action in sorted(found):
        service, _, name = action.partition(":")
        services.setdefault(service, []).append(name)
    return services


def _of_type(kind: str, used: set[str]) -> set[str]:
    """The actions of one type of resource, of which the template uses these properties."""
    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema["handlers"]
    steps = ("create", "read", "update", "delete")
    listed = {action for step in steps for action in handlers.get(step, {}).get("permissions", [])}
    unused = [pattern for pattern, name in _FEATURES.get(kind, {}).items() if name not in used]
    return {
        _NAMES.get(action, action)
        for action in listed
        if not any(re.match(pattern, action) for pattern in unused)
        or (_READS.match(action) and action.startswith(f"{kind.split('::')[1].lower()}:"))
    }
