"""Which files of which observations are kept, why others are dropped, and which function processes them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits

from sep_extract import planes
from skyfan import template
from skyfan.plans import plan, select, tiers
from skyfan.plans.bucket import ObjectStatus
from skyfan.plans.mast import OBSERVATIONS
from skyfan.plans.plan import LARGE, STANDARD
from skyfan.plans.select import Product, Wanted
from skyfan_contract import BYTES_PER_PIXEL, TILED_ABOVE, memory_of
from skyfan_contract.products import product_type

DRZ = Wanted(frozenset({"DRZ", "DRC"}))
FLT = Wanted(frozenset({"FLT"}))


def observations(*rows: dict[str, Any]) -> pa.Table:
    default = {"dataRights": "PUBLIC", "calib_level": 3, "obs_collection": "HST"}
    return pa.Table.from_pylist([default | row for row in rows], OBSERVATIONS)


def test_the_main_product_needs_no_product_list() -> None:
    files, without_list = select.candidates(
        observations(
            {"obsid": "1", "dataURL": "mast:HST/product/a_drz.fits"},
            {"obsid": "2", "dataURL": "mast:HST/product/b_flt.fits"},
            {"obsid": "3", "dataURL": None},
            {"obsid": "4", "dataURL": "https://elsewhere/d_drz.fits"},
        ),
        DRZ,
    )
    assert [(file.data_uri, file.product, file.dropped) for file in files] == [
        ("mast:HST/product/a_drz.fits", "DRZ", None)
    ]
    assert without_list == [1, 2, 3]


def test_light_curves_are_chosen_by_the_type_at_the_end_of_their_name() -> None:
    names = {
        "mast:TESS/product/tess2019198215352-s0014-0000000025155310-0150-s_lc.fits": "LC",
        "mast:TESS/product/tess2020212050318-s0028-0000000025155310-0190-a_fast-lc.fits": "FAST-LC",
        "mast:HLSP/tess-spoc/hlsp_tess-spoc_tess_phot_0000000025155310-s0014_tess_v1_lc.fits": "LC",
        "mast:HLSP/qlp/hlsp_qlp_tess_ffi_s0014-0000000025155310_tess_v01_llc.fits": "LLC",
    }
    table = observations(
        *({"obsid": str(i), "dataURL": url, "obs_collection": "TESS"} for i, url in enumerate(names))
    )
    files, without_list = select.candidates(table, Wanted(frozenset({"LC", "FAST-LC", "LLC"})))
    assert {file.data_uri: file.product for file in files} == names
    assert [tiers.tier(name, 12_000_000) for name in names] == [STANDARD] * 4
    assert (product_type("a-b_c.fits"), without_list) == ("C", [])


def test_proprietary_and_raw_observations_are_dropped_without_a_product_list() -> None:
    table = observations(
        {"obsid": "1", "dataURL": "mast:HST/product/a_drz.fits", "dataRights": "EXCLUSIVE_ACCESS"},
        {"obsid": "2", "dataURL": "mast:HST/product/b_raw.fits", "calib_level": 1},
        {"obsid": "3", "dataURL": "mast:HST/product/c_drz.fits", "dataRights": None},
        {"obsid": "4", "dataURL": None, "target_name": "TESS FFI"},
    )
    files, without_list = select.candidates(table, DRZ)
    assert [file.dropped for file in files] == ["proprietary", "wrong type", None, "wrong type"]
    assert without_list == []
    files, _ = select.candidates(table, replace(DRZ, proprietary=True))
    assert [file.dropped for file in files] == [None, "wrong type", None, "wrong type"]


def test_files_come_from_the_product_list() -> None:
    products = [
        Product("mast:a_flt.fits", "FLT", 7, "PUBLIC"),
        Product("mast:b_flt.fits", "FLT", 8, "OURS"),
    ]
    kept, dropped = select.from_product_list(3, products, ["FLT", "RAW"], FLT)
    assert (kept.row, kept.data_uri, kept.product, kept.size, kept.dropped) == (
        3, "mast:a_flt.fits", "FLT", 7, None,
    )  # fmt: skip
    assert dropped.dropped == "proprietary"
    assert "OURS" in str(dropped.detail)
    assert select.from_product_list(3, products, [], replace(FLT, proprietary=True))[1].dropped is None


def test_an_observation_without_a_wanted_product_names_its_types() -> None:
    (file,) = select.from_product_list(0, [], ["RAW", "SPT"], FLT)
    assert file.dropped == "wrong type"
    assert "RAW, SPT" in str(file.detail)


def test_with_several_types_each_observation_needs_its_list() -> None:
    table = observations({"obsid": "1", "dataURL": "mast:HST/product/a_drz.fits"})
    both = Wanted(frozenset({"DRZ", "FLT"}))
    assert select.candidates(table, both, needs_lists=True) == ([], [0])


def test_an_observation_that_is_listed_twice_or_without_obsid_is_not_lost() -> None:
    rows = [
        {"obsid": "1", "dataURL": None},
        {"obsid": "1", "dataURL": None},
        {"obsid": None, "dataURL": None},
    ]
    files, without_list = select.candidates(observations(*rows), FLT)
    assert without_list == [0]
    assert [(file.row, file.dropped) for file in files] == [(1, "duplicate"), (2, "unresolved")]


@pytest.mark.parametrize(
    ("stated", "name", "provenance"),
    [
        ("CALWF3", "mast:HST/product/ib4606c6q_flt.fits", "pipeline"),
        (None, "mast:HST/product/ib4606c6q_flt.fits", "pipeline"),
        (None, None, "pipeline"),
        ("HAP-SVM", "mast:HST/product/a_drz.fits", "hap"),
        ("HAP", None, "hap"),
        ("HST", "mast:HST/product/hst_12498_01_wfc3_ir_f160w_ibou01_drz.fits", "hap"),
        (None, "hst_12498_01_wfc3_ir_total_ibou01", "hap"),
        ("HAP-MVM", "x", "mvm"),
        ("HAP", "mast:HST/product/hst_skycell-p1234x05y06_wfc3_ir_f160w_all_drz.fits", "mvm"),
        ("HLA", "mast:HLA/url/hst_12498_01_wfc3_ir_f160w_drz.fits", "pipeline"),
        ("QLP", "mast:HLSP/qlp/s0001/hlsp_qlp_tess.fits", "pipeline"),
    ],
)
def test_the_provenance_is_what_mast_states_or_the_name_shows(
    stated: str | None, name: str | None, provenance: str
) -> None:
    assert select.provenance_of(stated, name) == provenance


def test_products_of_another_pipeline_are_dropped_and_named() -> None:
    names = ["mast:HST/product/a_drz.fits", "mast:HST/product/hst_1_01_wfc3_ir_total_drz.fits"]
    table = observations(*({"obsid": str(n), "dataURL": name} for n, name in enumerate(names)))
    found = {}
    for provenance in ("pipeline", "hap", "mvm", "any"):
        files, _ = select.candidates(table, replace(DRZ, provenance=provenance))
        found[provenance] = [file.dropped for file in files]
    other = "other provenance"
    assert found == {
        "pipeline": [None, other],
        "hap": [other, None],
        "mvm": [other] * 2,
        "any": [None] * 2,
    }
    hap = Product("mast:b_flt.fits", "FLT", 8, "PUBLIC", "HAP-SVM")
    (file,) = select.from_product_list(0, [hap], ["FLT"], replace(FLT, provenance="pipeline"))
    assert file.dropped == other
    assert "HAP-SVM" in str(file.detail)


def test_each_reason_to_drop_a_file() -> None:
    names = ("kept", "kept", "nowhere", "failing", "absent", "denied", "huge")
    files = [select.File(0, name, "DRZ") for name in names]
    select.drop_duplicates(files)
    paths = {"kept": "a_drz.fits", "nowhere": None, "absent": "b_drz.fits", "denied": "c_drz.fits"}
    select.set_uris(files, paths | {"huge": "d_drz.fits"}, {"failing": "path_lookup: 500"}, "bucket")
    statuses = {
        "a_drz.fits": ObjectStatus(10),
        "b_drz.fits": ObjectStatus(None),
        "c_drz.fits": ObjectStatus(None, is_denied=True),
        "d_drz.fits": ObjectStatus(10**11),
    }
    select.set_sizes(files, statuses, {}, "bucket")
    select.set_tiers(files)
    assert [file.dropped for file in files] == [
        None,
        "duplicate",
        "not in the cloud",
        "unresolved",
        "not in the cloud",
        "proprietary",
        "too big",
    ]
    assert {file.dropped for file in files if file.dropped} <= set(plan.DROPS)
    assert (files[0].uri, files[0].size, files[0].tier) == ("s3://bucket/a_drz.fits", 10, STANDARD)
    assert files[3].detail == "path_lookup: 500"
    assert files[6].detail == "100.0 GB"


def test_two_data_uris_of_one_object_are_one_file() -> None:
    files = [select.File(0, "mast:HST/product/a_drz.fits"), select.File(1, "mast:HLA/product/a_drz.fits")]
    select.set_uris(files, dict.fromkeys((str(file.data_uri) for file in files), "a_drz.fits"), {}, "bucket")
    select.drop_duplicates(files)
    assert [file.dropped for file in files] == [None, "duplicate"]


def test_rows_have_the_columns_of_their_observation() -> None:
    table = observations({"obsid": "1", "filters": "F160W"}, {"obsid": "2", "filters": "F105W"})
    rows = select.table([select.File(1, "mast:x"), select.File(0, "mast:y")], table)
    assert rows.schema.names == plan.SCHEMA.names
    assert rows["filters"].to_pylist() == ["F105W", "F160W"]


def test_plans_without_a_stack_count_with_the_most_that_one_can_have() -> None:
    """The template's own large size is what a new account may deploy."""
    own = template.find().path
    registry = template.read(own)
    assert registry.function("SepExtract").memory_mb == tiers.MEMORY_MB[STANDARD]
    assert registry.function("SepExtractLarge").memory_mb == 1769
    parameter = own.read_text().split("LargeMemorySize:")[1]
    assert f"MaxValue: {tiers.MEMORY_MB[LARGE]}" in parameter.split("Description:")[0]


