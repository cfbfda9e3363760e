"""The outputs of a stack, as CloudFormation describes it, and what its functions allow."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from skyfan.aws import stack as stacks
from skyfan.aws.stack import Deployed, Functions, Stack
from skyfan.errors import UsageError
from skyfan.storage.place import Place

OUTPUTS = {
    "ResultsBucket": "results",
    "FailuresBucket": "failures",
    "SepExtractName": "s-SepExtract",
    "SepExtractArn": "arn:s-SepExtract",
    "SepExtractLogGroup": "/aws/lambda/s-SepExtract",
    "FitsSummaryName": "s-FitsSummary",
    "FitsSummaryArn": "arn:s-FitsSummary",
    "DashboardName": "no function: it has no ARN",
    "QueueArn": "no function: it has no name",
}


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stub of CloudFormation, and what its clients were asked to be."""
    client = boto3.client(
        "cloudformation", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as stub:
        stub.asked = []  # type: ignore[attr-defined]

        def make(service: str, region: str | None = None, *, patient: bool) -> Any:
            stub.asked.append((service, patient))  # type: ignore[attr-defined]
            return client

        monkeypatch.setattr(stacks.session, "client", make)
        yield stub


def described(**more: Any) -> dict[str, Any]:
    stack = {"StackName": "mine", "CreationTime": 0, "StackStatus": "CREATE_COMPLETE", **more}
    return {"Stacks": [stack]}


def test_a_stack_is_found_with_its_outputs_and_region(cloudformation: Any) -> None:
    outputs = [{"OutputKey": key, "OutputValue": value} for key, value in OUTPUTS.items()]
    cloudformation.add_response("describe_stacks", described(Outputs=outputs), {"StackName": "mine"})
    assert stacks.find("mine") == Stack("mine", "eu-west-1", OUTPUTS)
    cloudformation.add_response("describe_stacks", described(), {"StackName": "skyfan"})
    assert stacks.find(patient=False) == Stack("skyfan", "eu-west-1", {})
    assert cloudformation.asked == [("cloudformation", True), ("cloudformation", False)]


def test_a_stack_that_does_not_exist_is_named_with_its_region(cloudformation: Any) -> None:
    for _ in ("here", "in us-east-1"):
        missing = "Stack with id mine does not exist"
        cloudformation.add_client_error("describe_stacks", "ValidationError", missing)
    with pytest.raises(UsageError, match="'mine' does not exist in eu-west-1: `skyfan deploy` creates it"):
        stacks.find("mine")


def test_buckets_and_log_groups_are_outputs(bucket: Place) -> None:
    stack = Stack("mine", "eu-west-1", OUTPUTS)
    assert (stack.results.name, stack.failures.name) == ("s3://results", "s3://failures")
    assert stack.log_group("SepExtract") == "/aws/lambda/s-SepExtract"
    with pytest.raises(UsageError, match="mine has no output FitsSummaryLogGroup"):
        stack.log_group("FitsSummary")
    with pytest.raises(UsageError, match="no output ResultsBucket"):
        _ = Stack("mine", "eu-west-1", {}).results


def test_functions_have_a_name_and_an_arn() -> None:
    stack = Stack("mine", "eu-west-1", OUTPUTS)
    assert stack.functions == {"SepExtract": "s-SepExtract", "FitsSummary": "s-FitsSummary"}
    assert stack.function("SepExtract") == "s-SepExtract"
    with pytest.raises(UsageError, match="'Queue'; it has: FitsSummary, SepExtract"):
        stack.function("Queue")
    with pytest.raises(UsageError, match="it has: none"):
        Stack("mine", "eu-west-1", {}).function("SepExtract")


@pytest.mark.parametrize(("outputs", "marks"), [({}, False), ({"DoubtfulMarks": "yes"}, True)])
def test_a_stack_says_whether_it_marks_doubts(outputs: dict[str, str], marks: bool) -> None:
    assert Stack("mine", "eu-west-1", outputs).marks_doubtful is marks


def test_one_function_may_serve_both_tiers() -> None:
    standard, large = Deployed("s-F", 1769, 300.0, age_s=60.0), Deployed("s-FLarge", 10240, 900.0, age_s=50.0)
    two = Functions({"standard": standard, "large": large}, 5, "", ())
    assert two.memory_mb == {"standard": 1769, "large": 10240}
    assert two.tier_of == {"s-F": "standard", "s-FLarge": "large"}
    assert two.age_s == 50.0
    one = Functions({"standard": standard, "large": standard}, 5, "", ())
    assert one.tier_of == {"s-F": "standard"}
    assert Deployed("s-F", 1769, 300.0) == Deployed("s-F", 1769, 300.0, 2, 21600.0, None), "Lambda's defaults"


@pytest.mark.parametrize(("reserved", "refused"), [(None, False), (0, True), (1, False)])
def test_a_function_that_may_not_run_is_refused(reserved: int | None, refused: bool) -> None:
    standard, large = Deployed("s-F", 1769, 300.0), Deployed("s-FLarge", 10240, 900.0, reserved=reserved)
    functions = Functions({"standard": standard, "large": large}, 5, "", ())
    if refused:
        with pytest.raises(UsageError, match=r"s-FLarge .*skyfan cancel deep --restore"):
            functions.check("deep")
    else:
        functions.check("deep")
