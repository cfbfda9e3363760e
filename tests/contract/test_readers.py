"""What other programs make of collected data: unknown values are missing in all of them alike."""

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import wheels
from astropy.io import fits
from astropy.io.votable import validate
from astropy.table import Table
from astropy.units import Unit
from standins import catalogs
from standins.survey import Exposure, Sky, Survey

from skyfan import tables
from skyfan.api import MatchOptions, match, search
from skyfan.catalogs import collect as collecting
from skyfan.catalogs import export, healpix
from skyfan.errors import UsageError
from skyfan.storage.place import Place

duckdb = pytest.importorskip("duckdb")
polars = pytest.importorskip("polars")
pandas = pytest.importorskip("pandas")

IMAGES = 6
SOURCES = 50


@pytest.fixture(scope="module", params=[10_000, 40], ids=["one-partition", "partitions"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in which every third magnitude is unknown, in one partition or in many."""
    output = tmp_path_factory.mktemp("readers")
    run = catalogs.run_folder(output)
    rng = np.random.default_rng(1)
    for number in range(IMAGES):
        uri = f"s3://archive/{number}.fits"
        mag = rng.uniform(18, 26, SOURCES)
        mag[::3] = np.nan
        ra, dec = rng.normal(10, 0.01, SOURCES), rng.normal(-30, 0.01, SOURCES)
        if number == 0:  # in unplaced.parquet
            ra[:5] = dec[:5] = np.nan
        more = {"EXPSTART": "unknown"} if number == 1 else {}
        flags = {"FLAGS": rng.integers(0, 2, SOURCES).tolist()}
        catalogs.put(run, uri, catalogs.catalog(uri, ra, dec, mag=mag, columns=flags, **more))
    done = collecting.collect(Place.at(output), "default", output / "set", rows=request.param)
    assert (done.partitions == 1) == (request.param > 1000)
    assert (done.sources, done.unplaced) == (IMAGES * SOURCES - 5, 5)
    return done.folder


def everything(folder: Path) -> pa.Table:
    return pa.concat_tables(
        pq.read_table(path, partitioning=None) for path in sorted(folder.glob("dataset/*/*/*.parquet"))
    )


def by_duckdb(files: str) -> list[Any]:
    query = f"""SELECT count(*) FILTER (MAG_AUTO < 22), count(*) FILTER (MAG_AUTO > 22), count(MAG_AUTO),
        avg(MAG_AUTO) FROM '{files}'"""
    counted = duckdb.sql(query).fetchall()[0]
    below, above = (
        duckdb.sql(f"SELECT count(*) FROM '{files}' WHERE MAG_AUTO {sign} 22").fetchall()[0][0]
        for sign in "<>"
    )
    assert (below, above) == counted[:2], "a filter is not pushed down as it is evaluated"
    return list(counted)


def by_polars(files: str) -> list[Any]:
    sources = polars.scan_parquet(files)
    below, above = (
        len(sources.filter(condition).collect())
        for condition in (polars.col("MAG_AUTO") < 22, polars.col("MAG_AUTO") > 22)
    )
    column = sources.collect()["MAG_AUTO"]
    return [below, above, column.count(), column.mean()]


def by_pandas(files: str) -> list[Any]:
    dataset = Path(files.partition("/*")[0])
    below, above = (
        len(pandas.read_parquet(dataset, filters=[("MAG_AUTO", sign, 22)])) for sign in ("<", ">")
    )
    column = pandas.read_parquet(dataset)["MAG_AUTO"]
    assert ((column < 22).sum(), (column > 22).sum()) == (below, above)
    return [below, above, column.count(), column.mean()]


@pytest.mark.parametrize("read", [by_duckdb, by_polars, by_pandas])
def test_an_unknown_magnitude_is_neither_bright_nor_faint(folder: Path, read: Any) -> None:
    magnitudes = np.array(everything(folder)["MAG_AUTO"].to_pylist(), np.float64)
    known = magnitudes[np.isfinite(magnitudes)]
    assert 0 < len(known) < len(magnitudes)
    expected = [np.sum(known < 22), np.sum(known > 22), len(known), known.mean()]
    assert read(f"{folder}/dataset/*/*/*.parquet") == pytest.approx(expected, rel=1e-6)


PAGE = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")


def example(word: str, folder: Path) -> str:
    """The example of docs/data.md that contains a word, for this data set."""
    (text,) = (
        text for text in re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) if word in text
    )
    assert "out/runs/default/collected" in text
    return text.replace("out/runs/default/collected", str(folder))


def test_the_queries_of_the_documentation_give_equal_numbers(folder: Path) -> None:
    names: dict[str, Any] = {}
    query = example("import duckdb", folder).replace("duckdb.sql(", "found = duckdb.sql(")
    exec(query.replace(".show()", ".fetchall()"), names)
    by_sql = [row[2] for row in names["found"]]
    exec(example("import polars", folder), names)
    by_polars = names["bright"]["MAG_AUTO"].to_list()
    exec(example("import pandas", folder), names)
    by_pandas = names["bright"]["MAG_AUTO"].tolist()
    sources = everything(folder).select(["MAG_AUTO", "FLAGS"]).to_pylist()
    expected = [row["MAG_AUTO"] for row in sources if row["FLAGS"] == 0 and (row["MAG_AUTO"] or 99) < 22]
    assert 0 < len(expected) < len(sources) / 2
    assert sorted(by_sql) == sorted(by_polars) == sorted(by_pandas) == sorted(expected)


def test_polars_still_needs_the_glob(folder: Path) -> None:
    """If this fails, docs/data.md can show the folder."""
    with pytest.raises(polars.exceptions.InvalidOperationError):
        polars.read_parquet(folder / "dataset")


_LSDB = """
import json, sys
from pathlib import Path
import lsdb
from hats.io.validation import is_valid_catalog
assert is_valid_catalog(sys.argv[1], strict=True)
sources = lsdb.open_catalog(sys.argv[1])
column = sources.compute().MAG_AUTO
counts = [len(sources.query(f"MAG_AUTO {sign} 22").compute()) for sign in "<>"]
names = {}
exec(sys.stdin.read(), names)
print(json.dumps([*counts, int(column.count()), float(column.mean()), len(names["near"])]))
"""


@pytest.fixture(scope="module")
def lsdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment that holds LSDB alone: it is too large for everybody's."""
    python = wheels.environment(tmp_path_factory.mktemp("lsdb") / "environment")
    try:
        wheels.uv(python, "install", "--only-binary", ":all:", "lsdb")
    except RuntimeError as error:
        pytest.skip(f"LSDB cannot be installed: {error}")
    return python


@pytest.mark.slow
def test_lsdb_reads_it_and_hats_finds_nothing_wrong(folder: Path, lsdb: Path) -> None:
    code = example("import lsdb", folder).replace("ra=3.594, dec=-30.392", "ra=10, dec=-30")
    assert "ra=10" in code
    command = [str(lsdb), "-c", _LSDB, str(folder)]
    done = subprocess.run(command, input=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    magnitudes = np.array(everything(folder)["MAG_AUTO"].to_pylist(), np.float64)
    known = magnitudes[np.isfinite(magnitudes)]
    near = len(search(folder, (10, -30), "20s").table)
    assert near > 0
    expected = [np.sum(known < 22), np.sum(known > 22), len(known), known.mean(), near]
    assert json.loads(done.stdout) == pytest.approx(expected, rel=1e-6)


_LSDB_OBJECTS = """
import json, sys
import lsdb
from hats.io.validation import is_valid_catalog
counts = []
for folder in sys.argv[1:]:
    assert is_valid_catalog(folder, strict=True)
    rows = lsdb.open_catalog(folder)
    counts += [len(rows.compute()), len(rows.cone_search(ra=150, dec=2, radius_arcsec=20).compute())]
print(json.dumps(counts))
"""


@pytest.mark.slow
def test_lsdb_reads_objects_and_links(tmp_path: Path, lsdb: Path) -> None:
    rng = np.random.default_rng(1)
    survey, stars = Survey(), rng.uniform(-90, 90, (2000, 2))
    for number in range(4):
        uri = f"s3://archive/j{number}_flc.fits"
        one = Exposure(uri, Sky(150.0, 2.0), rng.uniform(-30, 30, 2), "F606W", 55000.0 + number, 25.5)
        one.size = 120.0
        seen = stars[one.covers(stars)]
        survey.add(one, seen, np.full(len(seen), 23.0), np.full(len(seen), 40.0))
    done = match(survey.write(tmp_path / "set"), tmp_path / "objects", options=MatchOptions(jobs=1))
    counts = []
    for table in (done._table(), done.link_table()):
        ra, dec = table["ALPHA_J2000"].to_numpy(), table["DELTA_J2000"].to_numpy()
        counts += [len(table), int((healpix.separation(150, 2, ra, dec) <= 20 / 3600).sum())]
    assert counts[1] > 10
    folders = [str(done.folder / name) for name in ("objects", "links")]
    made = subprocess.run(
        [str(lsdb), "-c", _LSDB_OBJECTS, *folders], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout) == counts


def test_no_file_of_a_data_set_contains_nan(folder: Path) -> None:
    files = sorted(folder.rglob("*.parquet"))
    assert {file.name for file in files} >= {"images.parquet", "unplaced.parquet"}
    unknown = set()
    for file in files:
        table = pq.read_table(file, partitioning=None)
        for field in table.schema:
            column = table[field.name].combine_chunks()
            values = column.flatten() if pa.types.is_fixed_size_list(field.type) else column
            assert field.nullable
            if pa.types.is_floating(values.type):
                assert not pa.compute.any(pa.compute.is_nan(values)).as_py(), (file.name, field.name)
                if values.null_count:
                    unknown.add(field.name)
    assert unknown >= {"MAG_AUTO", "ALPHAWIN_J2000", "MJD", "t_min"}


def test_what_search_writes_has_empty_fields_for_unknown_values(folder: Path, tmp_path: Path) -> None:
    found = search(folder, (10, -30), "1d").table
    unknown = found["MAG_AUTO"].null_count
    assert len(found) == IMAGES * SOURCES - 5
    assert unknown == pytest.approx(IMAGES * SOURCES / 3, abs=10)
    for name in ("a.csv", "a.parquet", "a.fits"):
        export.write(found, tmp_path / name)
    text = polars.read_csv(tmp_path / "a.csv", infer_schema_length=None)
    assert (text["MAG_AUTO"].dtype, text["MAG_AUTO"].null_count()) == (polars.Float64, unknown)
    assert duckdb.sql(f"SELECT count(MAG_AUTO) FROM '{tmp_path}/a.csv'").fetchall() == [
        (len(found) - unknown,)
    ]
    assert polars.read_parquet(tmp_path / "a.parquet")["MAG_AUTO"].null_count() == unknown
    assert np.isnan(Table.read(tmp_path / "a.fits")["MAG_AUTO"].filled(np.nan)).sum() == unknown
    assert sum(row["MAG_AUTO"] is None for row in export.to_rows(found)) == unknown


@pytest.fixture(scope="module", params=[None, [0.5]], ids=["four-apertures", "one-aperture"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """What a search finds: three sources, two without a magnitude."""
    output = tmp_path_factory.mktemp("found")
    uri = "s3://archive/dark&<bright>.fits"
    body = catalogs.catalog(
        uri, [10.0, 10.1, 10.2], [0.0] * 3, mag=[21.5, np.nan, np.nan], apertures=request.param
    )
    config = {"phot_apertures": request.param} if request.param else {}
    catalogs.put(catalogs.run_folder(output, **config), uri, body)
    collecting.collect(Place.at(output), "default", output / "set")
    table = search(output / "set", (10, 0), "1d").table
    assert len(table) == 3
    return table


def assert_equal(read: Table, table: pa.Table) -> None:
    """Equal names, shapes and values; unknown ones are NaN or masked."""
    assert read.colnames == table.column_names
    for name in read.colnames:
        ours = np.array(table[name].to_pylist())
        theirs = read[name]
        if theirs.dtype.kind == "S":  # FITS
            theirs = np.char.decode(theirs)
        elif theirs.dtype.kind == "f":
            ours, theirs = ours.astype(theirs.dtype), np.ma.filled(theirs, np.nan)
        assert theirs.shape == ours.shape, name
        np.testing.assert_array_equal(np.asarray(theirs), ours, err_msg=name)


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".vot", ".parquet"])
def test_astropy_reads_what_search_writes(found: pa.Table, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"found{suffix}"
    export.write(found, path)
    read = Table.read(path, format="parquet.votable" if suffix == ".parquet" else None)
    assert_equal(read, found)
    assert read["FLUX_APER"].shape == (3, found.schema.field("FLUX_APER").type.list_size)
    header = fits.getheader(path, 1) if suffix == ".fits" else {}
    for i, field in enumerate(found.schema, start=1):
        about = {key.decode(): value.decode() for key, value in field.metadata.items()}
        unit = about.get("unit", "")
        if suffix in (".fits", ".vot"):
            unit = unit.replace("electron", "ct")
        if suffix == ".fits":
            assert (header[f"TUCD{i}"], header[f"TCOMM{i}"]) == (about["ucd"], about["description"])
        else:
            column = read[field.name]
            assert column.meta["ucd"] == about["ucd"]
            assert " ".join(column.description.split()) == about["description"]
        assert Unit(read[field.name].unit or "") == Unit(unit), field.name
    if suffix == ".fits":
        assert "COMMENT" not in header
        with fits.open(path) as hdus:
            assert hdus[1].verify_checksum() == 1


@pytest.mark.parametrize(
    "suffix", [".fits", ".vot", ".parquet"]
)  # astropy reads no ECSV of arrays without rows
def test_nothing_found_is_an_empty_table(found: pa.Table, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"none{suffix}"
    export.write(found.slice(0, 0), path)
    read = Table.read(path, format="parquet.votable" if suffix == ".parquet" else None)
    assert (len(read), read.colnames) == (0, found.column_names)
    assert read["FLUX_APER"].shape == (0, found.schema.field("FLUX_APER").type.list_size)


def test_a_votable_has_no_violations_for_astropy(found: pa.Table, tmp_path: Path) -> None:
    export.write(found, tmp_path / "found.vot")
    report = io.StringIO()
    assert validate(str(tmp_path / "found.vot"), report), report.getvalue()


@pytest.mark.slow
def test_votlint_finds_no_error(found: pa.Table, tmp_path: Path) -> None:
    if not shutil.which("stilts"):
        pytest.skip("stilts is not installed: apt-get install stilts")
    export.write(found, tmp_path / "found.vot")
    command = ["stilts", "votlint", str(tmp_path / "found.vot")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # What astropy writes for an array of one element is old, but no error.
    lines = [line for line in done.stdout.splitlines() if 'arraysize="1" deprecated' not in line]
    assert (done.returncode, lines, done.stderr) == (0, [], "")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".fits", ".vot"])  # Debian's STILTS does not read ECSV
def test_stilts_reads_what_search_writes(found: pa.Table, tmp_path: Path, suffix: str) -> None:
    if not shutil.which("stilts"):
        pytest.skip("stilts is not installed: apt-get install stilts")
    path = tmp_path / f"found{suffix}"
    export.write(found, path)
    form = "votable" if suffix == ".vot" else suffix[1:]

    def stilts(*words: str) -> list[dict[str, str]]:
        command = ["stilts", "tpipe", f"in={path}", f"ifmt={form}", *words, "omode=out", "ofmt=csv"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return list(csv.DictReader(done.stdout.splitlines()))

    columns = {row["Name"]: row for row in stilts("cmd=meta name units ucd shape")}
    if suffix == ".csv":
        assert list(columns) == tables.flat(found).column_names
    else:
        assert list(columns) == found.column_names
        assert columns["MAG_AUTO"]["UCD"] == "phot.mag;meta.main"
        assert columns["MAG_AUTO"]["Units"] == "mag"
        one = found.schema.field("FLUX_APER").type.list_size == 1  # which STILTS shows as a scalar
        assert columns["FLUX_APER"]["Shape"] == ("" if one else "(4)")
    rows = stilts("cmd=keepcols 'SOURCE_ID MAG_AUTO IMAGE'")
    assert [row["SOURCE_ID"] for row in rows] == list(map(str, found["SOURCE_ID"].to_pylist()))
    assert [row["MAG_AUTO"] for row in rows] == ["21.5", "", ""]
    assert {row["IMAGE"] for row in rows} == {"s3://archive/dark&<bright>.fits"}
    assert len(stilts("cmd=select MAG_AUTO<22")) == 1
    assert len(stilts("cmd=select MAG_AUTO>22")) == 0


@pytest.mark.slow
def test_astropy_reads_every_parquet_file_with_its_votable_metadata(folder: Path) -> None:
    for path in sorted(folder.rglob("*.parquet")):
        read = Table.read(path, format="parquet.votable")
        table = pq.read_table(path, partitioning=None)
        assert_equal(read, table)
        name = "depth" if path.name == "images.parquet" else "MAG_AUTO"
        assert read[name].unit == "mag"
        assert read[name].description
    sources = Table.read(next(folder.glob("dataset/*/*/*.parquet")), format="parquet.votable")
    assert sources["MAG_AUTO"].meta["ucd"] == "phot.mag;meta.main"


def test_fits_refuses_a_name_that_it_cannot_hold(found: pa.Table, tmp_path: Path) -> None:
    at = found.column_names.index("IMAGE")
    named = found.set_column(at, found.schema.field("IMAGE"), pa.array(["s3://a/é.fits"] * 3))
    with pytest.raises(UsageError, match="IMAGE"):
        export.write(named, tmp_path / "a.fits")
    assert not list(tmp_path.iterdir())
    for suffix in (".vot", ".ecsv", ".parquet"):
        export.write(named, tmp_path / f"a{suffix}")
        form = "parquet.votable" if suffix == ".parquet" else None
        assert Table.read(tmp_path / f"a{suffix}", format=form)["IMAGE"][0] == "s3://a/é.fits"
