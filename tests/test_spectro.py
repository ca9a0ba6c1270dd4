"""Energy stacks to maps, maps onto the structure, maps to particles; one test body for both sides."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.optimize import nnls

from tripoint import chemistry, cli, spectro
from tripoint.errors import InputError
from tripoint.io import ome_zarr, spectra, stack

IRON = ["LiFe(II)PO4", "Pyrite", "StainlessSteelNP", "Hematite_NP"]


NORMALISATION = spectro.Normalisation(7120.0, (7090.0, 7105.0), (7145.0, 7189.0))


def library():
    """Return edges at three energies, with white lines of their own and an edge step of one."""
    energies = np.arange(7090.0, 7190.0, 1.0)

    def edge(at, white):
        rise = 1 / (1 + np.exp(-(energies - at) / 1.5))
        return (
            rise
            + white * np.exp(-(((energies - at - 4) / 4) ** 2))
            + 0.04 * np.sin((energies - at) / 9) * rise
        )

    columns = np.stack([edge(7118, 0.3), edge(7122, 0.5), edge(7115, 0.05)], axis=1)
    columns /= NORMALISATION.operators(energies).step @ columns
    return spectro.References(("discharged", "charged", "metal"), energies, columns)


def mixed(references, weights, energies=None):
    """Return a stack (energy, *weights.shape[1:]) without noise."""
    return np.tensordot(references.at(references.energies if energies is None else energies), weights, 1)


# ------------------------------------------------------------------------------------------------ weights


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 5))
def test_nonnegative_weights_are_those_of_scipy(seed, k):
    rng = np.random.default_rng(seed)
    a, y = rng.normal(size=(12, k)), rng.normal(size=(12, 7))
    weights, support, squares = spectro.Mixture(a).solve(np, y)
    for n in range(7):
        expected, norm = nnls(a, y[:, n])
        np.testing.assert_allclose(weights[:, n], expected, atol=1e-9)
        np.testing.assert_allclose(squares[n], norm**2, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(spectro.Mixture(a).supports[support].T | (weights == 0), True)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_weights_that_sum_to_one_beat_every_neighbour(seed):
    """The problem is convex: no step towards any corner of the simplex may be better."""
    rng = np.random.default_rng(seed)
    a, y = rng.normal(size=(10, 4)), rng.normal(size=(10, 5))
    for nonnegative in (True, False):
        weights, _, squares = spectro.Mixture(a, nonnegative=nonnegative, sum_to_one=True).solve(np, y)
        np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-9)
        assert not nonnegative or (weights >= 0).all()
        for corner in np.eye(4):
            near = weights + 1e-3 * (corner[:, None] - weights)
            assert (((a @ near - y) ** 2).sum(axis=0) >= squares - 1e-9).all()


def test_twelve_references_are_solved_and_more_refused(backend):
    rng = np.random.default_rng(1)
    a, y = rng.normal(size=(30, 9)), rng.normal(size=(30, 40))
    y[:, 7] = 0
    y[:, 8] = -a.sum(axis=1)
    xp = np if backend.name == "cpu" else __import__("cupy")
    weights = backend.get(spectro.Mixture(a).solve(xp, backend.put(y))[0])
    np.testing.assert_allclose(weights, np.stack([nnls(a, column)[0] for column in y.T], axis=1), atol=1e-9)
    with pytest.raises(InputError, match="more than 12"):
        spectro.Mixture(rng.normal(size=(30, 13)))
    with pytest.raises(InputError, match="cannot be told apart by 2"):
        spectro.Mixture(rng.normal(size=(2, 3)))
    with pytest.raises(InputError, match="b and c are most alike"):
        spectro.Mixture(np.stack([a[:, 0], a[:, 1], a[:, 1] * (1 + 1e-9)], axis=1), names="abc")


# ---------------------------------------------------------------------------------------------------- fit


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("sum_to_one", [False, True])
def test_weights_and_steps_are_recovered_within_noise(backend, flatten, sum_to_one):
    """Mixtures with a background each: shares of the step within the noise, reduced chi-square near one."""
    rng = np.random.default_rng(0)
    references = library()
    shares = np.moveaxis(rng.dirichlet([0.7] * 3, (5, 9, 11)), -1, 0)
    amount = rng.uniform(0.5, 2.0, (5, 9, 11))
    slope = rng.normal(size=(5, 9, 11)) * 1e-3
    background = 0.5 + (references.energies - 7120)[:, None, None, None] * slope
    values = mixed(references, shares * amount) + background + rng.normal(size=(100, 5, 9, 11)) * 0.005
    maps = spectro.fit(
        backend.put(values.astype(np.float32)),
        references.energies,
        references=references,
        normalisation=spectro.Normalisation(7120.0, (7090.0, 7105.0), (7145.0, 7189.0), flatten=flatten),
        sum_to_one=sum_to_one,
        noise=0.005,
    )
    found = backend.get(dict(maps.volumes))
    weights = np.stack([found[name] for name in maps.names])
    assert weights.dtype == np.float32
    np.testing.assert_allclose(found["step"], amount, atol=0.05)
    error = (weights - shares) * amount
    assert abs(error).max() < 0.1
    assert error.std() < 0.02
    assert found["chi_square"].mean() == pytest.approx(1, abs=0.05)
    assert not sum_to_one or abs(weights.sum(axis=0) - 1).max() < 1e-5


def test_real_references_are_told_apart(backend, real_data):
    """The four compounds of a real measurement, at its energies and a noise of 1 % of the step."""
    rng = np.random.default_rng(3)
    folder = real_data / "fe_xanes_map"
    references = spectra.read_references(folder / "FeLibNov2021.nor", IRON)
    energies = spectra.read_energies(folder / "energy_list_corr.txt")
    weights = np.moveaxis(rng.dirichlet([0.5] * 4, (4, 12, 13)), -1, 0)
    weights[weights < 0.05] = 0
    values = np.zeros((73, 4, 12, 13))
    covered = energies >= 7090
    values[covered] = mixed(references, weights, energies[covered])
    values += rng.normal(size=values.shape) * 0.01
    maps = spectro.fit(backend.put(values), energies, within=(7090, 7199), references=references, noise=0.01)
    found = backend.get(dict(maps.volumes))
    error = np.stack([found[name] for name in maps.names]) - weights
    # What the normal equations say of the noise, at most: fewer references leave less of it.
    a = references.at(energies[covered])
    expected = 0.01 * np.sqrt(np.diag(np.linalg.inv(a.T @ a)))
    assert (error.std(axis=(1, 2, 3)) < 1.1 * expected).all()
    assert abs(error).max() < 6 * expected.max()
    assert found["chi_square"].mean() == pytest.approx(1, abs=0.03)
    assert list(maps.names) == [
        "weight_LiFe_II_PO4",
        "weight_Pyrite",
        "weight_StainlessSteelNP",
        "weight_Hematite_NP",
    ]


def test_a_real_map_comes_back_from_its_own_spectra(real_data):
    """The fitted weights of a real measurement: noiseless spectra made of them give them again."""
    folder = real_data / "fe_xanes_map"
    real = tifffile.imread(folder / "chemical_map.tiff").astype(np.float64)
    references = spectra.read_references(folder / "FeLibNov2021.nor", IRON)
    energies = np.linspace(7095, 7195, 40)
    maps = spectro.fit(mixed(references, real, energies), energies, references=references)
    found = np.stack([volume[0] for name, volume in maps.volumes.items() if name in maps.names])
    np.testing.assert_allclose(found, real, atol=1e-5)
    assert np.nanmax(maps.volumes["residual"]) < 1e-6


@pytest.mark.parametrize("method", ["white_line", "half_edge"])
def test_edge_position_of_a_known_line(backend, method):
    """A parabola's vertex is exact; a shifted edge moves by as much."""
    energies = np.concatenate(
        [np.arange(7090, 7110, 2.0), np.arange(7110, 7132, 0.5), np.arange(7132, 7180, 3.0)]
    )
    shifts = np.linspace(-2.3, 2.3, 24).reshape(2, 3, 4)
    e = energies[:, None, None, None] - shifts
    if method == "white_line":
        values = np.maximum(0, 1.4 - ((e - 7121) / 6) ** 2)
        expected = 7121 + shifts
    else:
        values = 0.1 + 1.7 / (1 + np.exp(-(e - 7118) / 2))
        expected = 7118 + shifts
    edge = spectro.EdgePosition(method, (7105.0, 7135.0), width=1.5)
    normal = None if method == "white_line" else spectro.Normalisation(7118, (7090, 7102), (7140, 7180), 0)
    maps = spectro.fit(
        backend.put(values), energies, edge=edge, normalisation=normal, charge=(7116.0, 7126.0)
    )
    found = backend.get(dict(maps.volumes))
    np.testing.assert_allclose(found["edge"], expected, atol=0.002 if method == "white_line" else 0.02)
    np.testing.assert_allclose(found["state_of_charge"], (found["edge"] - 7116) / 10, atol=1e-3)


