"""A deployed stack, as its CloudFormation outputs tell it."""

from dataclasses import dataclass

from ..errors import UsageError
from ..runs.place import Place
from . import session

DEFAULT = "skyfan"


@dataclass(frozen=True)
class Stack:
    """Outputs of a stack of template.yaml."""

    name: str
    region: str
    outputs: dict[str, str]

    @property
    def results(self) -> Place:
        """The bucket that receives results."""
        return Place.at(f"s3://{self._output('ResultsBucket')}")

    @property
    def failures(self) -> Place:
        """The bucket that receives Lambda's on-failure records."""
        return Place.at(f"s3://{self._output('FailuresBucket')}")

    @property
    def functions(self) -> dict[str, str]:
        """Names of the deployed functions by their logical IDs."""
        return {
            key.removesuffix("Name"): value
            for key, value in self.outputs.items()
            if key.endswith("Name") and f"{key.removesuffix('Name')}Arn" in self.outputs
        }

    def function(self, logical_id: str) -> str:
        """The deployed name of a function. Raises UsageError that names those that there are."""
        try:
            return self.functions[logical_id]
        except KeyError:
            there = ", ".join(sorted(self.functions)) or "none"
            raise UsageError(
                f"the stack {self.name} has no function {logical_id!r}; it has: {there}"
            ) from None

    def log_group(self, logical_id: str) -> str:
        """The function's log group."""
        return self._output(f"{logical_id}LogGroup")

    def _output(self, key: str) -> str:
        if key not in self.outputs:
            raise UsageError(
                f"the stack {self.name} has no output {key}: it was not made from skyfan's template.yaml, "
                "or from an older one; deploy it again"
            )
        return self.outputs[key]


def find(name: str = DEFAULT) -> Stack:
    """Asks CloudFormation for a stack. Raises UsageError where there is none, or no right to ask."""
    client = session.client("cloudformation")
    with session.told(f"the stack {name!r} in {client.meta.region_name}"):
        (found,) = client.describe_stacks(StackName=name)["Stacks"]
    outputs = {item["OutputKey"]: item["OutputValue"] for item in found.get("Outputs", [])}
    return Stack(name, client.meta.region_name, outputs)
