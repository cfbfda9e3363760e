"""An input has one key: for the function, which writes results, and for skyfan, which looks for them."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skyfan.storage import uris
from skyfan_contract import key_of
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