def test_voxels_without_a_spectrum_are_nan_and_transmission_is_absorption(backend):
    references = library()
    absorption = mixed(references, np.full((3, 2, 3, 4), 0.3))
    absorption[:, 0, 0, 0] = 0  # nothing there: no edge
    light = np.exp(-absorption)
    light[5, 1, 1, 1], light[7, 1, 2, 3], light[9, 0, 1, 2] = 0, np.nan, np.inf
    maps = spectro.fit(
        backend.put(light),
        references.energies,
        transmission=True,
        references=references,
        normalisation=NORMALISATION,
        least_step=0.1,
        edge=spectro.EdgePosition("half_edge", (7105.0, 7140.0)),
    )
    found = backend.get(dict(maps.volumes))
    empty = np.zeros((2, 3, 4), bool)
    empty[0, 0, 0] = empty[1, 1, 1] = empty[1, 2, 3] = empty[0, 1, 2] = True
    for name, volume in found.items():
        if name != "step":
            np.testing.assert_array_equal(np.isnan(volume), empty)
    np.testing.assert_allclose(found["weight_metal"][~empty], 1 / 3, atol=1e-4)


def test_both_sides_and_every_block_size_agree(backend, monkeypatch):
    rng = np.random.default_rng(5)
    references = library()
    values = (mixed(references, rng.random((3, 7, 5, 6))) + rng.normal(size=(100, 7, 5, 6)) * 0.02).astype(
        "f4"
    )
    options = {
        "references": references,
        "normalisation": NORMALISATION,
        "edge": spectro.EdgePosition("white_line", (7110.0, 7140.0), 4),
        "noise": 0.02,
    }
    whole = spectro.fit(values, references.energies, **options).volumes
    monkeypatch.setattr("tripoint.spectro.maps.READ", 4 * 100 * 6 * 3)  # three rows at a time
    monkeypatch.setattr("tripoint.spectro.maps.WORK", {"cpu": 8 * 100 * 5, "cuda": 8 * 100 * 5})
    parts = backend.get(dict(spectro.fit(backend.put(values), references.energies, **options).volumes))
    again = backend.get(dict(spectro.fit(backend.put(values), references.energies, **options).volumes))
    for name, volume in whole.items():
        np.testing.assert_allclose(parts[name], volume, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(parts[name], again[name])


def test_a_stack_of_images_gives_maps_of_one_slice():
    references = library()
    maps = spectro.fit(mixed(references, np.ones((3, 4, 5))), references.energies, references=references)
    assert {volume.shape for volume in maps.volumes.values()} == {(1, 4, 5)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"energies": np.arange(7090.0, 7190.0)[::-1]}, "do not increase"),
        ({"energies": np.arange(7090.0, 7189.0)}, "100 images along its first axis and the list 99"),
        ({"energies": np.arange(7080.0, 7180.0)}, "cover 7090 to 7189 eV and the stack goes from 7080"),
        ({"energies": np.full(100, np.nan)}, "finite numbers"),
        ({"within": (7000, 7001)}, "holds 0 of the energies"),
        ({"within": 5}, "expected \\[from,to\\]"),
        ({"stack": np.zeros((100, 5))}, "expected \\(energy, y, x\\)"),
        ({"stack": np.full((100, 2, 2), np.nan)}, "no voxel of the stack has a finite spectrum"),
        ({"stack": np.zeros((100, 2, 2), complex)}, "real numbers"),
        ({"references": None}, "nothing to do"),
        ({"noise": 0}, "positive s.d."),
        ({"noise": [1, 2]}, "positive s.d."),
        ({"charge": (1, 2)}, "together with an edge position"),
        ({"edge": spectro.EdgePosition("derivative", (7100, 7130))}, "white_line or half_edge"),
        ({"edge": spectro.EdgePosition("half_edge", (7100, 7130))}, "give the pre-edge"),
        ({"edge": spectro.EdgePosition("white_line", (7100, 7101))}, "holds 2 of the energies"),
        ({"edge": spectro.EdgePosition("white_line", (7100, 7130), 0)}, "must be positive"),
        ({"normalisation": spectro.Normalisation(7120, (7090, 7090.5), (7140, 7180))}, "holds 1 of the"),
        ({"normalisation": spectro.Normalisation(7120, (7130, 7140), (7140, 7180))}, "before and behind"),
        ({"normalisation": spectro.Normalisation(7120, (7090, 7100), (7140, 7180), 3)}, "degree is 3"),
    ],
)
def test_bad_input_of_a_fit(change, words):
    references = library()
    given = {
        "stack": np.ones((100, 2, 3)),
        "energies": references.energies,
        "references": references,
    } | change
    with pytest.raises(InputError, match=words):
        spectro.fit(given.pop("stack"), given.pop("energies"), **given)


