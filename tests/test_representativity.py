"""Intervals from sub-volumes: they cover the truth, and boxes tile the volume."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import norm, t

from tripoint import Materials, boundary, representativity
from tripoint.boundary import crofton

LAYERS = Materials.load({"phases": {"below": 5, "above": 2, "wall": 9}})


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


def test_the_wider_interval_of_64_or_8_boxes_is_taken():
    """Scatter that larger boxes keep makes theirs wider; scatter that they even out, that of small ones."""
    z, y, x = np.indices((4, 4, 4))
    for values, joined in ((z // 2 + y // 2, True), ((z + y + x) % 2, False)):
        found = representativity.interval(values.ravel().astype(float).tolist())
        grid = values
        if joined:
            grid = values.reshape(2, 2, 2, 2, 2, 2).mean(axis=(1, 3, 5))
        half = t.ppf(0.975, grid.size - 1) * grid.std(ddof=1) / np.sqrt(grid.size)
        assert found.high - found.value == pytest.approx(half)
        assert found.value == values.mean()
        assert found.low == pytest.approx(found.value - half)


def test_an_interval_ends_at_zero():
    found = representativity.interval([0.0] * 7 + [1.0])
    assert found.low == 0
    assert found.high > 2 * found.value


@pytest.mark.parametrize(
    ("shape", "divisions", "subvolumes"),
    [
        ((64, 64, 66), 4, 64),
        ((63, 64, 64), 4, 8),
        ((48, 50, 49), 3, 27),
        ((32, 80, 80), 4, 8),
        ((31, 80, 80), 4, 0),
        ((32, 32, 32), 1, 0),
        ((32, 32, 32), 0, 0),
    ],
)
def test_boxes_have_16_voxels_along_each_axis(backend, shape, divisions, subvolumes):
    phases = np.full(shape, 5, np.uint8)
    found = measure(backend.put(phases), divisions=divisions)
    assert found.subvolumes == subvolumes
    assert bool(found.volume_fraction) == bool(subvolumes)
    assert found.to_mapping()["subvolumes"] == subvolumes


def test_a_layer_before_a_wall_by_hand(backend):
    """Eight boxes of 32³ voxels, the values of each worked out; x runs fastest over the boxes."""
    phases = np.full((64, 64, 64), 5, np.uint8)
    phases[:16] = 2
    phases[:, :, 48:] = 9
    spacing = (0.5, 0.25, 1.0)
    found = measure(backend.put(phases), spacing, divisions=2).to_mapping()
    upper, wall = np.array([0.5, 0.25, 0.5, 0.25, 0, 0, 0, 0]), np.array([0, 0.5] * 4)
    assert found["volume_fraction"] == {
        "below": student(1 - upper - wall),
        "above": student(upper),
        "wall": student(wall),
    }
    # the three meet at z = 16, x = 48: in two of the boxes, 32 voxels of 0.25 µm along y
    box_volume = 32**3 * 0.125
    density = np.array([0, 1, 0, 1, 0, 0, 0, 0]) * 32 * 0.25 / box_volume
    assert found["tpb_density"] == {"below|above|wall": student(density)}

    def pairs(ys, xs):
        """Steps from z = 15 to z = 16 that stay in the volume and off the wall, by direction."""
        return [
            dz * sum(0 <= y + dy < 64 for y in ys) * sum(0 <= x + dx < 48 for x in xs)
            for dz, dy, dx in crofton.DIRECTIONS.tolist()
        ]

    near, far = range(32), range(32, 64)
    counts = [pairs(ys, xs) for ys in (near, far) for xs in (range(32), range(32, 48))]
    area = np.append(crofton.area(counts, spacing), [0] * 4)
    assert found["specific_area"]["above|below"] == student(area / box_volume)
    assert set(found["specific_area"]) == {"above|below", "above|wall", "below|wall"}


def test_boxes_share_their_kernels_and_only_counts_come_back(backend):
    """Boxes that lack a phase take the same kernel; a box costs two copies of some hundred bytes."""
    if not backend.emulated:
        pytest.skip("builds and copies are counted by the stand-in")
    import cupy

    phases = np.full((64, 64, 64), 5, np.uint8)
    phases[:16] = 2
    phases[:, :, 48:] = 9
    volume = backend.put(phases)
    whole = boundary.scan(volume, (1, 1, 1), LAYERS.junction_labels)
    assert whole.junctions[0].length > 0
    built, before = set(cupy.built), len(cupy.transfers)
    found = representativity.measure(volume, (1.0, 1.0, 1.0), LAYERS, whole)
    copies = [copy.nbytes for copy in cupy.transfers[before:] if copy.direction == "to_host"]
    assert found.subvolumes == 64
    assert len(copies) == 2 * 64
    assert max(copies) <= 256 * 8
    assert len(set(cupy.built) - built) <= 2  # labels counted; the scan without a map


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


def measure(phases, spacing=(1.0, 1.0, 1.0), divisions=4):
    whole = boundary.scan(phases, spacing, LAYERS.junction_labels)
    return representativity.measure(phases, spacing, LAYERS, whole, divisions)


def student(values):
    """Return the interval of eight values."""
    half = t.ppf(0.975, 7) * np.std(values, ddof=1) / np.sqrt(8)
    mean = np.mean(values)
    return pytest.approx({"value": mean, "low": max(0, mean - half), "high": mean + half})
