"""skyfan run --engine sam: one's own files, each in a container, with the results of the local engine."""

import shutil
from pathlib import Path
from urllib.parse import quote

import containers
from astropy.io import fits
from containers import skyfan

IMAGES = ("ib6o23rsq_flt.fits",)


def test_files_of_this_machine_in_containers(stand_in: str, demo_data: Path, tmp_path: Path) -> None:
    template = ("--template", str(containers.REPO / "template.yaml"))
    images = tmp_path / "my images"
    images.mkdir()
    for name in IMAGES:
        shutil.copy(demo_data / name, images)
    (images / "cut.fits").write_bytes((demo_data / IMAGES[0]).read_bytes()[:100_000])
    words = ("run", "my images", "--output", "out", "--run", "r", "--outputs", "preview", *template)
    run = skyfan(tmp_path, *words, "--engine", "sam", "--jobs", "1", code=1)
    assert (run["sent"], run["state"]["done"], run["state"]["failed"]) == (2, 1, 1)
    (failure,) = skyfan(tmp_path, "status", "r", "--output", "out", code=1)["failures"]
    assert (failure["errorType"], failure["permanent"]) == ("TruncatedError", True)
    assert failure["example"]["input"] == (images / "cut.fits").as_uri()
    # the same command has nothing left to do, and in workers of this machine it makes the same catalogs
    again = skyfan(tmp_path, *words, "--engine", "sam", code=1)
    assert again["done_before"] == 1
    # a retry of the mended file is in a container, too
    shutil.copy(demo_data / IMAGES[0], images / "cut.fits")
    retried = skyfan(tmp_path, "retry", "r", "--output", "out", "--all", *template, code=0)
    assert (retried["sent"], retried["state"]["done"]) == (1, 2)
    (catalog,) = (tmp_path / "out").rglob("cut.fits.cat.fits")
    assert fits.getheader(catalog)["SRCURI"] == f"s3://images{quote(str(images))}/cut.fits"
    local = ("--output", "local", "--run", "r", "--outputs", "preview", *template)
    skyfan(tmp_path, "run", "my images", *local, code=0)
    for name in IMAGES:
        stem = f"runs/r/catalogs{images}/{name}"
        assert (tmp_path / "out" / f"{stem}.preview.png").stat().st_size > 10_000
        pair = [tmp_path / place / f"{stem}.cat.fits" for place in ("out", "local")]
        assert fits.getheader(pair[0])["SRCURI"] == f"s3://images{quote(str(images))}/{name}"
        # The layer has its own versions of the packages.
        difference = fits.FITSDiff(*pair, ignore_keywords=["SRCURI", "SRCVER", "V_*"])
        assert difference.identical, difference.report()
    assert not list(Path(tmp_path / "out").rglob("probe"))
    bill = skyfan(tmp_path, "costs", "r", "--output", "out", code=0)["bill"]
    assert bill["invocations"] >= 2
