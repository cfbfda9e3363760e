"""Sets of files as digests."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from skyfan.runs import digests

names = st.text(max_size=3)


@settings(max_examples=30, deadline=None)
@given(st.lists(names, max_size=12), st.lists(names, max_size=12))
def test_a_set_of_digests_contains_what_the_set_of_names_does(kept: list[str], wanted: list[str]) -> None:
    existing = digests.digests(kept)
    at = digests.find(existing, digests.each(wanted))
    for name, where in zip(wanted, at, strict=True):
        assert digests.contains(existing, name) == (name in kept)
        assert (where == -1) == (name not in kept)
        assert where == -1 or existing[where] == digests.digest(name)


def test_a_digest_is_the_first_64_bits_of_blake2b_and_that_of_the_key_of_a_uri() -> None:
    assert digests.digest("") == 0xB4B2797457A0A6E4 == int(digests.each([""])[0])
    uris = ["s3://bucket/a b.fits", "file:///data/a%20b.fits"]
    assert digests.of_uris(uris).tolist() == digests.each(["bucket/a b.fits", "data/a b.fits"]).tolist()
    assert np.all(np.diff(digests.digests("abcdefgh").astype(object)) > 0)


def test_halves_of_characters_have_digests() -> None:
    """A failure record can name anything."""
    assert digests.each(["\ud800"])[0] == digests.digest("\ud800") != digests.digest("\udc00")