def test_an_i2d_is_graded_by_the_planes_that_are_read() -> None:
    """Worked by hand. 1 GB is 1e9 bytes, 1 MiB is 1,048,576.

    An i2d has seven planes of four bytes: SCI, ERR, CON, WHT, VAR_POISSON, VAR_RNOISE and VAR_FLAT. Of 2 GB
    these are 71.4 million pixels, measured in tiles. SCI, ERR and WHT are read: a strip of 2,560 rows of an
    image that is 1.5 times as wide as a square one, 12,676 pixels, takes 389 MB; a tile of 4,096 x 4,096
    pixels at 44 + 6 + 10 = 60 bytes 1,007 MB; all else 210 MB (200 MiB).
    """
    size = 2_000_000_000
    need = 2_560 * 12_676 * 12 + 4_096**2 * 60 + 200 * 1_048_576
    assert (size // 28, need) == (71_428_571, 1_605_754_880)
    # A fifth more is left for sources.
    just = -(-need * 6 // (5 * 1_048_576))
    assert tiers.tier("a_i2d.fits", size, {STANDARD: just, LARGE: 10240}) == STANDARD
    assert tiers.tier("a_i2d.fits", size, {STANDARD: just - 1, LARGE: 10240}) == LARGE


def test_time_decides_about_mosaics() -> None:
    """Of more than a hundred million pixels, and of more than a thousand million."""
    memory = {STANDARD: 3008, LARGE: 10240}
    assert tiers.tier("a_drz.fits", 1_190_000_000, memory) == STANDARD
    assert tiers.tier("a_drz.fits", 1_210_000_000, memory) == LARGE
    assert tiers.tier("a_drz.fits", 4_800_000_000) == LARGE
    assert tiers.tier("a_drz.fits", None, pixels=400_000_000) == LARGE
    assert tiers.tier("a_drz.fits", 15_900_000_000) == LARGE
    assert tiers.tier("a_drz.fits", 16_100_000_000) is None


def test_a_cal_needs_half_a_gigabyte_and_room_for_its_sources() -> None:
    """Worked by hand. 2048 x 2048 pixels, seven planes of four bytes: SCI, ERR, DQ, AREA, three variances.

    SCI, ERR, DQ and AREA are read, for 44 + 6 + 4 + 0 = 54 bytes a pixel: 226 MB, and 210 MB for all else.
    That AREA may be missing makes it at most 4,893,354 pixels: 474 MB. A fifth more is left for sources.
    """
    size = 2048 * 2048 * 7 * 4
    assert size == 117_440_512
    need = size // 24 * 54 + 200 * 1_048_576
    assert need == 473_956_316
    just = -(-need * 6 // (5 * 1_048_576))
    assert just == 543
    assert tiers.tier("a_cal.fits", size, {STANDARD: just, LARGE: 10240}) == STANDARD
    assert tiers.tier("a_cal.fits", size, {STANDARD: just - 1, LARGE: 10240}) == LARGE


def test_a_tess_full_frame_image_goes_to_the_smaller_function() -> None:
    """2136 x 2078 pixels, the image and its errors in four bytes each, and a small table: 36 MB.

    At eight bytes a pixel and 44 + 6 bytes of memory it takes 222 MB, and 210 MB for all else; with a fifth
    more for sources 518 MB of 537 (512 MiB).
    """
    assert tiers.tier("tess2018206192942-s0001-1-1-0120-s_ffic.fits", 2136 * 2078 * 8 + 30_000) == STANDARD
    assert tiers.tier("a_ffic.fits", 36_000_000, {STANDARD: 498, LARGE: 1769}) == STANDARD
    # A target pixel file is many frames of a few pixels.
    assert tiers.tier("tess2018206045859-s0001-0000000377780790-0120-s_tp.fits", 50_000_000) == STANDARD
    assert tiers.tier("a_fast-tp.fits", 50_000_000) is not None


def test_where_pixels_are_known_planes_still_count() -> None:
    """24 million pixels take 1.30 GB as a cal, of any kind up to 1.54 GB; and 0.21 GB; and a fifth more."""
    memory = {STANDARD: 1769, LARGE: 10240}
    assert tiers.tier("a_cal.fits", None, memory, pixels=24_000_000) == STANDARD
    assert tiers.tier("a.fits", None, memory, pixels=24_000_000) == LARGE
    assert tiers.tier("a.fits", None, pixels=230_000_000) == LARGE


def test_what_a_gzip_unpacks_to_is_in_memory_too() -> None:
    """140 MB of gzip are at most 560 MB: 23 million pixels of a cal, for 1.26 + 0.21 GB, and the 0.56 GB."""
    memory_mb = {STANDARD: 1769, LARGE: 10240}
    assert tiers.tier("a_cal.fits.fz", 140_000_000, memory_mb) == STANDARD
    assert tiers.tier("a_cal.fits.gz", 140_000_000, memory_mb) == LARGE


EXTENSIONS = {
    "DRZ": "SCI WHT CTX",
    "DRC": "SCI WHT CTX",
    "FLT": "SCI ERR DQ SAMP TIME",
    "FLC": "SCI ERR DQ SCI ERR DQ",
    "CAL": "SCI ERR DQ AREA VAR_POISSON VAR_RNOISE VAR_FLAT",
    "I2D": "SCI ERR CON WHT VAR_POISSON VAR_RNOISE VAR_FLAT",
    "FFIC": "CAL UNCERT",
    "TP": "SCI ERR",  # of a stack
}


@pytest.mark.parametrize("product", tiers.LAYOUTS)
def test_the_planes_of_a_product_are_those_that_the_function_reads(product: str) -> None:
    hdus = [fits.ImageHDU(np.ones((9, 9), "f4"), name=name) for name in EXTENSIONS[product].split()]
    found = planes.planes("a.fits", fits.HDUList([fits.PrimaryHDU(), *hdus]))
    assert {tuple(sorted(plane.kinds)) for plane in found} == {tuple(sorted(tiers.LAYOUTS[product].planes))}


@pytest.mark.parametrize("layout", [*tiers.LAYOUTS.values()])
def test_whatever_is_measured_whole_fits_the_larger_function_of_a_new_stack(layout: tiers.Layout) -> None:
    """The function refuses by the same rule: see test_bad_input."""
    memory = template.read(template.find().path).function("SepExtractLarge").memory_mb << 20
    assert memory_of(TILED_ABOVE, layout.planes) <= memory
    assert memory_of(TILED_ABOVE, BYTES_PER_PIXEL) <= memory
    # So does a tile, and the strip that it is cut from of a mosaic of 20,000 x 20,000 pixels with a weight.
    assert memory_of(400_000_000, ["science", "weight"], 20_000) <= memory


@pytest.mark.parametrize(
    ("name", "size", "tier"),
    [
        ("a_drz.fits", 13_000_000, STANDARD),
        ("a_flt.fits", 16_534_080, STANDARD),
        ("a_flc.fits", 168_000_000, LARGE),
        ("a_drc.fits", 215_000_000, LARGE),
        ("a_drz.fits", 1_000_000_000, LARGE),
        ("a_drz.fits", 3_200_000_000, LARGE),
        ("a_drz.fits.gz", 100_000_000, LARGE),
        ("anything.fits", 200_000_000, LARGE),
        ("anything.fits", 2_000_000_000, LARGE),
        ("anything.fits", 25_000_000_000, None),
        ("unknown_drz.fits", None, STANDARD),
    ],
)
def test_tiers(name: str, size: int | None, tier: str | None) -> None:
    assert tiers.tier(name, size) == tier
