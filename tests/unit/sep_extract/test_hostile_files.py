"""Files made to do harm: each a permanent error that names it, of a reader that only goes forward."""

import gzip
import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.fits.hdu.compressed import _tiled_compression

from sep_extract import errors
from skyfan_function import errors as shared
from skyfan_function.structure import spans

Make = Callable[..., Any]
EMPTY = ["XTENSION= 'IMAGE   '", "BITPIX  =                    8", "NAXIS   =                    0", "END"]


@pytest.fixture
def raw(flt: Make) -> bytes:
    written = io.BytesIO()
    flt().writeto(written)
    return written.getvalue()


def header(cards: list[str]) -> bytes:
    text = "".join(card.ljust(80) for card in cards)
    return text.ljust(-(-len(text) // 2880) * 2880).encode()


def with_card(raw: bytes, key: str, value: object, hdu: int = 1) -> bytes:
    """The file with another value of the card with this key."""
    at = raw.index(b"XTENSION") if hdu else 0
    at = raw.index(f"{key:8}=".encode(), at)
    return raw[:at] + f"{key:8}= {value:>20}".ljust(80).encode() + raw[at + 80 :]


def with_cards(raw: bytes, cards: list[str]) -> bytes:
    """The file with more cards in its primary header."""
    end = raw.index(b"END".ljust(80))
    return header([raw[:end].decode(), *cards, "END"]) + raw[-(-(end + 80) // 2880) * 2880 :]


@pytest.mark.parametrize("key", ["NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT"])
@pytest.mark.parametrize("value", ["-1", "-96", "-36864", "9" * 15, "9" * 40, "NaN", "1E9", "T", "'x'"])
def test_a_size_that_no_file_has(extract: Make, raw: bytes, key: str, value: str) -> None:
    with pytest.raises(shared.UnreadableError, match=rf"^image.fits is damaged: HDU 1 SCI: .*{key[1:5]}"):
        extract(with_card(raw, key, value))


@pytest.mark.parametrize("hdu", [0, 1])
@pytest.mark.parametrize("axes", [-1, 1000, 10**9])
def test_a_number_of_axes_that_no_file_has(extract: Make, raw: bytes, hdu: int, axes: int) -> None:
    with pytest.raises(shared.UnreadableError, match=rf"HDU {hdu}.*NAXIS is {axes}, not from 0 to 999"):
        extract(with_card(raw, "NAXIS", axes, hdu))


def test_a_card_that_stands_twice(extract: Make, raw: bytes) -> None:
    at = raw.index(b"END".ljust(80), raw.index(b"XTENSION"))
    twice = raw[:at] + b"NAXIS1  =                   -8".ljust(80) + b"END".ljust(80) + raw[at + 160 :]
    with pytest.raises(shared.UnreadableError, match="HDU 1 SCI: NAXIS1 stands twice"):
        extract(twice)


class Counted(io.BytesIO):
    """A file that counts what is read of it, and refuses to go back."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        self.taken += len(found)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        assert (whence, offset >= self.tell()) == (io.SEEK_SET, True)
        return super().seek(offset, whence)


def test_headers_are_checked_in_one_pass_without_the_pixels(raw: bytes) -> None:
    file = Counted(raw)
    found = list(spans("a.fits", file, len(raw)))
    with fits.open(io.BytesIO(raw)) as hdus:
        places = [(hdu.fileinfo()["datLoc"], hdu.size) for hdu in hdus]
    assert [(span.start, span.end - span.start) for span in found] == places
    assert file.taken == sum(span.start for span in found) - sum(span.stop for span in found[:-1])


BOMBS: dict[str, Callable[[bytes], bytes]] = {
    "blanks": lambda raw: raw + b" " * (40 << 20),
    "a header without end": lambda raw: raw[:2800] + b" " * (40 << 20),
    "a long header": lambda raw: with_cards(raw, ["HISTORY x"] * 250_000),
    "a long string": lambda raw: with_cards(raw, ["A = 'x&'", *["CONTINUE  'x&'"] * 20_000]),
    "many HDUs": lambda raw: raw + header(EMPTY) * 4200,
}


@pytest.mark.slow
@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_more_than_anybody_means(
    extract: Make, raw: bytes, bomb: str, pack: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(shared.UnreadableError, match=r"more than|longer than"):
        extract(pack(BOMBS[bomb](raw)))


def test_a_gzip_is_unpacked_no_further_than_its_headers_promise(extract: Make, raw: bytes) -> None:
    """Of 600 MB behind a file of 100 kB less than 100 MB, though there is memory for all."""
    bomb = gzip.compress(raw, 1) + gzip.compress(bytes(60 << 20), 1) * 10
    with pytest.raises(shared.UnreadableError, match="goes on for more than 16 MB after its last HDU"):
        extract(bomb, memory_mb=300)


# Compressed images


def compressed(flt: Make, stars: Make, kind: str, **more: Any) -> bytes:
    written = io.BytesIO()
    image = fits.CompImageHDU(stars(), name="SCI", compression_type=kind, quantize_level=16, **more)
    fits.HDUList([flt()[0], image]).writeto(written)
    return written.getvalue()


KINDS = ["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes_in_a_compressed_image(extract: Make, flt: Make, stars: Make, kind: str) -> None:
    raw = compressed(flt, stars, kind, tile_shape=(32, 32))
    rng = np.random.default_rng(1)
    refusals = []
    for _ in range(12):
        spoilt = bytearray(raw)
        for at in rng.integers(len(raw) - 12_000, len(raw) - 2880, 20):
            spoilt[at] ^= 1 << rng.integers(0, 8)
        try:
            extract(bytes(spoilt))
        except shared.InputError as error:
            refusals.append(str(error))
    assert refusals
    assert all(text.startswith("image.fits") for text in refusals)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("ZNAXIS", 10**9, "ZNAXIS is 1000000000, not from 0 to 999"),
        ("ZNAXIS", -1, "ZNAXIS is -1, not from 0 to 999"),
        ("ZNAXIS1", -96, "ZNAXIS1 is -96, not at least 0"),
        ("ZNAXIS1", 60_000, "60000 x 96 pixels would be"),
        ("ZTILE1", 0, "ZTILE1 is 0, not at least 1"),
        ("ZTILE1", 10**6, "its tiles are of 1000000 x 32 pixels, the image of 96 x 96"),
        ("ZBITPIX", 7, "ZBITPIX is 7, which no type of pixels has"),
        ("TFIELDS", -1, "TFIELDS is -1, not from 0 to 999"),
    ],
)
def test_tiles_that_no_image_has(
    extract: Make, flt: Make, stars: Make, key: str, value: int, says: str
) -> None:
    raw = compressed(flt, stars, "RICE_1", tile_shape=(32, 32))
    with pytest.raises(shared.UnreadableError, match=f"HDU 1 SCI: {says}"):
        extract(with_card(raw, key, value))


def test_a_decoder_that_crashes_costs_one_file(
    extract: Make, flt: Make, stars: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = compressed(flt, stars, "RICE_1")
    assert extract(raw)["sources"] == 16
    monkeypatch.setattr(
        _tiled_compression, "_decompress_tile", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)
    )
    with pytest.raises(shared.UnreadableError, match=r"^image.fits .*decoder .*crashed .*code -15"):
        extract(raw)


def with_tiles(flt: Make, kind: str, tiles: list[bytes]) -> bytes:
    """An image of 96 x 96 pixels with the tiles, of a row each, of another one."""
    written = io.BytesIO()
    image = fits.CompImageHDU(np.zeros((96, 96), "i4"), name="SCI", compression_type=kind)
    fits.HDUList([flt()[0], image]).writeto(written)
    written.seek(0)
    with fits.open(written, disable_image_compression=True) as hdus:
        values = np.array([np.frombuffer(tile, "u1") for tile in tiles], dtype=object)
        column = fits.Column("COMPRESSED_DATA", "PB()", array=values)
        table = fits.BinTableHDU.from_columns([column], hdus[1].header, name="SCI")
        spoilt = io.BytesIO()
        fits.HDUList([hdus[0], table]).writeto(spoilt)
    return spoilt.getvalue()


@pytest.mark.parametrize("members", [1, 300])
def test_a_tile_that_unpacks_to_more_than_its_pixels(extract: Make, flt: Make, members: int) -> None:
    """Whatever is after it: damage, or nothing."""
    bomb = gzip.compress(bytes((1 << 20) // members), 1) * members
    raw = with_tiles(flt, "GZIP_1", [b"x", bomb, *[b"x"] * 94])
    with pytest.raises(shared.UnreadableError, match=r"SCI: tile 1 unpacks to more than 768 bytes"):
        extract(raw)


@pytest.mark.parametrize("pair", [(9, 2**31 - 1), (2**31 - 1, 0), (-1, 0), (1, -1), (1, 96)])
def test_a_tile_outside_of_its_heap(extract: Make, flt: Make, pair: tuple[int, int]) -> None:
    raw = with_tiles(flt, "RICE_1", [b"x"] * 96)
    at = raw.index(b"END".ljust(80), raw.index(b"XTENSION")) // 2880 * 2880 + 2880 + 8 * 5
    raw = raw[:at] + np.array(pair, ">i4").tobytes() + raw[at + 8 :]
    says = f"SCI: tile 5 would be {pair[0]} values at byte {pair[1]} of a heap of 96 bytes"
    with pytest.raises(shared.UnreadableError, match=says):
        extract(raw)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("TFORM1", "'1QB(9999999999)'", "its rows have 8 bytes, its columns 16"),
        ("TFORM1", "'999999999J'", "its rows have 8 bytes, its columns 3999999996"),
        ("TFORM1", "'8'", "TFORM1 is no format of a column"),
        ("TFIELDS", 0, "its rows have 8 bytes, its columns 0"),
        ("GCOUNT", 2, "GCOUNT is 2, not from 1 to 1"),
        ("THEAP", "(1,2)", "THEAP is .1,2., not an integer"),
        ("THEAP", 0, "THEAP is 0, not from 768 to 864"),
        ("THEAP", 865, "THEAP is 865, not from 768 to 864"),
    ],
)
def test_a_table_that_contradicts_itself(
    extract: Make, flt: Make, key: str, value: object, says: str
) -> None:
    raw = with_tiles(flt, "RICE_1", [b"x"] * 96)
    if key == "THEAP":
        raw = raw.replace(b"ZNAME1  = 'BLOCKSIZE'", b"THEAP   = 0          ")
    with pytest.raises(shared.UnreadableError, match=f"HDU 1 SCI: {says}"):
        extract(with_card(raw, key, value))


@pytest.mark.parametrize(("side", "is_used"), [(64, True), (2100, False)])
def test_a_lookup_table_larger_than_its_image(extract: Make, flt: Make, side: int, is_used: bool) -> None:
    hdus = flt(science={"CPDIS1": "LOOKUP", "CPDIS2": "LOOKUP"})
    for axis in (1, 2):
        for field in ("EXTVER: 1.0", "NAXES: 2.0", "AXIS.1: 1.0", "AXIS.2: 2.0"):
            hdus[1].header.append(fits.Card.fromstring(f"DP{axis}     = '{field}'"))
    table = fits.CompImageHDU(np.zeros((side, side), "f4"), name="WCSDVARR", compression_type="GZIP_1")
    table.header["EXTVER"] = 1
    hdus.append(table)
    notes = [note for note in extract(hdus)["notes"] if "lookup" in note]
    says = f"the WCS is used without its lookup tables (WCSDVARR has {side**2} values, more than the image"
    assert [note.startswith(says) for note in notes] == ([] if is_used else [True]), notes


# Pixels


@pytest.mark.parametrize("value", [1e30, -2e30, 3e38])
def test_wild_pixels_are_masked(extract: Make, catalog: Make, flt: Make, stars: Make, value: float) -> None:
    image = stars()
    image[50, 50] = value
    summary = extract(flt(image))
    assert "1 pixels hold 1e+30 or more, which is no measurement: masked" in summary["notes"]
    table = catalog(summary)
    assert len(table) == 16
    assert all(np.isfinite(table[name]).all() for name in ("FLUX_AUTO", "FLUXERR_AUTO", "FLUX_TOTAL"))
    with pytest.raises(errors.NoValidPixelsError):
        extract(flt(np.sign(value) * stars() * np.float32(1e30)))


@pytest.mark.parametrize("error", [1e20, 1e-20, 3e38])
def test_wild_errors_of_pixels_give_finite_errors(
    extract: Make, catalog: Make, flt: Make, stars: Make, error: float
) -> None:
    table = catalog(extract(flt(stars(), err=error)))
    assert np.isfinite(table["FLUXERR_AUTO"]).all()


# What is no file


@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "long", "NUL"])
def test_what_is_no_file(extract: Make, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.fits"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "long":
        path = tmp_path / ("x" * 300)
    with pytest.raises(shared.InputNotFoundError if kind != "NUL" else shared.FunctionError):
        extract(tmp_path / "a\0b" if kind == "NUL" else path)


@pytest.mark.parametrize("cut", [False, True])
def test_a_file_that_is_written_to_while_it_is_read(
    extract: Make, raw: bytes, save: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: bool
) -> None:
    path = save(raw)

    def overwritten(*given: Any) -> Any:
        path.write_bytes(raw[:3000] if cut else raw[::-1])
        os.utime(path, (1, 1))
        return measure(*given)

    from sep_extract import beside

    measure = beside.measure
    monkeypatch.setattr(beside, "measure", overwritten)
    with pytest.raises(shared.StorageError, match="changed while it was being read; try again"):
        extract(path)
    assert not [one for one in (tmp_path / "out").rglob("*") if one.is_file()], "there is no catalog"


@pytest.mark.parametrize("kind", ["f4", "f8", "i8"])
def test_flags_that_are_no_set_of_bits_are_masked(extract: Make, flt: Make, stars: Make, kind: str) -> None:
    hdus = flt(stars())
    dq = np.zeros((96, 96), kind)
    dq[:2] = [[2**33], [-1]]
    if kind != "i8":
        dq[2, :3] = [np.nan, np.inf, 0.5]
    hdus["DQ"].data = dq
    number = 192 if kind == "i8" else 195
    summary = extract(hdus)
    assert f"{number} pixels have a DQ that is no set of 32 bits: masked" in summary["notes"]
    assert summary["sources"] == 16


def test_an_error_plane_that_is_not_the_noise_of_the_image_is_said(
    extract: Make, flt: Make, stars: Make
) -> None:
    """Of a third of its pixels any bits: the depth came out 13 magnitudes too bright without a word."""
    hdus = flt(stars())
    rng = np.random.default_rng(3)
    spoilt = rng.random((96, 96)) < 0.3
    for plausible in (True, False):
        error = np.ones((96, 96), "f4")
        error[spoilt] = 10 ** (
            rng.uniform(-0.5, 0.5, spoilt.sum()) if plausible else rng.uniform(-9, 0, spoilt.sum())
        )
        hdus["ERR"].data = error
        notes = extract(hdus)["notes"]
        assert any("scatters more in blocks than its pixels can" in note for note in notes) != plausible