# ---------------------------------------------------------------------------------- maps on another grid


def blobs(shape, seed=0):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.5)
    return (field > np.quantile(field, 0.6)).astype(np.float32)


def test_a_map_of_another_shape_needs_an_affine():
    values = np.random.default_rng(0).random((4, 5, 6))
    np.testing.assert_array_equal(spectro.onto_grid(values, (4, 5, 6), 1), values.astype(np.float32))
    with pytest.raises(InputError, match="give the affine between them"):
        spectro.onto_grid(values, (8, 10, 12), 0.5)
    finer = spectro.onto_grid(values, (8, 10, 12), 0.5, map_spacing=1, affine=np.eye(4))
    assert finer.shape == (8, 10, 12)
    assert finer.mean() == pytest.approx(values.mean(), abs=0.02)


# -------------------------------------------------------------------------------------------- aggregation


def check_rows(table, regions, values):
    for row in table.itertuples():
        inside = values[regions == row.node].astype(np.float64)
        good = inside[np.isfinite(inside)]
        assert row.voxels == inside.size
        assert row.map_missing == inside.size - good.size
        assert row.map_covered == pytest.approx(good.size / max(inside.size, 1))
        found = [row.map_q05, row.map_q25, row.map_q50, row.map_q75, row.map_q95]
        if not good.size:
            assert np.isnan([row.map_mean, row.map_std, *found]).all()
            continue
        spread = np.ptp(good) * 1e-8 + 1e-12
        assert row.map_mean == pytest.approx(good.mean(), abs=spread)
        assert row.map_std == pytest.approx(good.std(), abs=10 * spread)
        np.testing.assert_allclose(found, np.quantile(good, [0.05, 0.25, 0.5, 0.75, 0.95]), atol=spread)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1.0, 1e-6, 1e6]), st.integers(1, 40))
