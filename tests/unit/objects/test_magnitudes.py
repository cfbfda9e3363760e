"""Means and indices of variability, beside plain formulas for one object at a time."""

import numpy as np
import pytest
from scipy.stats import chi2 as chi2_distribution

from skyfan.objects.magnitudes import light


def test_each_index_is_that_of_the_plain_formula() -> None:
    rng = np.random.default_rng(3)
    epochs = [1, 2, 3, 9, 0, 5]
    thing = np.repeat(np.arange(len(epochs)), epochs)
    mjd = np.concatenate([np.sort(rng.uniform(0, 4, n)) for n in epochs])
    mag, error = rng.normal(22, 0.2, len(thing)), rng.uniform(0.02, 0.2, len(thing))
    made = light(thing, mjd, mag, error, len(epochs))
    assert made.epochs.tolist() == epochs
    for number, count in enumerate(epochs):
        rows = thing == number
        if not count:
            assert np.isnan([made.mag[number], made.error[number], made.chi2[number]]).all()
            continue
        flux = 10 ** (-0.4 * mag[rows])
        sigma = flux * error[rows] * np.log(10) / 2.5
        mean = np.average(flux, weights=sigma**-2)
        assert made.mag[number] == pytest.approx(-2.5 * np.log10(mean))
        assert made.error[number] == pytest.approx((sigma**-2).sum() ** -0.5 / mean * 2.5 / np.log(10))
        if count == 1:
            assert np.isnan(
                [made.scatter[number], made.chi2[number], made.chance[number], made.eta[number]]
            ).all()
            continue
        chi2 = (((flux - mean) / sigma) ** 2).sum()
        assert made.chi2[number] == pytest.approx(chi2)
        assert made.chance[number] == pytest.approx(chi2_distribution.sf(chi2, count - 1))
        variance = np.average((flux - mean) ** 2, weights=sigma**-2) * count / (count - 1)
        assert made.scatter[number] == pytest.approx(np.sqrt(variance) / mean * 2.5 / np.log(10))
        if count > 2:
            eta = (np.diff(flux) ** 2).sum() / (count - 1) / flux.var(ddof=1)
            assert made.eta[number] == pytest.approx(eta)
        delta = (flux - mean) / sigma * np.sqrt(count / (count - 1))
        products, at, time = [], 0, mjd[rows]
        while at < count:
            if at + 1 < count and time[at + 1] - time[at] <= 1:
                products.append(delta[at] * delta[at + 1])
                at += 2
            else:
                products.append(delta[at] ** 2 - 1)
                at += 1
        assert made.stetson[number] == pytest.approx(np.mean(np.sign(products) * np.sqrt(np.abs(products))))


def test_the_mean_of_faint_sources_is_not_too_bright() -> None:
    rng = np.random.default_rng(4)
    count, epochs, snr = 20_000, 6, 10.0
    flux = 1 + rng.normal(0, 1 / snr, count * epochs)
    mag, error = -2.5 * np.log10(flux), 2.5 / np.log(10) / snr / flux
    made = light(np.repeat(np.arange(count), epochs), np.zeros(count * epochs), mag, error, count)
    assert abs(np.median(made.mag)) < 0.001
    assert made.chance[made.chance < 0.01].size / count == pytest.approx(0.01, abs=0.002)
