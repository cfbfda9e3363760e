"""Search on arrays: what must not change a candidate, what must, and known cases."""

from dataclasses import replace
from typing import Any

import lightcurves
import numpy as np
import pytest
from astropy.timeseries import BoxLeastSquares
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from transits import boxes
from transits.checks import depths
from transits.detrend import segments_of, trend
from transits.fit import Transit, fit
from transits.noise import red_factors
from transits.quality import Flag
from transits.search import Limits, Search, search
from transits.series import Series

LIMITS = Limits(0.5, 13.0, (2 / 24, 3 / 24, 4.5 / 24), 1.0, 7.1, 1)
NO_DUMPS = np.empty(0)


def made(seed: int = 1, *planets: lightcurves.Planet, cadence: float = 600.0, **keys: Any) -> Series:
    """A quiet sector of ten-minute cadences, 0.2 parts per thousand in an hour."""
    curve = lightcurves.make(np.random.default_rng(seed), cadence, 9.5, quiet=True)
    curve = lightcurves.planted(curve, *planets)
    return Series(curve.time, curve.flux, curve.error, curve.cadence)


def planet(curve: Series, period: float = 3.3, phase: float = 0.4, ratio: float = 0.03) -> lightcurves.Planet:
    return lightcurves.Planet(period, float(curve.time[0]) + phase * period, ratio, 0.2, 3 / 24)


def found(curve: Series, **keys: Any) -> Search:
    return search(curve, NO_DUMPS, replace(LIMITS, **keys))


def only(result: Search) -> Transit:
    (candidate,) = result.candidates
    return candidate.transit


def offset(transit: Transit, epoch: float, period: float) -> float:
    """Days from a transit to the nearest of an ephemeris."""
    return (transit.epoch - epoch + period / 2) % period - period / 2


