"""A deployed stack: the outputs of CloudFormation, and the limits of its functions."""

import json
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from skyfan_contract import INPUTS, PROBE

from .. import session
from ..bill.estimate import ASSUMED_CONCURRENCY
from ..errors import FunctionRefusedError, UsageError
from ..plans.plan import LARGE, STANDARD
from ..runs.run import LARGE_SUFFIX
from ..storage.place import Place
from ..template import AGE_S, RETRIES, Template

DEFAULT = "skyfan"
# The last is what `sam local start-lambda` answers to an operation that it does not have.
_UNTOLD = {"AccessDeniedException", "AccessDenied", "PathNotFoundLocally"}
# Settings that a function may lack: Lambda's own defaults apply then.
_OPTIONAL = {"get_function_event_invoke_config"}
# Errors of a function that cannot write results, whatever it is sent.
_UNWRITABLE = {"OutputRefusedError", "ConfigurationError"}


@dataclass(frozen=True)
class Stack:
    """Name, region and outputs of a deployed template.yaml."""

    name: str
    region: str
    outputs: dict[str, str]
    unfit: str = ""
    """Why no file may be sent to it; empty if it works. Its results can be read all the same."""

    def check(self) -> None:
        """Raises UsageError if no file may be sent to it, with its state and what to do."""
        if self.unfit:
            raise UsageError(self.unfit)

    @property
    def results(self) -> Place:
        """The bucket that receives results."""
        return Place.at(f"s3://{self._output('ResultsBucket')}")

    @property
    def failures(self) -> Place:
        """The bucket that receives Lambda's on-failure records."""
        return Place.at(f"s3://{self._output('FailuresBucket')}")

    @property
    def marks_doubtful(self) -> bool:
        """Whether its functions mark doubtful results; those of earlier versions do not."""
        return "DoubtfulMarks" in self.outputs

    @property
    def functions(self) -> dict[str, str]:
        """Deployed names of the functions by logical ID."""
        return {
            key.removesuffix("Name"): value
            for key, value in self.outputs.items()
            if key.endswith("Name") and f"{key.removesuffix('Name')}Arn" in self.outputs
        }

    def function(self, logical_id: str) -> str:
        """The deployed name of a function. Raises UsageError if unknown; the message lists the functions."""
        try:
            return self.functions[logical_id]
        except KeyError:
            existing = ", ".join(sorted(self.functions)) or "none"
            raise UsageError(
                f"the stack {self.name} has no function {logical_id!r}; it has: {existing}"
            ) from None

    def log_group(self, logical_id: str) -> str:
        """The function's log group."""
        return self._output(f"{logical_id}LogGroup")

    def _output(self, key: str) -> str:
        if key not in self.outputs:
            raise UsageError(
                f"the stack {self.name} has no output {key}: its template is not skyfan's template.yaml, or "
                "an older version of it; deploy it again"
            )
        return self.outputs[key]


def find(name: str = DEFAULT, *, patient: bool = True) -> Stack:
    """Reads a stack from CloudFormation.

    Raises UsageError if it does not exist or may not be read, or if its status says that it has no results.

    `patient` as in session.client().
    """
    client = session.client("cloudformation", patient=patient)
    region = client.meta.region_name
    description = described(client, name)
    if description is None:
        raise UsageError(f"the stack {name!r} does not exist in {region}{_elsewhere(name, region)}")
    state = state_of(client, description)
    if state and state.use == "none":
        raise UsageError(state.message)
    outputs = {item["OutputKey"]: item["OutputValue"] for item in description.get("Outputs", [])}
    return Stack(name, region, outputs, state.message if state and state.use == "read" else "")


def _elsewhere(name: str, region: str) -> str:
    """Where else a stack may be: most are in the region of the archive. Continues a message."""
    if region != session.REGION:
        with suppress(UsageError):
            if described(session.client("cloudformation", session.REGION, patient=False), name):
                return f", but in {session.REGION}: add --region {session.REGION}"
    return ": `skyfan deploy` creates it, and --region names another region"


def described(client: Any, name: str) -> dict[str, Any] | None:
    """The description of a stack by CloudFormation; None if there is none. Raises UsageError."""
    try:
        with session.aws_errors(f"the stack {name!r} in {client.meta.region_name}"):
            (description,) = client.describe_stacks(StackName=name)["Stacks"]
    except UsageError as error:
        if session.error_code(error) == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    found: dict[str, Any] = description
    return found


