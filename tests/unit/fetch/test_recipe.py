import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyfan.fetch import recipe
from skyfan.fetch.recipe import Copy, Recipe

SOURCE = bytes(range(256)) * 8
copies = st.builds(
    lambda start, length, count, gap: Copy(start, length, count, length + gap if count > 1 else 0),
    st.integers(0, 500),
    st.integers(1, 60),
    st.integers(1, 12),
    st.integers(1, 40),
)
recipes = st.lists(st.one_of(st.binary(max_size=30), copies), max_size=6).map(
    lambda parts: Recipe(tuple(parts))
)


def expected(made: Recipe) -> bytes:
    parts = []
    for part in made.parts:
        if isinstance(part, bytes):
            parts.append(part)
        else:
            rows = (part.start + row * part.stride for row in range(part.count))
            parts += [SOURCE[start : start + part.length] for start in rows]
    return b"".join(parts)


@given(
    recipes, st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), max_size=4), st.integers(1, 200)
)
def test_pieces_make_the_file_whatever_is_present_already(
    made: Recipe, ranges: list[tuple[int, int]], piece: int
) -> None:
    whole = expected(made)
    assert made.size == len(whole)
    present = [(a, min(b, made.size)) for a, b in ranges if a < min(b, made.size)]
    content = bytearray(len(whole))
    for start, end in present:
        content[start:end] = whole[start:end]
    for at, body in made.own():
        content[at : at + len(body)] = body
    requested = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "PIECE", piece)
        for one in made.pieces(present, piece):
            start, stop = one.source
            rows = one.strips.count
            assert stop - start <= max(piece, one.strips.length if rows == 1 else one.strips.span)
            body = one.gather(SOURCE[start:stop])
            assert len(body) == one.strips.size
            content[one.at : one.at + len(body)] = body
            requested += stop - start
    assert bytes(content) == whole
    assert requested <= made.transfer


def test_a_file_that_is_present_needs_no_request() -> None:
    made = Recipe((b"ab", Copy(0, 10), Copy(20, 3, 4, 5)))
    assert not list(made.pieces([(0, 7), (7, made.size)]))
    assert made.digest() != Recipe((b"ab", Copy(0, 10), Copy(20, 3, 4, 6))).digest()
