"""Catalog files, compared with astropy."""

import io

import numpy as np
import pytest
from astropy.io import fits
from standins import catalogs

from skyfan.catalogs import fitstable
from skyfan.catalogs.fitstable import DamagedCatalogError

URI = "s3://bucket/it's/" + "a-long-name/" * 12 + "x_flt.fits"


@pytest.fixture
def body() -> bytes:
    return catalogs.catalog(URI, [10.0, np.nan, 350.5], [-89.0, np.nan, 3.25], TARGNAME="NGC & 3")


def test_header_and_rows_are_those_that_astropy_reads(body: bytes) -> None:
    catalog = fitstable.read(body)
    with fits.open(io.BytesIO(body)) as hdus:
        for card in hdus[0].header.cards:
            if card.keyword not in ("HISTORY", "COMMENT", "CONTINUE", ""):
                assert catalog.header[card.keyword] == card.value, card.keyword
        assert catalog.header["SRCURI"] == URI
        assert catalog.history == "note: a note".ljust(72)
        assert [c.name for c in catalog.layout.columns] == hdus[1].columns.names
        assert [c.unit for c in catalog.layout.columns] == [c.unit or "" for c in hdus[1].columns]
        for name in hdus[1].columns.names:
            np.testing.assert_array_equal(catalog.rows[name], hdus[1].data[name], err_msg=name)


def test_a_catalog_may_have_no_rows() -> None:
    assert len(fitstable.read(catalogs.catalog(URI, [], [])).rows) == 0


def test_layouts_with_equal_columns_are_equal(body: bytes) -> None:
    one, other = fitstable.read(body).layout, fitstable.read(catalogs.catalog(URI, [1.0], [2.0])).layout
    assert one == other
    assert hash(one) == hash(other)
    assert one != fitstable.read(catalogs.catalog(URI, [1.0], [2.0], unit=None)).layout


@pytest.mark.parametrize("size", [0, 79, 2880, 5760, 20000, -2880, -1])
def test_a_truncated_catalog_is_damaged(body: bytes, size: int) -> None:
    with pytest.raises(DamagedCatalogError, match=r"truncated|not a FITS file"):
        fitstable.read(body[:size])


def test_a_corrupted_catalog_is_damaged(body: bytes) -> None:
    altered = bytearray(body)
    altered[-2880] ^= 1
    with pytest.raises(DamagedCatalogError, match="DATASUM"):
        fitstable.read(bytes(altered))


def test_the_error_message_says_why_a_file_is_not_a_catalog() -> None:
    image, odd = io.BytesIO(), io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((3, 3)))]).writeto(image)
    fits.BinTableHDU.from_columns([fits.Column("NUMBER", "C", array=[1j])]).writeto(odd)
    for file, words in (
        (image, "not a table"),
        (odd, "type C"),
    ):
        with pytest.raises(DamagedCatalogError, match=words):
            fitstable.read(file.getvalue())
    with pytest.raises(DamagedCatalogError, match="not a FITS file"):
        fitstable.read(b"<html>" * 1000)
