"""Numbers as people read them."""

import pytest

from skyfan import words


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (words.usd(0), "0 USD"),
        (words.usd(1234.567), "1,234.57 USD"),
        (words.usd(0.0018337), "0.00183 USD"),
        (words.usd(1.4e-7), "0.000000140 USD"),
        (words.size(999), "999 bytes"),
        (words.size(4_700_000), "4.7 MB"),
        (words.size(12.71e12), "12.71 TB"),
        (words.seconds(0.25), "250 ms"),
        (words.seconds(119.9), "2 min 0 s"),
        (words.seconds(68_950), "19 h 9 min"),
        (words.number(float("nan")), "–"),
        (words.number(26.4567), "26.46"),
        (words.number(122_078), "122,078"),
        (words.files(1), "1 file"),
        (words.files(2, "image"), "2 images"),
        (words.moment(None), "–"),
        (words.moment(0), "1970-01-01 00:00:00 UTC"),
        (words.name("s3://bucket/a/b.fits"), "b.fits"),
        (words.shortened("abcdef", 4), "abc…"),
    ],
)
def test_words(told: str, expected: str) -> None:
    assert told == expected
