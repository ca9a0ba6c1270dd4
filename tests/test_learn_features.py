"""What models are given: features, their surroundings, scaling, splits."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning import graph_of, mirrored, renumbered, turned
from tripoint.errors import InputError
from tripoint.learn import features
from tripoint.learn.scaling import REACH, Scaling
from tripoint.learn.splitting import Split
from tripoint.learn.surroundings import PhaseDensity


def test_sets_contain_one_another_and_are_named():
    graph = graph_of()
    found = [features.region_features(graph, which) for which in features.SETS]
    for smaller, larger in pairwise(found):
        count = len(smaller.names)
        assert larger.names[:count] == smaller.names
        np.testing.assert_array_equal(larger.values[:, :count], smaller.values)
        assert len(larger.names) > count
    assert len(set(found[-1].names)) == found[-1].values.shape[1]
    assert len(found[-1].values) == len(graph.nodes)


def test_features_are_those_of_the_tables():
    graph = graph_of()
    found = features.region_features(graph)
    column = dict(zip(found.names, found.values.T, strict=True))
    nodes = graph.nodes
    np.testing.assert_allclose(10 ** column["log_volume"], nodes["volume"])
    np.testing.assert_allclose(column["specific_area_carbon"] * nodes["volume"], nodes["area_carbon"])
    np.testing.assert_array_equal(column["depth_ion"], nodes["depth_ion"])
    np.testing.assert_array_equal(column["touches_electron_terminal"], nodes["touches_z_max"])
    np.testing.assert_array_equal(np.isnan(column["log_path_resistance_ion"]), ~nodes["reaches_ion"])
    windows = sum(column[f"window_fraction_{phase}"] for phase in ("void", "active", "electrolyte", "carbon"))
    np.testing.assert_allclose(windows, 1)


@pytest.mark.parametrize("change", [lambda g: mirrored(g, "y"), lambda g: mirrored(g, "x"), turned])
def test_features_do_not_change_when_the_volume_is_mirrored_or_turned(change):
    graph = graph_of()
    before, after = features.region_features(graph), features.region_features(change(graph))
    assert before.names == after.names
    np.testing.assert_allclose(after.values, before.values, rtol=1e-9, atol=1e-9)


def test_features_do_not_change_with_the_numbers_of_regions():
    graph = graph_of()
    other, numbers = renumbered(graph)
    rows = pd.Index(other.nodes["node"]).get_indexer(graph.nodes["node"].map(numbers))
    before, after = features.region_features(graph), features.region_features(other)
    np.testing.assert_allclose(after.values[rows], before.values, rtol=1e-9, atol=1e-9)


def test_targets_are_particles_with_a_value():
    graph = graph_of()
    nodes = graph.nodes.copy()
    active = np.flatnonzero((nodes["phase"] == "active") & ~nodes["fragment"])
    nodes.loc[active[0], "activity"] = np.nan
    found = features.targets(replace(graph, nodes=nodes))
    np.testing.assert_array_equal(found.rows, active[1:])
    np.testing.assert_array_equal(found.activity, nodes["activity"].to_numpy()[active[1:]])
    np.testing.assert_array_equal(found.inactive, nodes["inactive_because"].to_numpy()[active[1:]] != "")
    back = features.linear_activity(found.log_activity)
    np.testing.assert_allclose(back, np.maximum(found.activity, 0), atol=1e-12)


def test_what_is_missing_is_named():
    graph = graph_of()
    with pytest.raises(InputError, match=r"no set of features 'all'; the sets are size, own, surroundings"):
        features.region_features(graph, "all")
    without = replace(graph, nodes=graph.nodes.drop(columns="path_length_ion"))
    with pytest.raises(InputError, match="no column path_length_ion"):
        features.region_features(without)
    features.region_features(without, "own")
    infinite = replace(graph, nodes=graph.nodes.assign(sphericity=np.inf))
    with pytest.raises(InputError, match="feature sphericity of region 1 of sample 'solid_state_cathode_0'"):
        features.region_features(infinite)
    with pytest.raises(InputError, match="no column measured"):
        features.targets(graph, "measured")
    with pytest.raises(InputError, match=r"no particle of .* has a value of activity"):
        features.targets(replace(graph, nodes=graph.nodes.assign(activity=np.nan)))
    with pytest.raises(InputError, match="no particle of active material"):
        features.targets(graph.subgraph("electrolyte", "carbon"))
    with pytest.raises(InputError, match="lack materials"):
        features.region_features(replace(graph, metadata={}))


def boxes(random, count, shape):
    corners = np.sort(random.integers(0, [n + 1 for n in shape], (2, count, 3)), axis=0)
    return corners[0], np.maximum(corners[1], corners[0] + 1).clip(max=shape)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.4, 1.0, 7.0, 100.0]))
def test_density_is_that_of_the_boxes(seed, cell):
    """Against regions painted onto voxels one by one; boxes end within cells, so they are cells' means."""
    random = np.random.default_rng(seed)
    shape, spacing = (12, 10, 14), np.array((0.5, 1.0, 0.4))
    low, high = boxes(random, 9, shape)
    keep = (low < high).all(axis=1)
    low, high = low[keep], high[keep]
    nodes = pd.DataFrame({"phase": random.choice(["a", "b"], len(low)), "volume": random.random(len(low))})
    painted = {phase: np.zeros(shape) for phase in "ab"}
    for axis, name in enumerate("zyx"):
        nodes[f"bbox_{name}_min"], nodes[f"bbox_{name}_max"] = low[:, axis], high[:, axis]
    for row, (a, b) in enumerate(zip(low, high, strict=True)):
        box = tuple(slice(i, j) for i, j in zip(a, b, strict=True))
        painted[nodes["phase"][row]][box] += nodes["volume"][row] / (b - a).prod()
    density = PhaseDensity(nodes, "ab", shape, spacing, cell)
    whole = np.array([painted[phase].sum() for phase in "ab"])
    everything = density.fractions(np.full((1, 3), -1.0), np.full((1, 3), 1e3))[0]
    np.testing.assert_allclose(everything, whole / whole.sum())
    # boxes of whole cells
    edge = density.extent / density.cells
    first, last = boxes(random, 5, density.cells)
    found = density.fractions(first * edge, last * edge)
    fine = [np.pad(painted[p], 1).cumsum(0).cumsum(1).cumsum(2)[:-1, :-1, :-1] for p in "ab"]
    for row in range(5):
        corners = [
            np.array([first[row], last[row]])[:, axis] * edge[axis] / spacing[axis] for axis in range(3)
        ]
        volume = np.array([_between(sums, corners) for sums in fine])
        if volume.sum() > 1e-9:
            np.testing.assert_allclose(found[row], volume / volume.sum(), atol=1e-6)


