"""Files of one exposure count once."""

import numpy as np
import pytest

from skyfan.objects.exposures import Image, kept

CENTRE = np.array([1.0, 0.0, 0.0])
ACS = ("HST", "ACS/WFC", "F606W")


def image(name: str, start: float, stop: float, **values: object) -> Image:
    about = {"run": 0, "channel": ACS, "rootname": "", "doubts": 0, "centre": CENTRE, "radius": 1e-3} | values
    return Image(f"s3://archive/{name}", start=start, stop=stop, **about)


AWAY = np.array([0.0, 1.0, 0.0])
SINGLE = image("j1_flc.fits", 5.0, 5.01, rootname="j1")


@pytest.mark.parametrize(
    ("other", "winner"),
    [
        pytest.param(image("j1_flt.fits", 5.0, 5.01, rootname="J1"), 0, id="flc before flt"),
        pytest.param(image("x_flt.fits", 5.0 + 5e-6, 5.01), 0, id="the same time, without a rootname"),
        pytest.param(image("x_flt.fits", 5.0 + 5e-5, 5.01), None, id="four seconds later"),
        pytest.param(image("x_flt.fits", 5.0, 5.01, centre=AWAY), None, id="elsewhere"),
        pytest.param(
            image("x_flt.fits", 5.0, 5.01, channel=("HST", "WFC3/IR", "F606W")), None, id="in parallel"
        ),
        pytest.param(image("j1_drc.fits", 4.9, 5.1, rootname="j0"), 1, id="part of a drizzled image"),
        pytest.param(image("j1_drc.fits", 4.9, 5.1, channel=(*ACS[:2], "F814W")), None, id="another filter"),
        pytest.param(image("j1_drc.fits", 5.005, 5.1), None, id="begins too late"),
        pytest.param(image("j1_flc.fits", 5.0, 5.01, rootname="j1", run=1), 0, id="the run named first"),
        pytest.param(image("j1_flc.fits", np.nan, np.nan, doubts=1), 0, id="the same file, fewer doubts"),
        pytest.param(image("k_flc.fits", np.nan, np.nan), None, id="unknown times"),
    ],
)
def test_which_of_two_files_is_kept(other: Image, winner: int | None) -> None:
    assert kept([SINGLE, other]).tolist() == ([0, 1] if winner is None else [winner, winner])
    assert kept([other, SINGLE]).tolist() == ([0, 1] if winner is None else [1 - winner, 1 - winner])


def test_what_gives_way_twice_gives_way_to_the_one_that_is_kept() -> None:
    files = [
        image("j1_flt.fits", 5.0, 5.01, rootname="j1"),
        SINGLE,
        image("j0_drz.fits", 4.9, 5.1, rootname="j0"),
        image("j0_drc.fits", 4.9, 5.1, rootname="j0"),
    ]
    assert kept(files).tolist() == [3, 3, 3, 3]
    assert not image("k_flc.fits", np.nan, 5).is_identified