def test_aggregation_is_that_of_numpy(seed, scale, count):
    rng = np.random.default_rng(seed)
    regions = rng.integers(0, count + 1, (6, 7, 8)).astype(np.int32)
    regions.flat[0] = count
    values = (rng.normal(size=regions.shape) * scale + rng.normal() * scale).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[regions == count // 2] = np.inf
    values.flat[0] = 0.5
    check_rows(spectro.aggregate(regions, values), regions, values)


def test_aggregation_of_voxels_in_any_order_is_the_same_bit_for_bit(backend, monkeypatch):
    rng = np.random.default_rng(0)
    regions = rng.integers(0, 20, (9, 10, 11)).astype(np.int32)
    values = np.exp(rng.normal(size=regions.shape) * 3).astype(np.float32) * np.where(regions % 2, 1, -1)
    values = values.astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    table = backend.get(spectro.aggregate(backend.put(regions), backend.put(values)))
    check_rows(table, regions, values)
    monkeypatch.setattr("tripoint.particles.aggregation.PART", 100)
    order = rng.permutation(regions.size)
    shuffled = (one.ravel()[order].reshape(one.shape) for one in (regions, values))
    other = spectro.aggregate(*shuffled)
    assert table.equals(other) or all(
        np.array_equal(table[name], other[name], equal_nan=True) for name in table.columns
    )


def test_bad_input_of_an_aggregation():
    regions, values = np.ones((3, 4, 5), np.int32), np.ones((3, 4, 5), np.float32)
    with pytest.raises(InputError, match="bring it onto their grid with an affine"):
        spectro.aggregate(regions, values[:2])
    with pytest.raises(InputError, match="'soc' holds no numbers"):
        spectro.aggregate(regions, values * np.nan, "soc")
    with pytest.raises(InputError, match="no regions"):
        spectro.aggregate(regions * 0, values)
    with pytest.raises(InputError, match="integer labels"):
        spectro.aggregate(values, values)


# -------------------------------------------------------------------------------------- files and the task


def written(folder, values):
    """Return the same stack in every kind of file."""
    np.save(folder / "stack.npy", values)
    with h5py.File(folder / "stack.h5", "w") as file:
        file.create_dataset("deep/data", data=values, chunks=(1, 2, 5, 4))
        file["energy"] = library().energies
    zarr.create_array(folder / "stack.zarr", data=values, chunks=(10, 2, 5, 7))
    tifffile.imwrite(folder / "stack.tif", values)
    tifffile.imwrite(folder / "packed.tif", values, compression="zlib")
    return ["stack.npy", "stack.h5:/deep/data", "stack.zarr", "stack.tif", "packed.tif"]


def test_stacks_are_read_from_every_kind_of_file(tmp_path, monkeypatch):
    references = library()
    values = mixed(references, np.random.default_rng(0).random((3, 5, 6, 7))).astype(np.float32)
    expected = spectro.fit(values, references.energies, references=references).volumes
    monkeypatch.setattr("tripoint.spectro.maps.READ", 4 * 100 * 7 * 13)
    for name in written(tmp_path, values):
        with stack.opened(tmp_path / name) as opened:
            assert opened.shape == values.shape
            found = spectro.fit(opened, references.energies, references=references, step=opened.step).volumes
        for key, volume in expected.items():
            np.testing.assert_array_equal(found[key], volume)


def test_a_folder_of_images_is_a_stack(tmp_path):
    values = np.random.default_rng(0).random((5, 6, 7)).astype(np.float32)
    for k, image in enumerate(values):
        tifffile.imwrite(tmp_path / f"energy{k}.tif", image)
    with stack.opened(tmp_path) as opened:
        np.testing.assert_array_equal(opened[1:4, 2:5], values[1:4, 2:5])
        assert opened.voxel([0.2, 0.1]) == (0.2, 0.2, 0.1)


def test_the_voxel_size_of_an_ome_zarr_stack_is_read(tmp_path):
    group = zarr.create_group(tmp_path / "stack.zarr")
    group.create_array("0", data=np.ones((3, 4, 5, 6), np.float32))
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    scale = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 40, 20, 10]}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [scale]}]}
    with stack.opened(tmp_path / "stack.zarr") as opened:
        assert opened.shape == (3, 4, 5, 6)
        assert opened.voxel() == (0.04, 0.02, 0.01)
        assert opened.voxel(5, "nm") == (0.005, 0.005, 0.005)


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = cli.main(["spectro", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def csv(path, references):
    rows = np.column_stack([references.energies, references.spectra])
    np.savetxt(path, rows, delimiter=",", header="energy," + ",".join(references.names), comments="")


def test_the_task_writes_maps_and_registers_them(run, tmp_path):
    rng = np.random.default_rng(2)
    references = library()
    structure = blobs((32, 36, 40))
    there = np.roll(structure, (2, -3, 1), (0, 1, 2))
    shares = np.moveaxis(rng.dirichlet([1] * 3, there.shape), -1, 0)
    values = mixed(references, shares * there) + rng.normal(size=(100, *there.shape)) * 0.01
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        file.create_dataset("data", data=values.astype(np.float32), chunks=(1, 8, 36, 40))
        file["data"].attrs["element_size_um"] = (0.1, 0.1, 0.1)
        file["energy"] = references.energies
    csv(tmp_path / "iron.csv", references)
    tifffile.imwrite(tmp_path / "structure.tif", structure.astype(np.uint8))
    code, out, err = run(
        "input=stack.h5:/data", "energies=stack.h5:/energy", "references=iron.csv", "output=out",
        "noise=0.01",
        "use=[charged, discharged, metal]", "normalise.edge=7120", "normalise.pre=[7090,7105]",
        "normalise.post=[7145,7189]", "normalise.least_step=0.2", "edge.method=half_edge",
        "edge.window=[7105,7140]", "edge.charge=[7116,7122]", "register.to=structure.tif", "register.label=1",
        "register.spacing=[0.1,0.1,0.1]", "register.method=shift",
    )  # fmt: skip
    assert code == 0, err
    assert out.strip().endswith("maps.zarr")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "maps.zarr", "registered.zarr", "affine.txt", "summary.json",
    }  # fmt: skip
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["stack"]["shape"] == [100, 32, 36, 40]
    assert summary["maps"]["chi_square"]["mean"] == pytest.approx(1, abs=0.05)
    assert summary["references"]["weight_charged"] == "charged"
    np.testing.assert_allclose(summary["registration"]["shift"], [0.2, -0.3, 0.1], atol=0.02)
    np.testing.assert_allclose(
        spectra.read_affine(tmp_path / "out/affine.txt"), spectra.read_affine(tmp_path / "out/summary.json")
    )
    values, spacing = stack.read_map(tmp_path / "out/maps.zarr:weight_discharged")
    assert spacing == (0.1, 0.1, 0.1)
    assert values.shape == structure.shape
    inside = np.isfinite(values)
    np.testing.assert_array_equal(inside, there == 1)
    assert (values - shares[0])[inside].std() < 0.05
    np.testing.assert_array_equal(
        values, ome_zarr.read_array(tmp_path / "out/maps.zarr", "weight_discharged")
    )
    moved, _ = stack.read_map(tmp_path / "out/registered.zarr:step")
    assert np.isfinite(moved[2:-3, 4:-4, 2:-2])[structure[2:-3, 4:-4, 2:-2] == 1].mean() > 0.95
    assert zarr.open_group(str(tmp_path / "out/maps.zarr")).attrs["tripoint"]["maps"][0] == "step"


def test_the_task_on_the_gpu(gpu, run, tmp_path):
    references = library()
    values = mixed(references, np.random.default_rng(0).random((3, 4, 5, 6))).astype(np.float32)
    np.save(tmp_path / "stack.npy", values)
    csv(tmp_path / "iron.csv", references)
    np.savetxt(tmp_path / "energies.txt", references.energies)
    words = ("input=stack.npy", "energies=energies.txt", "references=iron.csv", "spacing=[1,1,1]")
    for device in ("cpu", "cuda"):
        code, _, err = run(*words, f"device={device}", f"output={device}")
        assert code == 0, err
        assert json.loads((tmp_path / device / "summary.json").read_text())["run"]["device"] == device
    for name in ("weight_charged", "residual"):
        host, device = (ome_zarr.read_array(tmp_path / side / "maps.zarr", name) for side in ("cpu", "cuda"))
        np.testing.assert_allclose(device, host, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("input=absent.npy", "there is no file"),
        ("input=null", "the setting 'input' is missing"),
        ("input=volume.nrrd", "there is no file"),
        ("input=flat.npy", "expected (energy, y, x)"),
        ("input=short.npy", "99 images along its first axis and the list 100"),
        ("energies=null", "the setting 'energies' is missing"),
        ("energies=absent.txt", "there is no file absent.txt"),
        ("energies=[7092,7091,7093]", "do not increase"),
        ("energies=[a,b]", "finite numbers"),
        ("energies=stack.npy", "is not text"),
        ("energies=low.txt", "references cover 7090 to 7189 eV"),
        ("references=absent.nor", "there is no file absent.nor"),
        ("references=nameless.csv", "names above them"),
        ("references=energies.txt", "names above them"),
        ("references=null", "there is nothing to do"),
        ("use=[charged,unobtainium]", "no reference 'unobtainium'"),
        ("spacing=null", "does not state its voxel size"),
        ("spacing=[1,0,1]", "positive finite"),
        ("range=[7000,7001]", "holds 0 of the energies"),
        ("noise=-1", "positive s.d."),
        ("transmission=maybe", "expected true or false"),
        ("normalise.edge=7120", "normalise.pre is None"),
        ("edge.method=white_line", "edge.window is None"),
        ("edge.method=derivative edge.window=[7100,7130]", "white_line or half_edge"),
        ("register.to=absent.tif", "there is no file"),
        ("register.to=other.npy", "does not state its voxel size"),
        ("register.to=nothing.npy register.spacing=1", "holds no numbers"),
        ("register.to=other.npy register.spacing=1 register.by=soc", "no map 'soc'"),
        ("register.to=other.npy register.spacing=1 register.start=energies.txt", "4×4"),
        ("device=toaster", "use cpu, cuda or auto"),
        ("colour=red", "no setting 'colour'"),
    ],
)
def test_bad_input_of_the_task(run, tmp_path, change, words):
    references = library()
    values = mixed(references, np.random.default_rng(0).random((3, 4, 5, 6)))
    np.save(tmp_path / "stack.npy", values)
    np.save(tmp_path / "short.npy", values[:99])
    np.save(tmp_path / "flat.npy", values[:, 0, 0])
    np.save(tmp_path / "other.npy", np.random.default_rng(0).random((4, 5, 6)))
    np.save(tmp_path / "nothing.npy", np.full((4, 5, 6), np.nan))
    csv(tmp_path / "iron.csv", references)
    np.savetxt(tmp_path / "nameless.csv", np.ones((4, 3)), delimiter=",")
    np.savetxt(tmp_path / "energies.txt", references.energies)
    np.savetxt(tmp_path / "low.txt", references.energies - 20)
    given = {
        "input": "stack.npy", "energies": "energies.txt", "references": "iron.csv", "spacing": "[1,1,1]",
        "output": "out",
    }  # fmt: skip
    given |= dict(word.split("=", 1) for word in change.split(" "))
    code, _, err = run(*(f"{key}={value}" for key, value in given.items()))
    assert code == 1, err
    message = [line for line in err.splitlines() if line.startswith("tripoint: ")]
    assert len(message) == 1, err
    assert words in message[0]
    assert "Traceback" not in err
    assert not list(Path(tmp_path).glob("*out*")), "something was written"


