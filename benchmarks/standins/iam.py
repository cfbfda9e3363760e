"""IAM's decision about one request, by the rules of its documentation, and the policies of template.yaml.

No library that is kept up does this: moto looks at actions alone. An element or operator that is not known
here is an error, never a guess.
"""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import permissions

from skyfan.template import Resolver

ACCOUNT = "123456789012"
RESULTS, FAILURES = "survey-results", "survey-failures"
Statement = Mapping[str, Any]

_ELEMENTS = {"Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "NotResource", "Condition"}


@cache
def _pattern(text: str, flags: re.RegexFlag) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(letter, re.escape(letter)) for letter in text), flags | re.DOTALL)


def matches(text: str, pattern: str, *, fold: bool = False) -> bool:
    """Whether a pattern matches a whole text: * is any text, of slashes too, and ? any one character."""
    return _pattern(pattern, re.IGNORECASE if fold else re.NOFLAG).fullmatch(text) is not None


def listed(value: Any) -> list[Any]:
    """An element that may be one value or several."""
    return value if isinstance(value, list) else [value]


# By operator without Not: whether a value of the request is that of the policy.
_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": operator.eq,
    "StringLike": matches,
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
    "NumericLessThan": lambda value, wanted: float(value) < float(wanted),
}


def _holds(condition: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    """Every operator and every key must hold, by any of its values. A key that the request does not have
    fulfils a negated operator and no other.
    """
    for name, keys in condition.items():
        is_negated = name.startswith("StringNot")
        compare = _OPERATORS[name.replace("StringNot", "String")]
        for key, wanted in keys.items():
            value = context.get(key)
            found = value is not None and any(compare(value, str(item)) for item in listed(wanted))
            if found is is_negated:
                return False
    return True


def _applies(statement: Statement, action: str, resource: str, context: Mapping[str, str]) -> bool:
    if unknown := statement.keys() - _ELEMENTS:
        raise ValueError(f"this evaluator does not know {', '.join(sorted(unknown))}")
    for element, text, fold in (("Action", action, True), ("Resource", resource, False)):
        is_negated = f"Not{element}" in statement
        patterns = listed(statement[f"Not{element}" if is_negated else element])
        if any(matches(text, pattern, fold=fold) for pattern in patterns) is is_negated:
            return False
    return _holds(statement.get("Condition", {}), context)


def allowed(
    statements: Iterable[Statement], action: str, resource: str, context: Mapping[str, str] | None = None
) -> bool:
    """No statement that applies: no. One Deny: no. Else one Allow: yes.

    The request is one inside the account of the stack, over TLS 1.3, unless `context` says otherwise.
    """
    about = {"aws:ResourceAccount": ACCOUNT, "aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
    about |= context or {}
    effects = {item["Effect"] for item in statements if _applies(item, action, resource, about)}
    return effects == {"Allow"}


class _Deployed(Resolver):
    """Replaces intrinsic functions as CloudFormation does for the stack `survey`."""

    def __init__(self, document: dict[str, Any], parameters: Mapping[str, str]) -> None:
        super().__init__(document, parameters)
        self._names |= {"AWS::AccountId": ACCOUNT, "AWS::StackName": "survey"}
        for name, bucket in (("OutputBucket", RESULTS), ("FailureBucket", FAILURES)):
            self._names |= {name: bucket, f"{name}.Arn": f"arn:aws:s3:::{bucket}"}
        for name, item in document["Resources"].items():
            if item["Type"] == "AWS::Logs::LogGroup":
                self._names[name] = self(item["Properties"]["LogGroupName"])
            elif item["Type"] == "AWS::SQS::Queue":
                self._names[f"{name}.Arn"] = f"arn:aws:sqs:us-east-1:{ACCOUNT}:survey-{name}"
            elif item["Type"] == "AWS::Lambda::Function":
                self._names[f"{name}.Arn"] = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:survey-{name}"

    def _function(self, name: str, argument: Any) -> Any:
        value = super()._function(name, argument)
        return self._names[value] if name == "Fn::GetAtt" else value


def policies(parameters: Mapping[str, str]) -> dict[str, list[Statement]]:
    """The statements of each function by its logical ID, as deployed with these parameters: what its role
    has inline, what is attached to it, and what attaches itself.
    """
    document = permissions.translated(dict(parameters))
    resolve, resources = _Deployed(document, parameters), document["Resources"]
    made = {
        name: item
        for name, item in resources.items()
        if "Condition" not in item or resolve.holds(item["Condition"])
    }

    def _chosen(value: Any) -> Any:
        """What !If chooses; any other value as it is."""
        if not (isinstance(value, dict) and "Fn::If" in value):
            return value
        condition, first, second = value["Fn::If"]
        return first if resolve.holds(condition) else second

    def documents(role: str) -> Iterator[Any]:
        properties = made[role]["Properties"]
        yield from (policy["PolicyDocument"] for policy in properties["Policies"])
        yield from (
            made[item["Ref"]]["Properties"]["PolicyDocument"]
            for item in properties.get("ManagedPolicyArns", [])
        )
        for item in made.values():
            if {"Ref": role} in map(_chosen, item["Properties"].get("Roles", [])):
                yield item["Properties"]["PolicyDocument"]

    return {
        name: [
            statement
            for policy in documents(item["Properties"]["Role"]["Fn::GetAtt"][0])
            for statement in resolve(policy["Statement"])
            if statement  # not AWS::NoValue
        ]
        for name, item in made.items()
        if item["Type"] == "AWS::Lambda::Function"
    }