@settings(max_examples=12, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(phase=st.floats(0, 1), period=st.floats(0.8, 12.0))
def test_a_clear_planet_is_found_at_any_phase_and_period(phase: float, period: float) -> None:
    true = planet(made(), period, phase, 0.05)
    transit = only(found(made(1, true)))
    assert abs(offset(transit, true.epoch, period)) < 0.03
    assert transit.snr > 15
    if transit.period > 2 / 3 * period:  # half of it, if the gap hides what tells them apart
        assert transit.period == pytest.approx(period, rel=3e-3)
        assert transit.depth * (1 - transit.ingress / 4) == pytest.approx(true.depth, rel=0.15)


@settings(max_examples=4, deadline=None)
@given(days=st.floats(-900, 900))
def test_a_shift_in_time_changes_the_epoch_alone(days: float) -> None:
    curve = made(1, planet(made()))
    plain, moved = only(found(curve)), only(found(replace(curve, time=curve.time + days)))
    # Rounding decides which fluxes are in a window of the trend.
    assert moved.snr == pytest.approx(plain.snr, rel=0.03)
    away = (moved.period - plain.period, moved.depth - plain.depth)
    assert np.abs(away)[0] < 0.2 * plain.errors[0]
    assert np.abs(away)[1] < 0.3 * plain.errors[2]
    assert abs(offset(moved, plain.epoch + days, plain.period)) < 0.2 * plain.errors[1]


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_noise_and_depth_that_grow_together_leave_period_and_snr(factor: float) -> None:
    curve = made(1, planet(made()))
    plain = only(found(curve))
    scaled = only(found(replace(curve, flux=1 + factor * (curve.flux - 1))))
    assert scaled.period == pytest.approx(plain.period, rel=1e-3)
    assert scaled.depth == pytest.approx(factor * plain.depth, rel=0.02)
    assert scaled.snr == pytest.approx(plain.snr, rel=0.02)


def test_errors_of_the_file_in_another_unit_change_nothing() -> None:
    curve = made(1, planet(made()))
    assert only(found(replace(curve, error=curve.error * 7))) == only(found(curve))


@pytest.mark.parametrize("seed", range(3))
def test_noise_alone_has_no_candidate(seed: int) -> None:
    result = found(made(seed))
    assert (result.candidates, result.dips) == ([], [])
    assert 3 < result.best < 7.1


def test_two_planets_are_found_one_after_the_other() -> None:
    first, second = planet(made(), 2.7, 0.3, 0.035), planet(made(), 4.9, 0.6, 0.028)
    result = found(made(1, first, second), most=3)
    assert [round(each.transit.period, 1) for each in result.candidates] == [2.7, 4.9]
    assert result.best < 7.1


def test_a_dip_that_comes_once_is_named_and_is_no_candidate() -> None:
    true = planet(made(), 100.0, 0.07)
    result = found(made(1, true))
    (dip,) = result.dips
    assert result.candidates == []
    assert dip.time == pytest.approx(true.epoch, abs=0.05)
    assert dip.depth == pytest.approx(true.depth, abs=4e-4)
    assert dip.snr > 7.1


def test_a_planet_is_found_beside_a_dip_that_came_once() -> None:
    big, small = planet(made(), 100.0, 0.07, 0.1), planet(made(), 3.3, 0.5, 0.03)
    result = found(made(1, big, small))
    assert only(result).period == pytest.approx(3.3, rel=2e-3)
    assert len(result.dips) == 1


def test_a_binary_star_is_flagged_by_odd_and_even_depths() -> None:
    primary, second = planet(made(), 4.0, 0.2, 0.08), planet(made(), 4.0, 0.7, 0.06)
    (candidate,) = found(made(1, primary, second), longest=2.2).candidates
    assert candidate.transit.period == pytest.approx(2.0, rel=1e-3)
    assert candidate.checks.flags & Flag.ODD_EVEN
    assert max(candidate.checks.odd[0], candidate.checks.even[0]) == pytest.approx(primary.depth, rel=0.15)


def test_a_second_eclipse_is_measured_where_it_is() -> None:
    primary, second = planet(made(), 4.0, 0.2, 0.08), planet(made(), 4.0, 0.6, 0.03)
    (candidate,) = found(made(1, primary, second)).candidates
    assert candidate.checks.flags & Flag.SECONDARY
    assert candidate.checks.second_phase == pytest.approx(0.4, abs=0.01)
    assert candidate.checks.second[0] == pytest.approx(second.depth, rel=0.25)


def test_a_planet_has_no_flags() -> None:
    (candidate,) = found(made(1, planet(made()))).candidates
    assert candidate.checks.flags == Flag.NONE


def test_transits_during_momentum_dumps_are_flagged() -> None:
    true = planet(made())
    (candidate,) = search(made(1, true), true.epoch + 3.3 * np.arange(9), LIMITS).candidates
    assert candidate.checks.flags & Flag.DUMPS
    assert candidate.checks.flags & Flag.ALIAS


def test_the_compiled_core_is_that_of_the_public_class_to_the_last_bit() -> None:
    curve = made(1, planet(made()))
    trial = boxes.periods(2 / 24, curve.baseline, 1.0, 5.0)
    public = BoxLeastSquares(curve.time, curve.flux, curve.error).power(
        trial, 2 / 24, objective="snr", oversample=boxes.PER_DURATION
    )
    ours = boxes.spectrum(replace(curve, cadence=1.0), 2 / 24, 1.0, 5.0)  # not binned
    np.testing.assert_array_equal(ours.period, trial)
    np.testing.assert_array_equal(ours.snr, public.depth_snr)
    np.testing.assert_array_equal(ours.depth, public.depth)
    np.testing.assert_allclose(ours.epoch % trial, public.transit_time % trial, atol=1e-9)


def test_periods_drift_by_one_duration_and_stay_within_limits() -> None:
    trial = boxes.periods(0.1, 27.0, 1.0, 12.0)
    assert (trial[0], trial[-1]) == pytest.approx((1.0, 12.0))
    assert np.diff(np.log(trial)).max() * 27.0 <= 0.1 * 1.0001
    assert not len(boxes.periods(0.5, 27.0, 0.5, 1.0))


@pytest.mark.parametrize("degree", [0, 1])
def test_the_trend_follows_a_slope_and_not_a_transit(degree: int) -> None:
    curve = made(1, planet(made(), ratio=0.1))
    slope = 0.004 * np.sin(2 * np.pi * curve.time / 15)
    level = trend(replace(curve, flux=curve.flux + slope), 1.0, degree=degree).level
    # at the ends, a level lags behind by half a window's slope, a line does not
    assert np.abs(level - 1 - slope).max() < (5e-4 if degree else 1e-3)


def test_a_trend_does_not_reach_across_a_gap() -> None:
    curve = made()
    step = np.where(curve.time > np.mean(curve.time), 0.01, 0.0)
    assert len(segments_of(curve.time)) == 2
    assert np.abs(trend(replace(curve, flux=curve.flux + step), 1.0).level - 1 - step).max() < 3e-4


def test_white_noise_has_a_factor_of_one_and_shared_noise_more() -> None:
    rng = np.random.default_rng(2)
    time = np.arange(4000) / 144
    white = Series(time, rng.normal(size=4000), np.ones(4000), 1 / 144)
    assert red_factors(white, np.array([1 / 12, 1 / 4])) == pytest.approx([1, 1], abs=0.2)
    shared = replace(white, flux=white.flux + np.repeat(rng.normal(size=100), 40))
    assert red_factors(shared, np.array([1 / 12]))[0] == pytest.approx(np.sqrt(1 + 12), rel=0.25)


def test_errors_of_a_fit_are_those_of_its_scatter() -> None:
    rng = np.random.default_rng(3)
    time = np.arange(0, 27, 10 / 1440)
    true = Transit(3.3, 13.3, 2e-3, 0.12, 0.15, (np.nan,) * 4)
    pulls = []
    for _ in range(60):
        flux = 2e-4 * rng.normal(size=len(time)) - true.depth * true.shape(time, 10 / 1440)
        got = fit(
            Series(time, flux, np.full(len(time), 2e-4), 10 / 1440), replace(true, epoch=13.31, depth=1e-3)
        )
        values = (got.period - 3.3, got.epoch - 13.3, got.depth - 2e-3)
        pulls.append([value / error for value, error in zip(values, got.errors, strict=False)])
    assert np.std(pulls, axis=0) == pytest.approx([0.9, 0.9, 0.9], abs=0.35)
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.6


def test_each_transit_has_its_depth() -> None:
    time = np.arange(0, 27, 10 / 1440)
    true = Transit(3.3, 13.3, 2e-3, 0.12, 0.15, (np.nan,) * 4)
    flux = -true.depth * true.shape(time, 10 / 1440) * np.where(true.number(time) % 2 == 0, 1.0, 0.5)
    each = depths(Series(time, flux, np.full(len(time), 1e-4), 10 / 1440), true, 2.0)
    assert each.depth[each.number % 2 == 0] == pytest.approx(2e-3)
    assert each.depth[each.number % 2 == 1] == pytest.approx(1e-3)
