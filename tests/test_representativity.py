"""Intervals from sub-volumes: they cover the truth, and boxes tile the volume."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from tripoint import representativity


def test_boxes_tile_the_volume():
    seen = np.zeros((33, 40, 17), int)
    for box in representativity.boxes(seen.shape, 3):
        seen[tuple(slice(*side) for side in box)] += 1
    assert (seen == 1).all()


def test_interval_is_students():
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    found = representativity.interval(values)
    assert found.value == 4.5
    assert found.high - found.value == pytest.approx(2.3646 * np.std(values, ddof=1) / np.sqrt(8), rel=1e-4)
    assert representativity.Interval(0.0, 0.0, 0.0).relative_width == np.inf


def test_coverage_of_the_true_mean():
    """Of 60 random fields with a known mean, about 95 % of the intervals hold it."""
    rng, length, size = np.random.default_rng(0), 3, 64
    spread = (1 / (2 * np.sqrt(np.pi) * length)) ** 1.5
    held = 0
    for _ in range(60):
        noise = rng.standard_normal((size + 8 * length,) * 3, dtype=np.float32)
        field = gaussian_filter(noise, length)[(slice(4 * length, -4 * length),) * 3]
        phase = field > spread * norm.ppf(0.7)
        fractions = [
            phase[tuple(slice(*side) for side in box)].mean()
            for box in representativity.boxes(phase.shape, 4)
        ]
        found = representativity.interval(fractions)
        held += found.low <= 0.3 <= found.high
    assert 52 <= held <= 60
