"""An input has one key: for the function, which writes results, and for skyfan, which looks for them."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sep_extract.quality import Quality, doubts
from skyfan.storage import uris
from skyfan_contract import MAX_KEY_BYTES, key_of, mark_key
from skyfan_function.errors import EventError
from skyfan_function.event import Request

# What is in names of files and keys, with all that a URI could mistake for its own syntax.
parts = st.text(st.sampled_from("aZ09 #%?+&=;:@{}[]~._-'\"\\é夜\t\n"), min_size=1).filter(
    lambda part: part not in {".", ".."}
)
names = st.lists(parts, min_size=1, max_size=4).map("/".join)


@given(names)
@example("a#b.fits")
@example("100%41?.fits")
@example("a+b c&d=é夜.fits")
def test_a_file_name_is_mirrored_as_it_is(name: str) -> None:
    uri = Path("/", name).as_uri()
    assert key_of(uri) == uris.key(uri) == Request.parse({"input": uri}).key == name
    assert uris.local_path(uri) == Path("/", name)


@given(names)
@example("50%23#1?.fits")
@example("a\x7f.fits")
def test_an_objects_key_is_mirrored_as_it_is(name: str) -> None:
    uri = f"s3://bucket/{name}"
    if any(character < " " or character == "\x7f" for character in name):
        with pytest.raises(ValueError, match="control character") as caught:
            key_of(uri)
        assert "\n" not in str(caught.value), "one line, whatever the key"
        return
    assert key_of(uri) == uris.key(uri) == Request.parse({"input": uri}).key == f"bucket/{name}"


@given(names)
@example("a#b.fits")
@example("what?.fits")
def test_a_uri_that_somebody_wrote_by_hand_has_one_meaning(name: str) -> None:
    """Neither '#' nor '?' ends the name of a file, whether escaped or not."""
    uri = "file:///data/" + quote(name, safe="/#?+&=;:@")
    assert key_of(uri) == uris.key(uri) == f"data/{name}"


@pytest.mark.parametrize(
    "uri",
    [
        *(
            f"s3://{bucket}/k"
            for bucket in ["b#x", "b?x", "a b", "a_b", "B", "a..b", ".a", "a-", "a%b", "a@b", "é"]
        ),
        f"s3://{'b' * 64}/k",
        "s3://bucket/\ud800",
        "s3://bucket/" + "a" * (MAX_KEY_BYTES - 6),
        "s3://bucket/" + "a" * 70_000,
        "file:///a%00b",
    ],
    ids=lambda uri: ascii(uri[:20]),
)
def test_what_no_object_is_called_is_refused_in_a_few_words(uri: str) -> None:
    with pytest.raises(EventError) as caught:
        Request.parse({"input": uri})
    assert len(str(caught.value).encode()) < 400


def test_the_longest_key_leaves_room_for_the_longest_result() -> None:
    """S3 takes keys of 1,024 bytes. The longest is that of a mark, with the name of a run and all doubts."""
    key = "bucket/" + "é" * ((MAX_KEY_BYTES - 7) // 2)
    assert Request.parse({"input": f"s3://{key}"}).key == key
    marks = mark_key(doubts(~Quality.NONE), key)
    assert len(f"runs/{'r' * 64}/doubtful/{marks}".encode()) <= 1024
