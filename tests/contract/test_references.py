"""A reference in a bucket: the same stars as from the same HATS catalog in a folder."""

from pathlib import Path

import numpy as np
import pytest
from standins.bucket import Bucket, serving
from standins.reference import catalog, hats

from skyfan.errors import UsageError
from skyfan.objects.references import Source

WHOLE = np.array([[0, 12 << 58]], np.int64)


def test_a_catalog_in_a_bucket_is_read_by_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    xy = rng.uniform(-45, 45, (400, 2))
    folder = hats(
        catalog(xy, rng.normal(0, 2, xy.shape), rng.uniform(19, 22, 400)), tmp_path / "hats", collection=True
    )
    bucket = Bucket(tmp_path / "nothing", keeps=True)
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.put(f"gaia/gaia_dr3/public/hats/{path.relative_to(folder)}", path.read_bytes(), {})
    with serving(bucket) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        source = Source("gaia")
        found = source.read(WHOLE)
        with pytest.raises(UsageError, match="s3://stpubdata/gaia/other is no HATS catalog"):
            Source("s3://stpubdata/gaia/other")
    local = Source(str(folder))
    assert found.rows.tobytes() == local.read(WHOLE).rows.tobytes()
    assert len(found.key) == len(xy)
    assert source.digest == local.digest
