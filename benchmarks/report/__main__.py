"""Size of a report's page and of the files beside it, by the number of images, and the time to make them.

    python benchmarks/report [--images 10 1000 122078]

The run is made up: each image is planned, done, collected and has its invocation in the log; every tenth is
doubtful. There are no pictures, which add at most 1.0 MB to a page.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyfan import api
from skyfan.catalogs import dataset, images, schema
from skyfan.plans import plan
from skyfan.runs import run as runs
from skyfan.storage.place import Place
from skyfan.task import Task

RUN = "archive"
NOTES = "a single exposure: cosmic rays are among the sources; {} % of the covered pixels are masked"


def make(folder: Path, number: int) -> None:
    """Makes a run of so many images."""
    place = Place.at(folder, make=True)
    runs.begin(place, Task(RUN), "s3://r/runs/{run}/catalogs/{key}.cat.fits", marks=True)
    names = [f"i{n // 3000:03}{n:06}q" for n in range(number)]
    uris = [f"s3://stpubdata/hst/public/{name[:4]}/{name}/{name}_flt.fits" for name in names]
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, number), np.degrees(np.arcsin(rng.uniform(-1, 1, number)))
    filters = rng.choice(["F105W", "F125W", "F140W", "F160W", "G141"], number).tolist()
    columns = {"uri": uris, "size": [16_000_000] * number, "tier": ["standard"] * number}
    columns |= {"dropped": [None] * number, "instrument_name": ["WFC3/IR"] * number, "filters": filters}
    columns |= {"s_ra": ra, "s_dec": dec, "s_region": pa.nulls(number, pa.string())}
    path = folder / "plan.parquet"
    runs.add_plan(place, RUN, plan.write(path, pa.table(columns), {"made": "2026-11-26"}))
    for uri in uris:
        where = folder / f"runs/{RUN}/catalogs/{uri.removeprefix('s3://')}.cat.fits"
        where.parent.mkdir(parents=True, exist_ok=True)
        where.touch()
        where.write_bytes(b"x")
    log = (
        f"REPORT RequestId: r{n}\tDuration: 3000.00 ms\tBilled Duration: 4000 ms\tMemory Size: 1769 MB\t"
        f"Max Memory Used: 700 MB{'	Init Duration: 900.00 ms' if n < 1000 else ''}\t"
        f"Start Time: 2026-11-26T10:{n // 12_000 % 60:02}:{n // 200 % 60:02}.{n % 200 * 5:03}Z\n"
        for n in range(number)
    )
    place.put(f"runs/{RUN}/logs/a.log", "".join(log).encode())
    collect(folder / f"runs/{RUN}/collected", place.name, uris, filters, ra, dec)


def collect(
    folder: Path, place: str, uris: list[str], filters: list[str], ra: np.ndarray, dec: np.ndarray
) -> None:
    """Writes a data set of images without sources."""
    rng, number = np.random.default_rng(1), len(uris)
    (folder / "dataset").mkdir(parents=True)
    doubtful = np.arange(number) % 10 == 0
    values = {
        "uri": uris,
        "catalog": [f"{uri.removeprefix('s3://')}.cat.fits" for uri in uris],
        "instrument": ["WFC3/IR"] * number,
        "filter": filters,
        "target": [f"TARGET-{n % 7000}" for n in range(number)],
        "proposal_id": [str(11000 + n % 4000) for n in range(number)],
        "t_min": rng.uniform(55000, 61000, number),
        "t_exptime": rng.choice([100.0, 399.2, 1102.9, 2611.7], number),
        "sources": rng.poisson(900, number),
        "depth": rng.normal(26, 0.6, number),
        "doubts": np.where(doubtful, "MASKED NOISE_FALLBACK", "").tolist(),
        "notes": [NOTES.format(20 + n % 300 / 10) if n % 10 == 0 else "" for n in range(number)],
        "s_ra": ra,
        "s_dec": dec,
        "step": [0] * number,
        "skyfan": ["0.1.0"] * number,
    }
    columns = [
        pa.array(values[field.name]).cast(field.type)
        if field.name in values
        else pa.nulls(number, field.type)
        for field in images.SCHEMA
    ]
    pq.write_table(pa.Table.from_arrays(columns, schema=images.SCHEMA), folder / "images.parquet")
    about = {
        "run": RUN,
        "place": place,
        "limit": 99,
        "images": number,
        "sources": 0,
        "unplaced": 0,
        "partitions": 0,
    }
    sources = schema.described(pa.schema([(schema.HEALPIX, pa.int64())]), {})
    dataset.write_metadata(folder, [], sources, about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[10, 1000, 122_078])
    parser.add_argument("--keep", type=Path, help="a folder for the runs (default: a temporary one)")
    options = parser.parse_args()
    print("   images     page   beside   files  largest  CPU time")
    for number in options.images:
        with tempfile.TemporaryDirectory() as temporary:
            folder = (options.keep or Path(temporary)) / str(number)
            make(folder, number)
            began = time.process_time()
            page = api.report(RUN, str(folder))
            seconds = time.process_time() - began
            sizes = [
                path.stat().st_size for path in page.with_name("report-data").rglob("*") if path.is_file()
            ]
            print(
                f"{number:9,} {page.stat().st_size / 1e6:5.2f} MB {sum(sizes) / 1e6:5.1f} MB {len(sizes):7,} "
                f"{max(sizes, default=0) / 1e6:5.2f} MB {seconds:7.1f} s"
            )


if __name__ == "__main__":
    main()
