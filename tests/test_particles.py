"""Separation against its written rule, known packings and SNOW; descriptors against scikit-image."""

import inspect
from functools import reduce
from itertools import product
from operator import add

import cc3d
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import regionprops_table
from sklearn.metrics import adjusted_rand_score

import packings
from strategies import partitions, phase_volumes
from tripoint import distance, particles
from tripoint.errors import InputError

SPACINGS = ((1.0, 1.0, 1.0), (0.398, 0.398, 0.398), (1.0, 2.0, 0.7))
OFFSETS = [offset for offset in product((-1, 0, 1), repeat=3) if offset != (0, 0, 0)]
SMALL = (72, 72, 72)
LABELS = (0, 128, 255)


def composite(shape=(40, 44, 48), seed=0, scale=2.0, labels=(0, 128, 255)):
    """Three interpenetrating phases."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), scale)
    return np.array(labels, np.uint8)[np.digitize(noise, np.quantile(noise, [0.4, 0.7]))]


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
    phase_volumes(labels=(0, 1, 255), largest=7), st.sampled_from(SPACINGS), st.sampled_from((0.5, 0.9, 1.0))
)
def test_equals_the_written_rule(phases, spacing, neck_ratio):
    found = particles.separate(phases, spacing, neck_ratio=neck_ratio)
    np.testing.assert_array_equal(found, written_rule(phases, spacing, neck_ratio))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("neck_ratio", [0.6, 0.9])
def test_equals_the_written_rule_where_particles_are_thick(spacing, neck_ratio):
    phases = composite((14, 18, 16), scale=2.5)
    found = particles.separate(phases, spacing, neck_ratio=neck_ratio)
    np.testing.assert_array_equal(found, written_rule(phases, spacing, neck_ratio))
    assert found.max() > 3


@settings(max_examples=40, deadline=None)
@given(phase_volumes(labels=(0, 3, 4, 200), largest=6), st.sampled_from(SPACINGS))
def test_regions_are_connected_of_one_phase_and_in_raster_order(phases, spacing):
    regions = particles.separate(phases, spacing)
    assert regions.dtype == np.int32
    assert regions.min() > 0
    pieces = cc3d.connected_components(regions, connectivity=6)
    assert pieces.max() == regions.max()
    labels = np.unique(np.stack([regions.ravel(), phases.ravel()]), axis=1)
    assert labels.shape[1] == regions.max()
    np.testing.assert_array_equal(in_raster_order(regions), regions)


@settings(max_examples=30, deadline=None)
@given(phase_volumes(labels=(0, 1, 2), largest=8), st.permutations([0, 17, 255]))
def test_renaming_the_phases_changes_nothing(phases, names):
    renamed = np.array(names, np.uint8)[phases]
    np.testing.assert_array_equal(particles.separate(phases), particles.separate(renamed))


def test_phases_are_separated_as_if_alone_and_together():
    phases = composite()
    together = particles.separate(phases)
    for label in (0, 128, 255):
        alone = particles.separate(phases, labels=[label])
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


def test_distance_at_hand_gives_the_same():
    phases = composite()
    for spacing in SPACINGS:
        given_distance = distance.transform(phases, spacing)
        np.testing.assert_array_equal(
            particles.separate(phases, spacing, distance=given_distance), particles.separate(phases, spacing)
        )


@pytest.mark.parametrize("size", [0.001, 0.398, 1 / 3, 64.0])
def test_isotropic_voxel_size_does_not_matter(size):
    phases = composite()
    np.testing.assert_array_equal(particles.separate(phases, size), particles.separate(phases))


def test_anisotropic_spacing_sees_the_true_shape():
    """Spheres that look squashed in voxels are cut as those sampled evenly."""
    packing = packings.spheres(SMALL, number=36)
    thin, truth = packing.phases[::2], packing.truth[::2]
    regions = particles.separate(thin, (2, 1, 1), labels=[1])
    inside = truth > 0
    assert adjusted_rand_score(truth[inside], regions[inside]) > 0.96


@pytest.mark.parametrize("size", [2, 3, 7, 8])
def test_plateaus_have_no_cycles_and_stay_whole(size):
    plate = np.zeros((20, 20, 12), np.uint8)
    plate[2:18, 2:18, 2 : 2 + size] = 1
    assert particles.separate(plate, labels=[1]).max() == 1


def test_two_spheres_are_cut_where_their_neck_is_narrow_enough():
    z, y, x = np.ogrid[:41, :41, :70]

    def pair(apart):
        balls = [
            (z - 20) ** 2 + (y - 20) ** 2 + (x - c) ** 2 <= 14.5**2 for c in (35 - apart / 2, 35 + apart / 2)
        ]
        return (balls[0] | balls[1]).astype(np.uint8)

    narrow, wide = pair(24), pair(8)  # necks of 0.56 and 0.96 radii
    cut = particles.separate(narrow, labels=[1])
    assert cut.max() == 2
    np.testing.assert_array_equal(cut[:, :, :35] == 1, narrow[:, :, :35] == 1)
    assert particles.separate(narrow, labels=[1], neck_ratio=0.5).max() == 1
    assert particles.separate(wide, labels=[1]).max() == 1


@pytest.mark.parametrize("case", packings.cases(SMALL), ids=lambda case: case.name)
def test_packings_are_recovered(case):
    regions = particles.separate(case.phases, labels=[1])
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
def test_rotation_and_mirroring(turn):
    phases = packings.ellipsoids((96, 96, 96), number=64, noise=0.8).phases

    def moved(volume):
        kind, _, axis = turn.partition(" ")
        if kind == "rotate":
            return np.rot90(volume, axes=(0, 1 if axis == "zy" else 2))
        return np.flip(volume, "zyx".index(axis)) if kind == "mirror" else volume.T

    regions = particles.separate(phases)
    again = particles.separate(np.ascontiguousarray(moved(phases)))
    assert adjusted_rand_score(moved(regions).ravel(), again.ravel()) >= 0.98
    assert abs(int(again.max()) - int(regions.max())) <= max(1, 0.005 * regions.max())


@pytest.mark.slow
def test_rotation_of_a_real_cathode(nmc_cathode):
    regions = particles.separate(nmc_cathode, labels=[0, 1])
    again = np.rot90(particles.separate(np.ascontiguousarray(np.rot90(nmc_cathode)), labels=[0, 1]), -1)
    inside = regions > 0
    assert adjusted_rand_score(regions[inside], again[inside]) >= 0.98
    assert abs(int(again.max()) / int(regions.max()) - 1) <= 0.005


def test_components_are_those_of_cc3d():
    phases = composite(scale=1.0)
    regions = particles.separate(phases, components=[0, 128, 255])
    np.testing.assert_array_equal(
        regions, in_raster_order(cc3d.connected_components(phases.astype(np.int32) + 1, connectivity=6))
    )
    mixed = particles.separate(phases, labels=[128], components=[255])
    np.testing.assert_array_equal(mixed > 0, phases != 0)
    expected = in_raster_order(cc3d.connected_components(phases == 255, connectivity=6))
    np.testing.assert_array_equal(in_raster_order(np.where(phases == 255, mixed, 0)), expected)


def test_one_phase_is_one_region():
    for shape in ((1, 1, 1), (1, 1, 9), (4, 1, 5), (6, 7, 8)):
        for label in (0, 255):
            assert (particles.separate(np.full(shape, label, np.uint8)) == 1).all()


def test_absent_labels_have_no_regions():
    phases = composite()
    assert particles.separate(phases, labels=[7]).max() == 0
    assert particles.separate(phases, labels=[]).max() == 0
    np.testing.assert_array_equal(
        particles.separate(phases, labels=[7, 128]), particles.separate(phases, labels=[128])
    )


def test_a_transposed_view_is_read_as_it_is():
    phases = composite()
    view = phases.transpose(2, 1, 0)
    np.testing.assert_array_equal(particles.separate(view), particles.separate(np.ascontiguousarray(view)))


@pytest.mark.parametrize("ratio", [0, -0.1, 1.01, np.nan, True])
def test_bad_neck_ratio(ratio):
    with pytest.raises(InputError, match="neck_ratio"):
        particles.separate(composite((4, 4, 4)), neck_ratio=ratio)


@pytest.mark.parametrize("labels", [[-1], [256], ["a"], [0.5], [np.nan]])
def test_bad_labels(labels):
    with pytest.raises(InputError, match="labels"):
        particles.separate(composite((4, 4, 4)), labels=labels)
    with pytest.raises(InputError, match="components"):
        particles.separate(composite((4, 4, 4)), components=labels)


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


@pytest.mark.parametrize("spacing", SPACINGS)
def test_descriptors_are_those_of_scikit_image(spacing):
    phases = composite((30, 32, 34))
    to_wall = distance.transform(phases, spacing)
    regions = particles.separate(phases, spacing, distance=to_wall)
    table = particles.describe(regions, phases, spacing, to_wall)
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


def test_faces_touched_and_fragments():
    phases = composite((20, 22, 24), scale=1.0)
    to_wall = distance.transform(phases)
    regions = particles.separate(phases, distance=to_wall)
    table = particles.describe(regions, phases, 1, to_wall, min_voxels=30, names={0: "pore", 128: "solid"})
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


def test_axes_of_an_ellipsoid_are_its_own():
    spacing = (0.5, 0.25, 0.25)
    z, y, x = (np.ogrid[:60, :80, :120][i] * spacing[i] for i in range(3))
    phases = (((z - 15) / 6) ** 2 + ((y - 10) / 4) ** 2 + ((x - 15) / 12) ** 2 <= 1).astype(np.uint8)
    to_wall = distance.transform(phases, spacing)
    one = particles.describe(phases.astype(np.int32), phases, spacing, to_wall).iloc[0]
    lengths = one[["axis_major_length", "axis_middle_length", "axis_minor_length"]].astype(float)
    np.testing.assert_allclose(lengths, [24, 12, 8], rtol=0.01)
    assert one["aspect_ratio"] == pytest.approx(3, rel=0.01)
    assert one["inscribed_radius"] == pytest.approx(4, abs=0.25)


def test_flat_regions_have_no_aspect_ratio_and_empty_numbers_no_voxels():
    phases = np.ones((3, 4, 5), np.uint8)
    regions = np.zeros((3, 4, 5), np.int32)
    regions[1, :, 2:4] = 1
    regions[2, 0, 0] = 3
    table = particles.describe(regions, phases, 1, np.ones(regions.shape, np.float32)).set_index("node")
    assert table.loc[1, "axis_minor_length"] == 0
    assert table["aspect_ratio"].isna().all()
    assert table["voxels"].tolist() == [8, 0, 1]
    nothing = particles.describe(regions * 0, phases, 1, np.ones(regions.shape, np.float32))
    assert len(nothing) == 0
    assert list(nothing.columns) == list(table.reset_index().columns)


def test_far_from_the_corner_nothing_cancels():
    """A small region at the end of a long volume has the axes it has at its beginning."""
    phases = np.zeros((3, 3, 60_000), np.uint8)
    regions = phases.astype(np.int32)
    regions[1:, 1:, 1:4] = 1
    regions[1:, 1:, -4:-1] = 2
    table = particles.describe(regions, phases, 1, np.ones(regions.shape, np.float32))
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


def sums_of(volumes, box):
    block = [volume[tuple(slice(*pair) for pair in box)] for volume in volumes]
    return particles.measure(*block, origin=[begin for begin, _ in box], shape=volumes[0].shape)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), phases=phase_volumes(LABELS, largest=9), gaps=st.booleans())
def test_descriptors_of_blocks_add_up_to_those_of_the_whole(data, phases, gaps):
    rng = np.random.default_rng(0)
    to_wall = rng.uniform(1, 2, phases.shape).astype(np.float32)
    regions = particles.separate(phases)
    if gaps:  # numbers without voxels, some of them the first
        regions = np.where(rng.random(phases.shape) < 0.2, regions * 3, 0).astype(np.int32)
    names = {0: "pore", 128: "solid"}
    expected = particles.describe(regions, phases, 0.3, to_wall, names=names)
    boxes = data.draw(partitions(phases.shape, most=10))
    parts = [sums_of((regions, phases, to_wall), box) for box in boxes]
    cut = data.draw(st.integers(1, len(parts)))
    left, right = parts[:cut], parts[cut:]
    whole = reduce(add, left)
    if right:
        whole = reduce(add, right) + whole
    assert whole.boxes == (tuple((0, n) for n in phases.shape),)
    assert expected.equals(whole.table(0.3, names=names))
    assert expected.dtypes.equals(whole.table(0.3, names=names).dtypes)


def test_sums_that_cannot_be_added_or_tabled_are_explained():
    phases = composite((6, 7, 8))
    volumes = particles.separate(phases), phases, distance.transform(phases)
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
    assert len((part + sums_of(volumes, high)).table(1)) == volumes[0].max()


def test_sphericity():
    assert particles.sphericity(1.0, 6.0) == pytest.approx((np.pi / 6) ** (1 / 3))
    np.testing.assert_allclose(particles.sphericity([4 / 3 * np.pi, 1.0], [4 * np.pi, 0.0]), [1, np.nan])