@dataclass(frozen=True)
class State:
    """A status of a stack that limits what can be done, by states.toml."""

    use: str
    deploy: bool
    message: str
    """The status with its meaning, reason and cure."""


@cache
def _states() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("states.toml").read_text(encoding="utf-8"))


def state_of(client: Any, description: dict[str, Any]) -> State | None:
    """What the status of a stack means; None if it works and can be updated."""
    name, status = description["StackName"], description["StackStatus"]
    if (row := _states().get(status)) is None:
        return None
    region = client.meta.region_name
    reason = _reason(client, description)
    meaning = f"{row['meaning']} ({reason})" if reason else row["meaning"]
    advice = str(row["advice"]).format(stack=name, region=region)
    return State(
        row["use"],
        row["deploy"],
        f"the stack {name!r} in {region} is {status}: {meaning}. What to do: {advice}",
    )


def _reason(client: Any, description: dict[str, Any]) -> str:
    """Why the last change of a stack failed: its first failed resource, else the status's own reason."""
    events: list[dict[str, Any]] = []
    if "FAILED" in description["StackStatus"] or "ROLLBACK" in description["StackStatus"]:
        with suppress(UsageError), session.aws_errors("events"):  # the user may not be allowed to read them
            events = client.describe_stack_events(StackName=description["StackName"])["StackEvents"]
    reason = ""
    for event in events:  # newest first
        said = str(event.get("ResourceStatusReason") or "")
        if event.get("PhysicalResourceId") == event.get("StackId") and "User Initiated" in said:
            break
        if event.get("ResourceStatus", "").endswith("_FAILED") and "cancelled" not in said:
            reason = f"{event['LogicalResourceId']}: {said}"
    return reason or str(description.get("StackStatusReason") or "")


def prove_writable(function: "Deployed", run: str) -> None:
    """Makes a function prove that it can write results of a run, by an empty object beside them.

    Raises FunctionRefusedError if it cannot. Any other failure proves nothing, and the sender meets it again.
    """
    try:
        with session.aws_errors(function.name):
            response = session.client("lambda", patient=False).invoke(
                FunctionName=function.name, Payload=json.dumps({PROBE: run})
            )
            answer = json.loads(response["Payload"].read() or b"{}")
    except (UsageError, ValueError):
        return
    if "FunctionError" in response and answer.get("errorType") in _UNWRITABLE:
        raise FunctionRefusedError(f"{function.name} cannot write results: {answer.get('errorMessage')}")


@dataclass(frozen=True)
class Deployed:
    """A function of a stack and its limits. The defaults are Lambda's."""

    name: str
    memory_mb: int
    timeout_s: float
    retries: int = RETRIES
    age_s: float = AGE_S
    """Maximum event age: Lambda drops an event that has waited longer."""
    reserved: int | None = None
    """Reserved concurrency; None if it shares that of the account."""
    inputs: frozenset[str] = frozenset()
    """The buckets that it reads; empty if it reads any, or if Lambda does not tell."""


@dataclass(frozen=True)
class Functions:
    """The function of each memory tier, and how many of their invocations run at once."""

    tiers: dict[str, Deployed]
    """The same function for both tiers if there is no variant with more memory."""
    concurrency: int
    concurrency_source: str
    """Where that number comes from, in words."""
    notices: tuple[str, ...]
    """What Lambda did not tell, and what is used instead; one line each."""

    @property
    def memory_mb(self) -> dict[str, int]:
        """Memory size of each tier."""
        return {tier: function.memory_mb for tier, function in self.tiers.items()}

    @property
    def tier_of(self) -> dict[str, str]:
        """Tier of each function by its deployed name."""
        return {function.name: tier for tier, function in reversed(self.tiers.items())}

    @property
    def age_s(self) -> float:
        """The lowest maximum event age."""
        return min(function.age_s for function in self.tiers.values())

    def check(self, run: str) -> None:
        """Raises UsageError if a function may not run at all: its events would all become failures."""
        for function in self.tiers.values():
            if function.reserved == 0:
                raise UsageError(
                    f"{function.name} has a reserved concurrency of 0, so that it never runs: a cancel is "
                    f"under way or was interrupted (`skyfan cancel {run} --restore` undoes that)"
                )


