"""What the hidden first cell of a tutorial calls: a folder of its own, and stand-ins for archive and AWS."""

import atexit
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "tests/data/demo"
sys.path.insert(0, str(ROOT / "benchmarks"))

_ending = ExitStack()
atexit.register(_ending.close)


def workspace(*images: str) -> None:
    """A new working folder with these images of tests/data/demo, without settings of the builder's."""
    folder = _ending.enter_context(tempfile.TemporaryDirectory())
    _ending.callback(os.chdir, ROOT)
    for name in [name for name in os.environ if name.startswith(("AWS_", "SKYFAN_"))]:
        del os.environ[name]
    home = Path(folder, ".home")
    home.mkdir()
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        os.environ[name] = str(home)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "PATH": path}
    work = Path(folder, "work")
    work.mkdir()
    os.chdir(work)
    for name in images:
        shutil.copy(DEMO / name, name)


PLANETS = {1001: [(3.3, 0.03)], 1002: [], 1003: [(2.1, 0.02), (7.4, 0.03)], 1004: [(90.0, 0.05)]}
"""Stars of light_curves(): periods in days, and radii relative to the star's."""


def light_curves() -> None:
    """Light curves of TESS with the planets of PLANETS: SPOC at 2 minutes, QLP at 30 for the last."""
    import lightcurves
    import numpy as np

    folder = Path("light-curves")
    folder.mkdir()
    for tic, planets in PLANETS.items():
        rng, is_last = np.random.default_rng(tic), tic == max(PLANETS)
        curve = lightcurves.make(rng, 1800 if is_last else 120, 9.0, spots=3e-4)
        made = [
            lightcurves.Planet(
                period, float(curve.time[0]) + 1.7 + i, ratio, 0.2, 0.0757 * min(period, 9) ** (1 / 3)
            )
            for i, (period, ratio) in enumerate(planets)
        ]
        name = (
            f"hlsp_qlp_tess_ffi_s0014-{tic:016d}_tess_v01_llc" if is_last else f"tess-s0014-{tic:016d}-s_lc"
        )
        kind = "QLP" if is_last else "SPOC"
        lightcurves.write(folder / f"{name}.fits", lightcurves.planted(curve, *made), kind, tic)


def archive(observations: int = 5) -> None:
    """MAST and its bucket, from now on: WFC3/IR observations whose images are those of `skyfan demo`."""
    from standins.mast import Mast
    from standins.sky import FILTERS, Sky

    from skyfan.demo import field

    # In a thread, because a notebook's own has an event loop.
    with ThreadPoolExecutor() as threads:
        mast = threads.submit(_ending.enter_context, Mast(Sky(observations))).result()
    paths = field.write(Path("..", "images"))
    images = {name: [path for path in paths if name.lower() in path.name] for name in FILTERS}
    for number in range(observations):
        if found := images[FILTERS[number % len(FILTERS)]]:
            path = mast.sky.path(f"mast:HST/product/{mast.sky.product(number)}")
            image = found[number // len(FILTERS) % len(found)]
            mast.objects[str(path).lstrip("/")] = image.read_bytes()
    os.environ |= mast.environment


def account(**shares: float) -> None:
    """A deployed stack, from now on: moto plays S3 and CloudFormation, and standins.cloud the functions."""
    from standins.processes import running

    words = [word for name, share in shares.items() for word in (f"--{name}", str(share))]
    urls = json.loads(_ending.enter_context(running("cloud", "--latency", "0.01", *words)))
    os.environ |= {
        "AWS_ENDPOINT_URL": urls["aws"],
        "AWS_ENDPOINT_URL_LAMBDA": urls["lambda"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }


def plan_file(files: int) -> None:
    """plan.parquet of so many files of the stand-in's archive."""
    from standins.mast import Mast
    from standins.sky import Sky

    command = [sys.executable, "-m", "skyfan", "plan", "--instrument", "WFC3/IR", "--to", "plan.parquet"]

    def make() -> None:
        with Mast(Sky(files)) as mast:
            subprocess.run(command, env=os.environ | mast.environment, check=True, capture_output=True)

    with ThreadPoolExecutor() as threads:
        threads.submit(make).result()


def write_logs(run: str) -> None:
    """Puts a report of each accepted invocation of a run, with made-up durations, into the logs."""
    from standins import aws
    from standins.cloud import RESULTS, STACK

    from skyfan.runs import receipts
    from skyfan.storage.place import Place

    place = Place.at(f"s3://{RESULTS}")
    client = aws.client("logs", os.environ["AWS_ENDPOINT_URL"])
    group, stream = f"/aws/lambda/{STACK}-SepExtract", "2026/11/01/[$LATEST]0"
    client.create_log_group(logGroupName=group)
    client.create_log_stream(logGroupName=group, logStreamName=stream)
    dice = random.Random(0)
    events = []
    for table in receipts.tables(place, receipts.chunks(place, run)):
        for row in table.to_pylist():
            duration = dice.gauss(1500, 250)
            metrics = {
                "durationMs": duration,
                "initDurationMs": 600.0,
                "billedDurationMs": math.ceil(duration + 600),
            }
            metrics |= {"memorySizeMB": 512, "maxMemoryUsedMB": 190}
            record = {"requestId": row["request_id"], "metrics": metrics, "status": "success"}
            message = json.dumps(
                {"time": row["sent"].isoformat(), "type": "platform.report", "record": record}
            )
            events.append({"timestamp": int(row["sent"].timestamp() * 1000) + 2000, "message": message})
    events.sort(key=lambda event: event["timestamp"])
    client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def tess(cadences: int = 4, side: int = 300) -> None:
    """MAST's bucket, from now on: corners of full-frame images of a TESS sector, and a target pixel file."""
    import io

    import numpy as np
    import pixel_files
    from frames import tess_ffic
    from planting import Planted, star
    from standins.mast import Mast
    from standins.sky import Sky

    with ThreadPoolExecutor() as threads:
        mast = threads.submit(_ending.enter_context, Mast(Sky(1))).result()
    name = "tess/public/ffi/s0001/2018/{0}/1-{2}/tess2018{0}{1:02}2942-s0001-1-{2}-0120-s_{3}.fits"
    path = Path("..", "frame.fits")
    for number in range(2 * cadences):
        dice = np.random.default_rng(number)
        x, y = dice.uniform(70, side, (2, 40))
        stars = Planted(x, y - 44, 10 ** dice.uniform(2.5, 4.5, 40), (star(1.9),) * 40)
        tess_ffic(dice, side).plant(stars, dice).write(path)
        day, hour, ccd = 206 + number // 2 % 2, number // 4, 1 + number % 2
        for kind in ("ffic", "ffir"):
            mast.objects[name.format(day, hour, ccd, kind)] = path.read_bytes()
    body = io.BytesIO()
    pixel_files.make().writeto(body)
    pixels = (
        "tess/public/tid/s0001/0000/0003/7778/0790/tess2018206045859-s0001-0000000377780790-0120-s_tp.fits"
    )
    mast.objects[pixels] = body.getvalue()
    os.environ |= mast.environment
