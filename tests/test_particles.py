"""Separation against its written rule, known packings and SNOW; descriptors against scikit-image."""

import inspect
from contextlib import nullcontext
from functools import cache, reduce
from itertools import product
from operator import add

import cc3d
import numba
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import regionprops_table
from sklearn.metrics import adjusted_rand_score

import packings
from strategies import partitions, phase_volumes
from tripoint import _cpu, _cuda, distance, particles
from tripoint.errors import InputError

SPACINGS = ((1.0, 1.0, 1.0), (0.398, 0.398, 0.398), (1.0, 2.0, 0.7))
OFFSETS = [offset for offset in product((-1, 0, 1), repeat=3) if offset != (0, 0, 0)]
SMALL = (72, 72, 72)
TINY = (18, 26, 40)  # emulated within a tenth of a second
LABELS = (0, 128, 255)


def composite(shape=(40, 44, 48), seed=0, scale=2.0, labels=(0, 128, 255)):
    """Three interpenetrating phases."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), scale)
    return np.array(labels, np.uint8)[np.digitize(noise, np.quantile(noise, [0.4, 0.7]))]


def separate(backend, phases, *arguments, **options):
    """Return the regions that a backend finds, on the host."""
    return backend.get(particles.separate(backend.put(phases), *arguments, **options))


def written_rule(phases, spacing, neck_ratio):
    """Separate voxel by voxel, as the docstring of particles.separate says, with none of its means."""
    unit = min(spacing)
    voxels = distance.transform(phases, spacing).astype(np.float64) * (1.0 / unit)
    if len(set(spacing)) == 1:
        voxels = np.sqrt(np.rint(voxels**2))
    fixed = np.minimum(np.rint(256 * voxels), 2**24).astype(int)
    inside = [(0, n) for n in phases.shape]
    height = np.zeros(phases.shape, int)
    for p in np.ndindex(phases.shape):
        for o in [*OFFSETS, (0, 0, 0)]:
            q = tuple(min(max(a + b, 0), n - 1) for a, b, n in zip(p, o, phases.shape, strict=True))
            weight = np.prod([2 - abs(b) for b in o])
            height[p] += weight * (fixed[q] if phases[p] == phases[q] else -256)

    def neighbours(p):
        for o in OFFSETS:
            q = tuple(a + b for a, b in zip(p, o, strict=True))
            if (
                all(low <= a < high for a, (low, high) in zip(q, inside, strict=True))
                and phases[p] == phases[q]
            ):
                yield q, o

    target = {}
    for p in np.ndindex(phases.shape):
        rising = [
            (
                -(height[q] - height[p]) * (1.0 / np.sqrt(np.sum((np.array(o) * spacing / unit) ** 2))),
                -height[q],
                q,
            )
            for q, o in neighbours(p)
            if height[q] > height[p]
        ]
        level = [q for q, _ in neighbours(p) if height[q] == height[p] and q < p]
        target[p] = min(rising)[2] if rising else min(level, default=p)

    def summit(p):
        while target[p] != p:
            p = target[p]
        return p

    basin = {p: summit(p) for p in np.ndindex(phases.shape)}
    saddles = {}
    for p in np.ndindex(phases.shape):
        for q, _ in neighbours(p):
            if basin[p] < basin[q] or basin[q] < basin[p]:
                pair = tuple(sorted((basin[p], basin[q])))
                saddles[pair] = max(saddles.get(pair, 0), min(voxels[p], voxels[q]))
    into = {p: p for p in set(basin.values())}

    def root(p):
        while into[p] != p:
            p = into[p]
        return p

    def order(item):
        (a, b), saddle = item
        return -saddle, -max(height[a], height[b]), -min(height[a], height[b]), a, b

    for pair, saddle in sorted(saddles.items(), key=order):
        a, b = root(pair[0]), root(pair[1])
        stays, goes = sorted((a, b), key=lambda p: (-voxels[p], p))
        if a != b and saddle - 0.75 >= neck_ratio * (voxels[goes] - 0.75):
            into[goes] = stays

    number = [np.ravel_multi_index(root(basin[p]), phases.shape) + 1 for p in np.ndindex(phases.shape)]
    merged = np.array(number, np.int32).reshape(phases.shape)
    return in_raster_order(cc3d.connected_components(merged, connectivity=6))


@cache
def thick_particles(spacing, neck_ratio):
    phases = composite((14, 18, 16), scale=2.5)
    return phases, written_rule(phases, spacing, neck_ratio)


def in_raster_order(labels):
    """Renumber labels 1..N by their first voxels; 0 stays."""
    found, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.zeros(found.size, np.int32)
    order = np.argsort(first)
    order = order[found[order] != 0]
    rank[order] = np.arange(1, order.size + 1)
    return rank[inverse].reshape(labels.shape)


@settings(max_examples=40, deadline=None)
@given(
    phases=phase_volumes(labels=(0, 1, 255), largest=7),
    spacing=st.sampled_from(SPACINGS),
    neck_ratio=st.sampled_from((0.5, 0.9, 1.0)),
)
def test_equals_the_written_rule(backend, phases, spacing, neck_ratio):
    found = separate(backend, phases, spacing, neck_ratio=neck_ratio)
    np.testing.assert_array_equal(found, written_rule(phases, spacing, neck_ratio))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("neck_ratio", [0.6, 0.9])
def test_equals_the_written_rule_where_particles_are_thick(backend, spacing, neck_ratio):
    phases, expected = thick_particles(spacing, neck_ratio)
    found = separate(backend, phases, spacing, neck_ratio=neck_ratio)
    np.testing.assert_array_equal(found, expected)
    assert found.max() > 3


@settings(max_examples=40, deadline=None)
@given(phases=phase_volumes(labels=(0, 3, 4, 200), largest=6), spacing=st.sampled_from(SPACINGS))
def test_regions_are_connected_of_one_phase_and_in_raster_order(backend, phases, spacing):
    regions = separate(backend, phases, spacing)
    assert regions.dtype == np.int32
    assert regions.min() > 0
    pieces = cc3d.connected_components(regions, connectivity=6)
    assert pieces.max() == regions.max()
    labels = np.unique(np.stack([regions.ravel(), phases.ravel()]), axis=1)
    assert labels.shape[1] == regions.max()
    np.testing.assert_array_equal(in_raster_order(regions), regions)


@settings(max_examples=30, deadline=None)
@given(phases=phase_volumes(labels=(0, 1, 2), largest=8), names=st.permutations([0, 17, 255]))
def test_renaming_the_phases_changes_nothing(backend, phases, names):
    renamed = np.array(names, np.uint8)[phases]
    np.testing.assert_array_equal(separate(backend, phases), separate(backend, renamed))


# Around the tiles of the kernels: 8 and 16 voxels along z, 8 along y, 32 along x, 1024 in raster order.
AWKWARD = ((1, 1, 9), (4, 1, 5), (3, 5, 7), (9, 8, 33), (17, 9, 31), (8, 16, 64), (2, 130, 65), (3, 2, 1030))


@pytest.mark.parametrize("shape", AWKWARD)
def test_both_sides_give_the_same_regions(backend, shape):
    for spacing, scale, components in zip(SPACINGS, (0.5, 1.5, 4), ([], [128], [0, 255]), strict=True):
        phases = composite(shape, seed=sum(shape), scale=scale)
        found = separate(backend, phases, spacing, labels=[0, 128], components=components)
        expected = particles.separate(phases, spacing, labels=[0, 128], components=components)
        np.testing.assert_array_equal(found, expected)


def test_both_sides_give_the_same_basins_and_summits(backend):
    """Not only what is left of them once they are merged."""
    implementation = _cpu if backend.name == "cpu" else _cuda
    for spacing in SPACINGS:
        phases = composite(TINY)
        wall = distance.transform(phases, spacing)
        place = spacing, [0, 255], [128]
        expected = _cpu.particles.climb.basins(phases, wall, *place)
        found = implementation.particles.climb.basins(backend.put(phases), backend.put(wall), *place)
        for ours, theirs in zip(backend.get(found), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype


@pytest.mark.slow
@pytest.mark.parametrize("spacing", SPACINGS)
def test_both_sides_give_the_same_regions_of_a_large_volume(large_backend, spacing):
    phases = composite((150, 260, 300), scale=5.0)
    found = separate(large_backend, phases, spacing, components=[128])
    np.testing.assert_array_equal(found, particles.separate(phases, spacing, components=[128]))


def test_no_order_of_threads_changes_a_region(backend):
    phases = composite(TINY)
    expected = separate(backend, phases, 0.3, components=[255])
    if backend.emulated:
        import cupy

        order = cupy.emulator_order("reverse")
    else:
        order = nullcontext()
    with order:
        np.testing.assert_array_equal(separate(backend, phases, 0.3, components=[255]), expected)


def test_memory_is_what_the_docstrings_say(backend):
    if backend.name == "cpu":
        pytest.skip("what the host takes is measured by the benchmark")
    from tripoint._cuda.memory import Gauge

    phases = backend.put(composite())
    to_wall = distance.transform(phases)
    for step, allowed in (
        (lambda: distance.transform(phases), 8),
        (lambda: particles.separate(phases), 9),
        (lambda: particles.separate(phases, distance=to_wall), 5),
    ):
        with Gauge() as gauge:
            before = gauge.peak_bytes
            step()
        # Half a byte for tables, which are large beside so small a volume.
        assert gauge.peak_bytes - before <= (allowed + 0.5) * phases.size


def test_phases_are_separated_as_if_alone_and_together(backend):
    phases = composite(TINY)
    together = separate(backend, phases)
    for label in (0, 128, 255):
        alone = separate(backend, phases, labels=[label])
        np.testing.assert_array_equal(alone > 0, phases == label)
        np.testing.assert_array_equal(alone, in_raster_order(np.where(phases == label, together, 0)))


@pytest.mark.parametrize("parts", [1, 3, 40])
def test_no_number_of_slabs_or_threads_changes_the_result(parts, monkeypatch):
    from tripoint._cpu.particles import climb

    phases = composite()
    expected = particles.separate(phases, components=[128])

    def slabs(planes):
        return np.linspace(0, planes, min(parts, planes) + 1).astype(np.int64)

    monkeypatch.setattr(climb, "slabs", slabs)
    threads = numba.get_num_threads()
    numba.set_num_threads(1 if parts == 1 else threads)
    try:
        found = particles.separate(phases, components=[128])
    finally:
        numba.set_num_threads(threads)
    np.testing.assert_array_equal(found, expected)


def test_distance_at_hand_gives_the_same(backend):
    phases = backend.put(composite(TINY))
    for spacing in SPACINGS:
        at_hand = distance.transform(phases, spacing)
        found = backend.get(particles.separate(phases, spacing, distance=at_hand))
        np.testing.assert_array_equal(found, backend.get(particles.separate(phases, spacing)))


@pytest.mark.parametrize("size", [0.001, 0.398, 1 / 3, 64.0])
def test_isotropic_voxel_size_does_not_matter(backend, size):
    phases = composite(TINY)
    np.testing.assert_array_equal(separate(backend, phases, size), separate(backend, phases))


def test_anisotropic_spacing_sees_the_true_shape(backend):
    """Spheres that look squashed in voxels are cut as those sampled evenly."""
    packing = packings.spheres(SMALL, number=36)
    thin, truth = packing.phases[::2], packing.truth[::2]
    regions = separate(backend, thin, (2, 1, 1), labels=[1])
    inside = truth > 0
    assert adjusted_rand_score(truth[inside], regions[inside]) > 0.96


@pytest.mark.parametrize("size", [2, 3, 7, 8])
def test_plateaus_have_no_cycles_and_stay_whole(backend, size):
    plate = np.zeros((20, 20, 12), np.uint8)
    plate[2:18, 2:18, 2 : 2 + size] = 1
    assert separate(backend, plate, labels=[1]).max() == 1


def test_two_spheres_are_cut_where_their_neck_is_narrow_enough(backend):
    z, y, x = np.ogrid[:41, :41, :70]

    def pair(apart):
        balls = [
            (z - 20) ** 2 + (y - 20) ** 2 + (x - c) ** 2 <= 14.5**2 for c in (35 - apart / 2, 35 + apart / 2)
        ]
        return (balls[0] | balls[1]).astype(np.uint8)

    narrow, wide = pair(24), pair(8)  # necks of 0.56 and 0.96 radii
    cut = separate(backend, narrow, labels=[1])
    assert cut.max() == 2
    np.testing.assert_array_equal(cut[:, :, :35] == 1, narrow[:, :, :35] == 1)
    assert separate(backend, narrow, labels=[1], neck_ratio=0.5).max() == 1
    assert separate(backend, wide, labels=[1]).max() == 1


@pytest.mark.parametrize("case", packings.cases(SMALL), ids=lambda case: case.name)
def test_packings_are_recovered(large_backend, case):
    regions = separate(large_backend, case.phases, labels=[1])
    inside = case.truth > 0
    strongly = "overlap" in case.name
    assert adjusted_rand_score(case.truth[inside], regions[inside]) > (0.85 if strongly else 0.94)
    whole = np.bincount(regions[inside])[1:] >= 100
    true = np.bincount(case.truth[inside])[1:] >= 100
    assert abs(whole.sum() - true.sum()) <= max(2, (0.15 if strongly else 0.1) * true.sum())


@pytest.mark.slow
def test_no_packing_is_recovered_worse_than_by_snow():
    porespy = pytest.importorskip("porespy", reason="porespy, the peer, is in the extra 'bench'")
    porespy.settings.tqdm["disable"] = True
    ours, snow = [], []
    for case in packings.cases():
        inside = case.truth > 0
        theirs = porespy.filters.snow_partitioning(case.phases == 1).regions
        regions = particles.separate(case.phases, labels=[1])
        snow.append(adjusted_rand_score(case.truth[inside], theirs[inside]))
        ours.append(adjusted_rand_score(case.truth[inside], regions[inside]))
        assert ours[-1] >= snow[-1] - 0.002, case.name
    assert np.mean(ours) > np.mean(snow)


@pytest.mark.parametrize("turn", ["rotate zy", "rotate zx", "mirror z", "mirror y", "mirror x", "transpose"])
def test_rotation_and_mirroring(large_backend, turn):
    phases = packings.ellipsoids((96, 96, 96), number=64, noise=0.8).phases

    def moved(volume):
        kind, _, axis = turn.partition(" ")
        if kind == "rotate":
            return np.rot90(volume, axes=(0, 1 if axis == "zy" else 2))
        return np.flip(volume, "zyx".index(axis)) if kind == "mirror" else volume.T

    regions = separate(large_backend, phases)
    again = separate(large_backend, np.ascontiguousarray(moved(phases)))
    assert adjusted_rand_score(moved(regions).ravel(), again.ravel()) >= 0.98
    assert abs(int(again.max()) - int(regions.max())) <= max(1, 0.005 * regions.max())


@pytest.mark.slow
def test_rotation_of_a_real_cathode(large_backend, nmc_cathode):
    regions = separate(large_backend, nmc_cathode, labels=[0, 1])
    turned = np.ascontiguousarray(np.rot90(nmc_cathode))
    again = np.rot90(separate(large_backend, turned, labels=[0, 1]), -1)
    inside = regions > 0
    assert adjusted_rand_score(regions[inside], again[inside]) >= 0.98
    assert abs(int(again.max()) / int(regions.max()) - 1) <= 0.005


def test_components_are_those_of_cc3d(backend):
    phases = composite(scale=1.0)
    regions = separate(backend, phases, components=[0, 128, 255])
    np.testing.assert_array_equal(
        regions, in_raster_order(cc3d.connected_components(phases.astype(np.int32) + 1, connectivity=6))
    )
    mixed = separate(backend, phases, labels=[128], components=[255])
    np.testing.assert_array_equal(mixed > 0, phases != 0)
    expected = in_raster_order(cc3d.connected_components(phases == 255, connectivity=6))
    np.testing.assert_array_equal(in_raster_order(np.where(phases == 255, mixed, 0)), expected)


def test_one_phase_is_one_region(backend):
    for shape in ((1, 1, 1), (1, 1, 9), (4, 1, 5), (6, 7, 8), (9, 17, 40)):
        for label in (0, 255):
            assert (separate(backend, np.full(shape, label, np.uint8)) == 1).all()


def test_absent_labels_have_no_regions(backend):
    phases = composite(TINY)
    assert separate(backend, phases, labels=[7]).max() == 0
    assert separate(backend, phases, labels=[]).max() == 0
    np.testing.assert_array_equal(
        separate(backend, phases, labels=[7, 128]), separate(backend, phases, labels=[128])
    )


def test_views_are_read_as_they_are(backend):
    phases = composite(TINY)
    moved = backend.put(phases)
    for view in (phases.transpose(2, 1, 0), phases[3:-1, 1:-5, 2:-3]):
        there = moved.transpose(2, 1, 0) if view.shape == phases.shape[::-1] else moved[3:-1, 1:-5, 2:-3]
        found = backend.get(particles.separate(there))
        np.testing.assert_array_equal(found, separate(backend, np.ascontiguousarray(view)))
    np.testing.assert_array_equal(backend.get(moved), phases)


@pytest.mark.parametrize("ratio", [0, -0.1, 1.01, np.nan, True])
def test_bad_neck_ratio(backend, ratio):
    with pytest.raises(InputError, match="neck_ratio"):
        separate(backend, composite((4, 4, 4)), neck_ratio=ratio)


@pytest.mark.parametrize("labels", [[-1], [256], ["a"], [0.5], [np.nan]])
def test_bad_labels(backend, labels):
    with pytest.raises(InputError, match="labels"):
        separate(backend, composite((4, 4, 4)), labels=labels)
    with pytest.raises(InputError, match="components"):
        separate(backend, composite((4, 4, 4)), components=labels)


def test_bad_spacing_phases_and_distance():
    phases = composite((4, 5, 6))
    with pytest.raises(InputError, match="spacing"):
        particles.separate(phases, (1, 0, 1))
    with pytest.raises(InputError, match="uint8"):
        particles.separate(phases.astype(float))
    with pytest.raises(InputError, match="distance"):
        particles.separate(phases, distance=np.zeros((4, 5, 5), np.float32))
    with pytest.raises(InputError, match="distance"):
        particles.separate(phases, distance=np.zeros((4, 5, 6)))
    with pytest.raises(InputError, match="regions"):
        particles.describe(phases, phases, 1, np.zeros(phases.shape, np.float32))


def test_signature_is_the_documented_one():
    names = list(inspect.signature(particles.separate).parameters)
    assert names == ["phases", "spacing", "labels", "neck_ratio", "components", "distance"]
    assert inspect.signature(particles.separate).parameters["neck_ratio"].default == 0.9


def described(backend, regions, phases, spacing, to_wall, **options):
    """Return the table that a backend makes, on the host."""
    regions, phases, to_wall = (backend.put(volume) for volume in (regions, phases, to_wall))
    return backend.get(particles.describe(regions, phases, spacing, to_wall, **options))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_descriptors_are_those_of_scikit_image(backend, spacing):
    phases = composite((30, 32, 34))
    to_wall = distance.transform(phases, spacing)
    regions = particles.separate(phases, spacing, distance=to_wall)
    table = described(backend, regions, phases, spacing, to_wall)
    names = (
        "label",
        "area",
        "num_pixels",
        "centroid",
        "bbox",
        "equivalent_diameter_area",
        "axis_major_length",
    )
    oracle = regionprops_table(regions, spacing=spacing, properties=(*names, "axis_minor_length"))
    assert table["node"].tolist() == oracle["label"].tolist()
    np.testing.assert_array_equal(table["voxels"], oracle["num_pixels"])
    np.testing.assert_allclose(table["volume"], oracle["area"])
    np.testing.assert_allclose(table["equivalent_diameter"], oracle["equivalent_diameter_area"])
    for i, axis in enumerate("zyx"):
        np.testing.assert_allclose(table[f"centroid_{axis}"], oracle[f"centroid-{i}"] + spacing[i] / 2)
        np.testing.assert_array_equal(table[f"bbox_{axis}_min"], oracle[f"bbox-{i}"])
        np.testing.assert_array_equal(table[f"bbox_{axis}_max"], oracle[f"bbox-{i + 3}"])
    np.testing.assert_allclose(table["axis_major_length"], oracle["axis_major_length"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(table["axis_minor_length"], oracle["axis_minor_length"], rtol=1e-6, atol=1e-5)
    assert (table["axis_middle_length"] <= table["axis_major_length"] * (1 + 1e-12)).all()
    assert (table["axis_middle_length"] >= table["axis_minor_length"] * (1 - 1e-12)).all()
    numbers = np.arange(1, len(table) + 1)
    np.testing.assert_array_equal(table["inscribed_radius"], ndimage.maximum(to_wall, regions, numbers))
    np.testing.assert_array_equal(table["label"], ndimage.maximum(phases, regions, numbers))


def test_faces_touched_and_fragments(backend):
    phases = composite((20, 22, 24), scale=1.0)
    to_wall = distance.transform(phases)
    regions = particles.separate(phases, distance=to_wall)
    names = {0: "pore", 128: "solid"}
    table = described(backend, regions, phases, 1, to_wall, min_voxels=30, names=names)
    touched = np.zeros(len(table) + 1, bool)
    for i, axis in enumerate("zyx"):
        for side, end in ((0, "min"), (-1, "max")):
            at_face = np.isin(table["node"], np.take(regions, side, axis=i))
            np.testing.assert_array_equal(table[f"touches_{axis}_{end}"], at_face)
            touched[1:] |= at_face
    np.testing.assert_array_equal(table["touches_border"], touched[1:])
    np.testing.assert_array_equal(table["cut_area"] > 0, touched[1:])
    assert table["cut_area"].sum() == 2 * (20 * 22 + 22 * 24 + 24 * 20)
    np.testing.assert_array_equal(table["fragment"], np.bincount(regions.ravel())[1:] < 30)
    assert table["fragment"].any()
    assert set(table.loc[table["label"] == 0, "phase"]) == {"pore"}
    assert set(table.loc[table["label"] == 255, "phase"]) == {"255"}


def test_axes_of_an_ellipsoid_are_its_own(backend):
    spacing = (0.5, 0.25, 0.25)
    z, y, x = (np.ogrid[:60, :80, :120][i] * spacing[i] for i in range(3))
    phases = (((z - 15) / 6) ** 2 + ((y - 10) / 4) ** 2 + ((x - 15) / 12) ** 2 <= 1).astype(np.uint8)
    to_wall = distance.transform(phases, spacing)
    one = described(backend, phases.astype(np.int32), phases, spacing, to_wall).iloc[0]
    lengths = one[["axis_major_length", "axis_middle_length", "axis_minor_length"]].astype(float)
    np.testing.assert_allclose(lengths, [24, 12, 8], rtol=0.01)
    assert one["aspect_ratio"] == pytest.approx(3, rel=0.01)
    assert one["inscribed_radius"] == pytest.approx(4, abs=0.25)


def test_flat_regions_have_no_aspect_ratio_and_empty_numbers_no_voxels(backend):
    phases = np.ones((3, 4, 5), np.uint8)
    regions = np.zeros((3, 4, 5), np.int32)
    regions[1, :, 2:4] = 1
    regions[2, 0, 0] = 3
    ones = np.ones(regions.shape, np.float32)
    table = described(backend, regions, phases, 1, ones).set_index("node")
    assert table.loc[1, "axis_minor_length"] == 0
    assert table["aspect_ratio"].isna().all()
    assert table["voxels"].tolist() == [8, 0, 1]
    nothing = described(backend, regions * 0, phases, 1, ones)
    assert len(nothing) == 0
    assert list(nothing.columns) == list(table.reset_index().columns)


def test_far_from_the_corner_nothing_cancels(backend):
    """A small region at the end of a long volume has the axes it has at its beginning."""
    phases = np.zeros((3, 3, 60_000), np.uint8)
    regions = phases.astype(np.int32)
    regions[1:, 1:, 1:4] = 1
    regions[1:, 1:, -4:-1] = 2
    table = described(backend, regions, phases, 1, np.ones(regions.shape, np.float32))
    columns = ["axis_major_length", "axis_middle_length", "axis_minor_length"]
    np.testing.assert_array_equal(table.loc[0, columns], table.loc[1, columns])


def test_descriptors_do_not_depend_on_threads():
    phases = composite()
    to_wall = distance.transform(phases)
    regions = particles.separate(phases, distance=to_wall)
    expected = particles.describe(regions, phases, 0.3, to_wall)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        found = particles.describe(regions, phases, 0.3, to_wall)
    finally:
        numba.set_num_threads(threads)
    assert expected.equals(found)


# Around the tiles of the GPU's kernel, 32 x 16 x 32 voxels.
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 1, 33), (3, 5, 7), (33, 2, 3), (2, 17, 64), (32, 16, 32), (34, 3, 65)]
)
def test_both_sides_sum_up_the_same(backend, shape):
    rng = np.random.default_rng(sum(shape))
    to_wall = rng.uniform(0.5, 3, shape).astype(np.float32)
    origin, whole = (70_000, 0, 80_000), (70_000 + shape[0], 9_999, 80_000 + shape[2])
    for most, runs in ((0, 1), (2, 5), (50, 3), (5000, 1)):
        regions = rng.integers(0, most + 1, shape).astype(np.int32).repeat(runs, axis=2)[:, :, : shape[2]]
        regions += 10 * (regions > 0)
        phases = (regions % 3).astype(np.uint8)
        there = [backend.put(volume) for volume in (regions, phases, to_wall)]
        found = particles.measure(*there, origin=origin, shape=whole)
        expected = particles.measure(regions, phases, to_wall, origin=origin, shape=whole)
        for name in ("region", "label", "sums", "box", "inscribed", "faces"):
            column, oracle = backend.get(getattr(found, name)), getattr(expected, name)
            np.testing.assert_array_equal(column, oracle, err_msg=name)
            assert column.dtype == oracle.dtype


def test_views_are_measured_as_they_are(backend):
    phases = composite(TINY)
    to_wall = np.random.default_rng(0).uniform(0.5, 3, phases.shape).astype(np.float32)
    volumes = particles.separate(phases), phases, to_wall
    for view in (lambda a: a.transpose(2, 0, 1), lambda a: a[3:, 1:-2, 5:19], lambda a: a[::-1, ::2, ::-3]):
        found = particles.describe(
            *(view(backend.put(volume)) for volume in volumes[:2]), 0.3, view(backend.put(to_wall))
        )
        expected = described(
            backend, *map(np.ascontiguousarray, map(view, volumes[:2])), 0.3, view(to_wall).copy()
        )
        assert backend.get(found).equals(expected)


def test_tables_of_both_sides_agree(backend):
    """Axes come from eigenvalues, which each side finds in its own way; all else is the same arithmetic."""
    phases = composite(TINY)
    to_wall = distance.transform(phases, (1.0, 2.0, 0.7))
    regions = particles.separate(phases, (1.0, 2.0, 0.7))
    names = {0: "pore", 128: "solid"}
    found = described(backend, regions, phases, (1.0, 2.0, 0.7), to_wall, names=names)
    expected = particles.describe(regions, phases, (1.0, 2.0, 0.7), to_wall, names=names)
    assert list(found.columns) == list(expected.columns)
    for name, column in expected.items():
        if column.dtype == np.float64:
            tolerance = {"rtol": 1e-9, "atol": 1e-12 * column.max()}
            np.testing.assert_allclose(found[name], column, **tolerance, err_msg=name)
        else:
            assert found[name].tolist() == column.tolist()


def test_eigenvalues_are_those_of_lapack(backend):
    if backend.name == "cpu":
        pytest.skip("they are LAPACK's")
    rng = np.random.default_rng(0)
    turns = np.linalg.qr(rng.normal(size=(200, 3, 3)))[0]
    for values in ((1, 1, 1), (0, 1, 1), (1, 1, 4), (0, 0, 1), (1e-6, 1, 1e4), (3, 3 + 1e-9, 5), (0, 0, 0)):
        matrices = turns @ (np.array(values)[:, None] * turns.transpose(0, 2, 1))
        matrices = (matrices + matrices.transpose(0, 2, 1)) / 2
        found = backend.get(_cuda.particles.moments.eigvalsh(backend.put(matrices)))
        np.testing.assert_allclose(
            found, np.linalg.eigvalsh(matrices), rtol=0, atol=1e-14 * max(*values, 1e-300)
        )


def test_no_order_of_threads_changes_a_descriptor(backend):
    phases = composite(TINY)
    to_wall = distance.transform(phases)
    regions = particles.separate(phases, components=[0])
    expected = described(backend, regions, phases, 0.3, to_wall)
    for again in range(2):
        order = nullcontext()
        if again and backend.emulated:
            import cupy

            order = cupy.emulator_order("reverse")
        with order:
            assert described(backend, regions, phases, 0.3, to_wall).equals(expected)


@pytest.mark.slow
def test_descriptors_of_a_large_volume_agree(large_backend):
    if large_backend.name == "cpu":
        pytest.skip("what the other side is compared with")
    phases = composite((150, 260, 300), scale=5.0)
    to_wall = distance.transform(phases)
    regions = particles.separate(phases, components=[128])  # of which one is a third of the volume
    found = described(large_backend, regions, phases, 1, to_wall)
    pd.testing.assert_frame_equal(found, particles.describe(regions, phases, 1, to_wall), rtol=1e-9)


def sums_of(volumes, box):
    block = [volume[tuple(slice(*pair) for pair in box)] for volume in volumes]
    return particles.measure(*block, origin=[begin for begin, _ in box], shape=volumes[0].shape)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), phases=phase_volumes(LABELS, largest=9), gaps=st.booleans())
def test_descriptors_of_blocks_add_up_to_those_of_the_whole(backend, data, phases, gaps):
    rng = np.random.default_rng(0)
    to_wall = rng.uniform(1, 2, phases.shape).astype(np.float32)
    regions = particles.separate(phases)
    if gaps:  # numbers without voxels, some of them the first
        regions = np.where(rng.random(phases.shape) < 0.2, regions * 3, 0).astype(np.int32)
    names = {0: "pore", 128: "solid"}
    expected = described(backend, regions, phases, 0.3, to_wall, names=names)
    boxes = data.draw(partitions(phases.shape, most=10))
    volumes = [backend.put(volume) for volume in (regions, phases, to_wall)]
    parts = [sums_of(volumes, box) for box in boxes]
    cut = data.draw(st.integers(1, len(parts)))
    left, right = parts[:cut], parts[cut:]
    whole = reduce(add, left)
    if right:
        whole = reduce(add, right) + whole
    assert whole.boxes == (tuple((0, n) for n in phases.shape),)
    found = backend.get(whole.table(0.3, names=names))
    assert expected.equals(found)
    assert expected.dtypes.equals(found.dtypes)


def test_sums_that_cannot_be_added_or_tabled_are_explained(backend):
    phases = composite((6, 7, 8))
    here = particles.separate(phases), phases, distance.transform(phases)
    volumes = [backend.put(volume) for volume in here]
    low, high = (((a, b), (0, 7), (0, 8)) for a, b in ((0, 4), (4, 6)))
    part = sums_of(volumes, low)
    with pytest.raises(InputError, match="224 of the 336 voxels"):
        part.table(1)
    with pytest.raises(InputError, match="overlap"):
        part + sums_of(volumes, ((3, 6), (0, 7), (0, 8)))
    with pytest.raises(InputError, match="shapes"):
        part + particles.measure(*volumes, shape=(6, 7, 9))
    with pytest.raises(InputError, match="not inside"):
        particles.measure(*volumes, origin=(1, 0, 0), shape=phases.shape)
    if backend.name == "cuda":
        with pytest.raises(InputError, match="host and on the GPU"):
            part + sums_of(here, high)
    assert len((part + sums_of(volumes, high)).table(1)) == here[0].max()


def test_sphericity(backend):
    assert particles.sphericity(1.0, 6.0) == pytest.approx((np.pi / 6) ** (1 / 3))
    np.testing.assert_allclose(particles.sphericity([4 / 3 * np.pi, 1.0], [4 * np.pi, 0.0]), [1, np.nan])
    found = particles.sphericity(
        backend.put(np.array([4 / 3 * np.pi, 1.0])), backend.put(np.array([4 * np.pi, 0.0]))
    )
    np.testing.assert_allclose(backend.get(found), [1, np.nan])