def deployed(
    stack: Stack,
    registry: Template,
    function: str,
    concurrency: int | None = None,
    *,
    patient: bool = True,
) -> Functions:
    """The functions of a stack with this logical ID, with and without more memory, as Lambda describes them.

    What the user may not read, or an emulator does not know, comes from the template, or is assumed, and is
    named in the notices; any other error raises UsageError. `concurrency` replaces what Lambda allows;
    `patient` as in session.client().
    """
    if concurrency is not None and concurrency < 1:
        raise UsageError(f"concurrency must be at least 1, not {concurrency}")
    asking = _Asking(session.client("lambda", patient=patient), registry)
    tiers = dict.fromkeys((STANDARD, LARGE), asking.function(stack.function(function), function))
    large = function + LARGE_SUFFIX
    if large in stack.functions:
        tiers[LARGE] = asking.function(stack.function(large), large)
    allowed, source = (
        asking.concurrency(tiers.values()) if concurrency is None else (concurrency, "as requested")
    )
    return Functions(tiers, allowed, source, tuple(dict.fromkeys(asking.notices)))


def _inputs(configuration: dict[str, Any]) -> frozenset[str]:
    named = str(configuration.get("Environment", {}).get("Variables", {}).get(INPUTS, ""))
    return frozenset(filter(None, named.split(",")))


class _Asking:
    """Asks Lambda about functions, and keeps what it did not tell."""

    def __init__(self, client: Any, registry: Template) -> None:
        self.notices: list[str] = []
        self._client, self._registry = client, registry

    def function(self, name: str, logical_id: str) -> Deployed:
        template = f"the values of {self._registry.path} are used"
        limits = self._ask(
            f"the memory size and time limit of {name}", template, "get_function_configuration", name
        )
        if limits is None:
            described = self._registry.function(logical_id)
            limits = {"MemorySize": described.memory_mb, "Timeout": described.timeout_s}
        invoke = self._ask(
            f"retries and maximum event age of {name}", template, "get_function_event_invoke_config", name
        )
        if invoke is None:
            described = self._registry.function(logical_id)
            invoke = {"MaximumRetryAttempts": described.retries, "MaximumEventAgeInSeconds": described.age_s}
        assumed = "nothing is taken to be reserved"
        reserved = self._ask(f"the reserved concurrency of {name}", assumed, "get_function_concurrency", name)
        return Deployed(
            name,
            int(limits["MemorySize"]),
            float(limits["Timeout"]),
            int(invoke.get("MaximumRetryAttempts", RETRIES)),
            float(invoke.get("MaximumEventAgeInSeconds", AGE_S)),
            (reserved or {}).get("ReservedConcurrentExecutions"),
            _inputs(limits),
        )

    def concurrency(self, functions: Iterable[Deployed]) -> tuple[int, str]:
        """The invocations at once that the scarcest of these functions can have, and where that is from."""
        limits = {
            (item.reserved, f"reserved for {item.name}") for item in functions if item.reserved is not None
        }
        if any(item.reserved is None for item in functions):
            assumed = f"{ASSUMED_CONCURRENCY:,} invocations at once are assumed"
            account = self._ask("the concurrency of the account", assumed, "get_account_settings")
            if account is None:
                limits.add((ASSUMED_CONCURRENCY, "assumed: the limit of the account could not be read"))
            else:
                own = int(account["AccountLimit"]["UnreservedConcurrentExecutions"])
                limits.add((own, "the limit of the account"))
        return min(limits)

    def _ask(
        self, what: str, instead: str, operation: str, function: str | None = None
    ) -> dict[str, Any] | None:
        """The response; {} if Lambda has no such setting, None if the user may not read it."""
        names = {} if function is None else {"FunctionName": function}
        try:
            with session.aws_errors(what):
                response: dict[str, Any] = getattr(self._client, operation)(**names)
        except UsageError as error:
            code = session.error_code(error)
            if code == "ResourceNotFoundException" and operation in _OPTIONAL:
                return {}
            # Other emulators answer an operation that they do not have with 404 and nothing else.
            if code in _UNTOLD or (code == "404" and function is None):
                self.notices.append(f"Lambda does not tell {what} ({error}): {instead}")
                return None
            raise
        return response
