"""Footprints: STC-S as MAST writes it, and the picture."""

from pathlib import Path

import pyarrow as pa
import pytest

from skyfan.errors import InputError
from skyfan.plans import footprints, plan

SQUARE = "POLYGON ICRS 10.0 -5.0 10.1 -5.0 10.1 -4.9 10.0 -4.9"


@pytest.mark.parametrize(
    ("region", "corners"),
    [
        (SQUARE, [4]),
        ("POLYGON GSC1  23.17474785  60.66012593  23.15424076  60.61702967  23.06645518  60.62703769", [3]),
        ("POLYGON ICRS 1 2 3 4 5 6 POLYGON ICRS 1 2 3 4 5 6 7 8", [3, 4]),
        ("CIRCLE ICRS 10 20 0.5", [33]),
        ("POLYGON 1 2 3 4 5 6", [3]),
        ("ELLIPSE 1 2 3", []),
        (None, []),
    ],
)
def test_regions(region: str | None, corners: list[int]) -> None:
    assert [len(outline) for outline in footprints.parse(region)] == corners


def test_the_frame_is_no_coordinate() -> None:
    (outline,) = footprints.parse("POLYGON J2000 1.5 2 3 4 5 -6e-1")
    assert outline.tolist() == [[1.5, 2], [3, 4], [5, -0.6]]


@pytest.mark.parametrize("ra", [[10.0, 10.2], [359.9, 0.1], [10.0, 200.0]])
def test_a_picture_is_drawn(tmp_path: Path, ra: list[float]) -> None:
    rows = [{"uri": f"s3://b/{x}.fits", "s_ra": x, "s_dec": -5.0, "s_region": SQUARE} for x in ra]
    made = plan.write(tmp_path / "p.parquet", pa.Table.from_pylist(rows), {})
    footprints.draw(made, tmp_path / "sky.png")
    assert (tmp_path / "sky.png").read_bytes().startswith(b"\x89PNG")


def test_files_without_positions_have_none(tmp_path: Path) -> None:
    made = plan.write(
        tmp_path / "p.parquet", pa.Table.from_pylist([{"uri": "s3://b/a.fits", "dropped": None}]), {}
    )
    with pytest.raises(InputError, match="no file with a position"):
        footprints.draw(made, tmp_path / "sky.png")