def overlaps(low, high, cells):
    """How much of each cell of an axis lies in each box."""
    cell = np.arange(cells)
    return (np.minimum(cell + 1, high[:, None]) - np.maximum(cell, low[:, None])).clip(min=0)


def test_density_is_that_of_overlaps_of_boxes_with_cells():
    graph = graph_of()
    nodes, shape, spacing = graph.nodes, graph.metadata["shape"], graph.metadata["spacing"]
    density = PhaseDensity(nodes, ["active", "void"], shape, spacing, 1.7)
    edge = density.extent / density.cells
    axes = range(3)
    low, high = (
        [nodes[f"bbox_{axis}_{end}"].to_numpy() * spacing[at] / edge[at] for at, axis in enumerate("zyx")]
        for end in ("min", "max")
    )
    each = nodes["volume"].to_numpy() / np.prod([high[at] - low[at] for at in axes], axis=0)
    parts = [overlaps(low[at], high[at], density.cells[at]) for at in axes]
    cells = [
        np.einsum("r,rz,ry,rx->zyx", each * (nodes["phase"] == phase).to_numpy(), *parts)
        for phase in ("active", "void")
    ]
    random = np.random.default_rng(0)
    corners = np.sort(random.uniform(-2, 14, (2, 40, 3)), axis=0)
    found = density.fractions(*corners)
    inside = np.clip(corners, 0, density.extent) / edge
    ends = [overlaps(inside[0, :, at], inside[1, :, at], density.cells[at]) for at in axes]
    volumes = np.stack([np.einsum("bz,by,bx,zyx->b", *ends, cell) for cell in cells], axis=1)
    known = volumes.sum(axis=1) > 1e-6
    assert known.sum() > 20
    expected = volumes[known] / volumes[known].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found[known], expected, rtol=0, atol=1e-9)
    nowhere = np.array([[np.nan, 0, 0]])
    assert np.isnan(density.fractions(nowhere, nowhere + 1)).all()