def test_references_are_read_as_they_are_written(tmp_path, real_data):
    references = library()
    csv(tmp_path / "a.csv", references)
    tabbed = (tmp_path / "a.csv").read_text().replace(",", "\t")
    (tmp_path / "a.txt").write_text("# measured long ago\n" + tabbed)
    for name in ("a.csv", "a.txt"):
        found = spectra.read_references(tmp_path / name)
        assert found.names == references.names
        np.testing.assert_array_equal(found.spectra, references.spectra)
    athena = spectra.read_references(real_data / "fe_xanes_map/FeLibNov2021.nor")
    assert athena.names[6] == "LiFe(II)PO4"
    assert athena.spectra.shape == (196, 11)
    with pytest.raises(InputError, match="finite"):
        spectro.References(("a",), [1, 2], [[1], [np.nan]])
    with pytest.raises(InputError, match="name twice"):
        spectro.References(("a", "a"), [1, 2], np.ones((2, 2)))


def test_a_killed_task_leaves_nothing(tmp_path, monkeypatch):
    references = library()
    np.save(tmp_path / "stack.npy", np.ones((100, 3, 4, 5)))
    csv(tmp_path / "iron.csv", references)
    monkeypatch.setattr(ome_zarr, "write_maps", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        chemistry.measure(
            tmp_path / "stack.npy",
            references.energies,
            tmp_path / "out",
            references=tmp_path / "iron.csv",
            spacing=1,
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iron.csv", "stack.npy"]
