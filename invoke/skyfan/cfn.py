"""CloudFormation's YAML: short tags read into long forms, intrinsic functions resolved to defaults."""

import os
import re
from typing import Any

import yaml

from .errors import TemplateError

PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::AccountId": "000000000000",
    "AWS::StackName": "local",
    "AWS::NoValue": "",
}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also takes !Ref, !Sub, !GetAtt and their kind."""


def _tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tag)


def load(text: str) -> dict[str, Any]:
    """The template as plain dicts and lists, short tags written out: !Ref X is {"Ref": "X"}."""
    # A subclass of SafeLoader builds nothing but plain data.
    document = yaml.load(text, Loader=_Loader)
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise TemplateError("is not a CloudFormation template: it has no Resources")
    return document


class Resolver:
    """Resolves intrinsic functions as they would be on a machine without a stack.

    Parameters give their defaults; a resource gives its logical ID, as sam does, since nothing was created.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self._conditions: dict[str, Any] = document.get("Conditions") or {}
        self._mappings: dict[str, Any] = document.get("Mappings") or {}
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        self._names: dict[str, Any] = {**PSEUDO, "AWS::Region": region}
        for name, parameter in (document.get("Parameters") or {}).items():
            self._names[name] = parameter.get("Default", "")

    def __call__(self, value: Any) -> Any:
        """`value` with every intrinsic function in it replaced; plain values come back as they are."""
        if isinstance(value, list):
            return [self(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            if name == "Ref":
                return self._names.get(argument, argument)
            if name == "Condition" and isinstance(argument, str) and argument in self._conditions:
                return self(self._conditions[argument])
            if isinstance(name, str) and name.startswith("Fn::"):
                return self._function(name, argument)
        return {key: self(item) for key, item in value.items()}

    def _function(self, name: str, argument: Any) -> Any:
        match name:
            case "Fn::Sub":
                text, extra = argument if isinstance(argument, list) else (argument, {})
                names = {**self._names, **self(extra)}
                return re.sub(r"\$\{([^!}][^}]*)\}", lambda m: str(names.get(m[1], m[1])), text).replace(
                    "${!", "${"
                )
            case "Fn::GetAtt":
                return argument if isinstance(argument, str) else ".".join(argument)
            case "Fn::Join":
                return str(argument[0]).join(str(item) for item in self(argument[1]))
            case "Fn::Select":
                return self(argument[1])[int(self(argument[0]))]
            case "Fn::FindInMap":
                top, first, second = self(argument[:3])
                return self._mappings[top][first][second]
            case "Fn::If":
                return self(argument[1] if self._holds(argument[0]) else argument[2])
            case "Fn::Equals":
                left, right = self(argument)
                return str(left) == str(right)
            case "Fn::Not":
                return not self(argument[0])
            case "Fn::And":
                return all(self(argument))
            case "Fn::Or":
                return any(self(argument))
        raise TemplateError(f"uses {name}, which cannot be resolved on this machine")

    def _holds(self, condition: str) -> bool:
        if condition not in self._conditions:
            raise TemplateError(f"has no condition {condition}")
        return bool(self(self._conditions[condition]))
