"""What the roles of the functions allow, by IAM's own logic, over any name of a run and key of an input."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import permissions
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standins import iam

from skyfan.storage.place import Place
from skyfan.template import Resolver
from skyfan_contract import NO_DOUBTS, PROBE, RUN_NAME, mark_key

RESULTS = f"arn:aws:s3:::{iam.RESULTS}"
FUNCTIONS = {
    "SepExtract": "catalogs/{}.cat.fits",
    "FitsSummary": "summaries/{}.json",
    "Transits": "transits/{}.cat.fits",
}
# Folders of a run, so that keys of inputs look like them.
FOLDERS = [
    "runs",
    "catalogs",
    "summaries",
    "transits",
    "failures",
    "doubtful",
    "plans",
    "receipts",
    "a.b",
    "x y",
]


@cache
def policies(**given: str) -> Mapping[str, Any]:
    return iam.policies(given)


def writes(function: str, key: str) -> bool:
    return iam.allowed(policies()[function], "s3:PutObject", f"{RESULTS}/{key}")


runs = st.one_of(st.from_regex(RUN_NAME, fullmatch=True), st.sampled_from(FOLDERS[:7]))
names = st.one_of(
    st.sampled_from([*FOLDERS, "run.json", "cancel.json", "x.parquet"]), st.text("ab*?[]é.", min_size=1)
)
paths = st.lists(names, min_size=1, max_size=5).map("/".join)


def patterns(letters: str) -> st.SearchStrategy[str]:
    return st.text(letters, max_size=8)


@given(patterns("ab/."), patterns("ab/*?."))
def test_a_pattern_matches_as_iam_says(text: str, pattern: str) -> None:
    def slow(text: str, pattern: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(slow(text[start:], pattern[1:]) for start in range(len(text) + 1))
        return bool(text) and pattern[0] in ("?", text[0]) and slow(text[1:], pattern[1:])

    assert iam.matches(text, pattern) is slow(text, pattern)


ALLOW = {"Effect": "Allow", "Action": "s3:Put*", "Resource": "arn:aws:s3:::b/*"}
DENY = {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:s3:::b/own/*"}


@pytest.mark.parametrize(
    ("statements", "is_allowed"),
    [
        ([], False),
        ([ALLOW], True),
        ([{**ALLOW, "Action": "S3:PUTOBJECT"}], True),
        ([{**ALLOW, "Resource": "arn:aws:s3:::B/*"}], False),
        ([{**ALLOW, "NotAction": "s3:Get*", "Action": None}], True),
        ([ALLOW, DENY], False),
        ([DENY, ALLOW, ALLOW], False),
        ([ALLOW, {**DENY, "NotResource": "arn:aws:s3:::b/x/*"}], True),
        ([ALLOW, {**DENY, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}], True),
        ([{**ALLOW, "Condition": {"StringLike": {"k": ["x*", "y*"], "j": "?"}}}], True),
        ([{**ALLOW, "Condition": {"StringLike": {"k": "x*", "j": "??"}}}], False),
        ([{**ALLOW, "Condition": {"StringNotEquals": {"k": ["a", "yes"]}}}], False),
        ([{**ALLOW, "Condition": {"StringNotEquals": {"missing": "a"}}}], True),
        ([{**ALLOW, "Condition": {"StringEquals": {"missing": "a"}}}], False),
        ([{**ALLOW, "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}}], False),
    ],
)
def test_a_decision_is_iam_s(statements: list[dict[str, Any]], is_allowed: bool) -> None:
    known = [{key: value for key, value in item.items() if value is not None} for item in statements]
    context = {"k": "yes", "j": "1"}
    assert iam.allowed(known, "s3:PutObject", "arn:aws:s3:::b/x/y", context) is is_allowed


@pytest.mark.parametrize(
    "odd", [{**ALLOW, "Version": "2012-10-17"}, {**ALLOW, "Condition": {"DateLessThan": {"a": "b"}}}]
)
def test_what_the_evaluator_does_not_know_is_no_decision(odd: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError)):
        iam.allowed([odd], "s3:PutObject", "arn:aws:s3:::b/x")


@pytest.mark.slow
@given(runs, paths)
def test_a_function_writes_its_own_results_of_any_input(run: str, path: str) -> None:
    for function, results in FUNCTIONS.items():
        for written in (
            results.format(path),
            f"{results.partition('/')[0]}/{PROBE}",
            f"failures/{path}.json",
        ):
            assert writes(function, f"runs/{run}/{written}")


@pytest.mark.slow
@given(runs, paths, st.sampled_from([NO_DOUBTS, "NO_SKY MASKED"]))
def test_a_function_marks_any_image_but_one_that_is_named_like_a_plan(
    run: str, path: str, doubts: str
) -> None:
    is_odd = re.search(r"/(plans|receipts)/.*\.parquet$", f"/{path}")
    for function in FUNCTIONS:
        assert writes(function, f"runs/{run}/doubtful/{mark_key(doubts, path)}") is not bool(is_odd)


@pytest.mark.slow
@given(runs, st.sampled_from(["plans", "receipts"]), paths, st.sampled_from(["", ".parquet", ".json"]))
def test_a_function_writes_no_plan_and_no_receipt(run: str, folder: str, path: str, suffix: str) -> None:
    """Neither what skyfan reads, nor any Parquet file below these folders, to which a * reaches."""
    key = f"runs/{run}/{folder}/{path}{suffix}"
    if key.endswith(".parquet") or key.count("/") == 3:
        assert not any(writes(function, key) for function in FUNCTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run.json", "lease.json", "cancel.json", "report.html"])
@given(run=runs)
def test_a_function_does_not_write_what_says_how_a_run_stands(name: str, run: str) -> None:
    assert not any(writes(function, f"runs/{run}/{name}") for function in FUNCTIONS)


def test_what_lies_deeper_is_no_plan_and_no_receipt(tmp_path: Path) -> None:
    place = Place.at(tmp_path)
    for name in ("a.parquet", "failures/evil.parquet", "doubtful/x/b.parquet", "note.json"):
        place.put(f"runs/r/receipts/{name}", b"")
    assert [item.key for item in place.tables("runs/r/receipts/")] == ["runs/r/receipts/a.parquet"]


@pytest.mark.parametrize("given", [{}, {"ExistingOutputBucket": "b" * 63, "ExtraInputBucket": "c" * 63}])
def test_policies_fit_into_iam_s_limits(given: dict[str, str]) -> None:
    """6,144 characters for a managed policy, 10,240 for what a role has inline."""
    for statements in policies(**given).values():
        assert len(json.dumps(statements, separators=(",", ":"))) < 6144


def test_the_queue_takes_the_archive_s_messages_alone() -> None:
    parameters = {"StandingQueries": "on", "ArchiveTopics": "arn:aws:sns:us-east-1:123456789012:new-"}
    document = permissions.translated(parameters)
    resolve = Resolver(document, parameters)
    (allow, deny) = document["Resources"]["WatchQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (allow["Principal"], allow["Action"]) == ({"Service": "sns.amazonaws.com"}, "sqs:SendMessage")
    topics = {
        resolve(item["Properties"]["TopicArn"])
        for item in document["Resources"].values()
        if item["Type"] == "AWS::SNS::Subscription"
    }
    assert set(resolve(allow["Condition"]["ArnEquals"]["aws:SourceArn"])) == topics
    assert topics == {f"{parameters['ArchiveTopics']}{mission}" for mission in ("hst", "jwst", "tess")}
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    made = [item for item in document["Resources"].values() if item.get("Condition") == "KeepsWatches"]
    assert {item["Type"].split("::")[1] for item in made} == {"Lambda", "SQS", "SNS", "IAM", "Logs"}


def test_the_watcher_writes_no_result_and_starts_the_stack_s_functions_alone() -> None:
    watcher = policies(StandingQueries="on")["Watcher"]
    for key in ("runs/r/catalogs/a.fits.cat.fits", "runs/r/run.json", "watches/w/watch.json", "a"):
        assert not iam.allowed(watcher, "s3:PutObject", f"{RESULTS}/{key}")
    for name, is_allowed in (("survey-SepExtract", True), ("survey-Watcher", False), ("other", False)):
        arn = f"arn:aws:lambda:us-east-1:{iam.ACCOUNT}:function:{name}"
        assert iam.allowed(watcher, "lambda:InvokeFunction", arn) is is_allowed
    assert "Watcher" not in policies()
