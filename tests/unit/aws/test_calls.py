"""Files grouped into invocations."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyfan.aws.calls import MAX_EVENT, calls
from skyfan.errors import UsageError
from skyfan.task import Task

names = st.tuples(st.text(min_size=1, max_size=20).map(lambda text: f"s3://b/{text}"), st.sampled_from("fg"))


@given(files=st.lists(names, max_size=60), batch=st.integers(1, 9))
def test_every_file_is_in_one_call_of_its_function(files: list[tuple[str, str]], batch: int) -> None:
    made = list(calls(files, Task("r", config={"a": 1}), batch))
    assert sorted((uri, call.function) for call in made for uri in call.uris) == sorted(files)
    for call in made:
        event = json.loads(call.payload)
        given_uris = event["inputs"] if batch > 1 else [event["input"]]
        assert given_uris == list(call.uris)
        assert ("input" in event, "inputs" in event) == (batch == 1, batch > 1)
        assert (event["run"], event["config"]) == ("r", {"a": 1})
        assert len(call.uris) <= batch
    for function in "fg":
        short = [call for call in made if call.function == function and len(call.uris) < batch]
        assert len(short) <= 1


def test_a_batch_is_cut_where_the_event_would_be_over_the_limit() -> None:
    files = [(f"s3://b/{at}{'x' * 300_000}", "f") for at in range(7)]
    made = list(calls(files, Task(), 100))
    assert [len(call.uris) for call in made] == [3, 3, 1]
    assert max(len(call.payload) for call in made) <= MAX_EVENT
    assert [uri for call in made for uri in call.uris] == [uri for uri, _ in files]


@pytest.mark.parametrize("batch", [1, 5])
def test_one_file_over_the_limit_is_refused(batch: int) -> None:
    with pytest.raises(UsageError, match="more than the 1 MB that Lambda takes"):
        list(calls([("s3://b/" + "x" * MAX_EVENT, "f")], Task(), batch))