def _between(sums, corners):
    """Sum over a box of a volume of voxels, of which its faces may cut some."""
    from scipy.interpolate import RegularGridInterpolator

    at = RegularGridInterpolator([np.arange(n) for n in sums.shape], sums)
    total = 0.0
    for octant in range(8):
        place = [corners[axis][octant >> axis & 1] for axis in range(3)]
        total += (-1) ** (3 - bin(octant).count("1")) * float(at(place)[0])
    return total


def test_scaling_is_that_of_all_parts_together():
    random = np.random.default_rng(0)
    values = random.normal(5, [1, 1e-3, 1e4, 1], (60, 4))
    values[3:9, 0] = np.nan
    values[:, 3] = 7.0
    names = ("a", "b", "c", "d")
    scaling = Scaling.fit(names, [values[:20], values[20:21], values[21:]])
    np.testing.assert_allclose(scaling.mean, np.nanmean(values, axis=0))
    np.testing.assert_allclose(scaling.scale[:3], np.nanstd(values, axis=0)[:3])
    assert scaling.constant == ("d",)
    scaled = Scaling.from_mapping(scaling.to_mapping())(values)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled[3:9, 0], 0)
    np.testing.assert_array_equal(Scaling.fit(names, [values])(values + np.array([0, 0, 0, 3]))[:, 3], 0)


def test_what_lies_far_out_is_brought_back():
    scaling = Scaling.fit(("a", "b"), [np.array([[0.0, 1.0], [2.0, 3.0]])])
    np.testing.assert_array_equal(scaling(np.array([[1e6, 2.0], [-1e6, np.nan]])), [[REACH, 0], [-REACH, 0]])


def test_scaling_names_what_is_wrong():
    with pytest.raises(InputError, match="feature b is infinite"):
        Scaling.fit(("a", "b"), [np.array([[1.0, np.inf]])])
    with pytest.raises(InputError, match="training split is empty"):
        Scaling.fit(("a",), [])
    assert Scaling.fit(("a", "b"), [np.full((3, 2), np.nan)]).constant == ("a", "b")


def test_split_is_by_sample_and_the_same_for_a_seed():
    names = [f"s{number}" for number in range(20)]
    split = Split.of(names, seed=3)
    sides = split.to_mapping()
    assert {side: len(of) for side, of in sides.items()} == {
        "train": 12, "validation": 2, "test": 4, "calibration": 2,
    }  # fmt: skip
    assert sorted(name for of in sides.values() for name in of) == sorted(names)
    without = Split.of(names, calibration=0, seed=3)
    assert (without.validation, without.test) == (split.validation, split.test)
    assert set(without.train) == {*split.train, *split.calibration}
    assert split == Split.of(reversed(names), seed=3) != Split.of(names, seed=4)
    assert split == Split.from_mapping(split.to_mapping())
    assert Split.of(names, validation=0).validation == ()


def test_split_refuses_what_cannot_be_split():
    with pytest.raises(InputError, match="1 samples for 4 splits"):
        Split.of(["only"])
    with pytest.raises(InputError, match="0 samples"):
        Split.of([])
    with pytest.raises(InputError, match="expected a sum below 1"):
        Split.of("abcdef", validation=0.5, test=0.5)
    with pytest.raises(InputError, match=r"calibration 0.5; expected a sum below 1"):
        Split.of("abcdef", calibration=0.5, test=0.5)
    with pytest.raises(InputError, match="sample 'a' is in more than one split"):
        Split(("a", "b"), ("c",), ("a",))
    with pytest.raises(InputError, match="sample 'c' is in more than one split"):
        Split(("a", "b"), ("c",), ("d",), ("c",))
