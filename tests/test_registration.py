"""Registration: known shifts, rotations and contrasts are found, and what is found is what is reported."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tripoint import _cuda, alignment, cli, io, registration, synth
from tripoint.errors import DeviceError, DeviceMemoryError, InputError
from tripoint.io import ome_zarr, spectra, stack
from tripoint.registration import ascent, histogram, joint, motions, mutual_information, resampling
from tripoint.synth.views import placed


def blobs(shape, seed=0):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.5)
    return (field > np.quantile(field, 0.6)).astype(np.float32)


def turned(degrees, axis, shape, spacing, shift, scale=(1, 1, 1)):
    """Return an affine about the middle of a volume."""
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    matrix, plane = np.eye(3), [k for k in range(3) if k != axis]
    matrix[np.ix_(plane, plane)] = [[c, -s], [s, c]]
    matrix = matrix @ np.diag(scale)
    middle = np.array(shape) * spacing / 2
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, middle + shift - matrix @ middle
    return affine


def misplaced(found, affine, shape, spacing):
    """Return by how much the corners of a volume are put wrong, µm."""
    ends = np.array(np.meshgrid(*([0, n * s] for n, s in zip(shape, spacing, strict=True)))).reshape(3, -1)
    return np.linalg.norm((found - affine)[:3] @ np.vstack([ends, np.ones(8)]), axis=0).max()


SPACING = (0.5, 0.4, 0.4)


def seen(structure, affine, shape, spacing, seed=0):
    """Return what a measurement of a structure shows: other contrast, noise, a part that is missing."""
    values = registration.resample(
        structure, np.linalg.inv(affine), moving_spacing=SPACING, shape=shape, spacing=spacing
    )
    values = 1 + 3 * values + np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 0.3
    values[:2] = np.nan
    return values


def test_a_known_shift_is_found():
    structure = blobs((32, 40, 44))
    affine = np.eye(4)
    affine[:3, 3] = (1.0, -1.6, 2.2)
    values = seen(structure, affine, (28, 40, 40), (0.6, 0.4, 0.45))
    found = registration.register(
        values, structure, moving_spacing=(0.6, 0.4, 0.45), spacing=SPACING, method="shift"
    )
    np.testing.assert_allclose(found.shift, (1.0, -1.6, 2.2), atol=0.1)
    np.testing.assert_allclose(found.affine[:3, :3], np.eye(3))
    assert found.agreement.correlation > 0.8 > found.before.correlation
    assert not found.warnings


@pytest.mark.parametrize(("method", "scale"), [("rigid", (1, 1, 1)), ("affine", (1.03, 0.98, 1.02))])
def test_a_known_rotation_is_found_and_found_again(method, scale):
    structure = blobs((36, 40, 44))
    affine = turned(4, 0, structure.shape, SPACING, (0.6, -1.0, 0.8), scale)
    values = seen(structure, affine, (34, 42, 44), (0.5, 0.4, 0.4))
    options = {"moving_spacing": SPACING, "spacing": SPACING, "method": method}
    found = registration.register(values, structure, **options)
    assert misplaced(found.affine, affine, structure.shape, SPACING) < 0.4  # a voxel
    assert not found.warnings
    assert found.agreement.mutual_information > 0.3
    assert found.rotation == pytest.approx(4, abs=0.5)
    json.dumps(found.to_mapping())
    again = registration.register(values, structure, **options)
    np.testing.assert_allclose(again.affine, found.affine, atol=1e-9)


def test_images_are_registered_in_their_plane():
    structure = blobs((1, 96, 100))
    affine = turned(5, 0, structure.shape, SPACING, (0, -1.2, 0.9))
    values = registration.resample(
        1 - structure, np.linalg.inv(affine), moving_spacing=SPACING, shape=(1, 96, 100), spacing=SPACING
    )
    found = registration.register(values, structure, moving_spacing=SPACING, spacing=SPACING)
    assert misplaced(found.affine, affine, structure.shape, SPACING) < 0.4
    assert found.agreement.correlation < -0.8  # dark where the structure is bright


def test_what_has_nothing_to_do_with_it_is_warned_of():
    found = registration.register(
        blobs((30, 32, 34), 7), blobs((30, 32, 34), 1), moving_spacing=1, spacing=1, method="shift"
    )
    assert any("hardly correlate" in warning for warning in found.warnings)


def test_resampling_averages_finer_voxels_and_keeps_what_is_missing():
    fine = np.repeat(np.repeat(np.repeat(np.arange(24.0).reshape(2, 3, 4), 2, 0), 2, 1), 2, 2)
    fine[0, 0, :5] = np.nan
    out = registration.resample(fine, np.eye(4), moving_spacing=0.5, shape=(2, 3, 4), spacing=1)
    np.testing.assert_allclose(out, np.arange(24.0).reshape(2, 3, 4), atol=1e-5)
    fine[:2, :2, :2] = np.nan
    out = registration.resample(fine, np.eye(4), moving_spacing=0.5, shape=(3, 3, 4), spacing=1)
    assert np.isnan(out[0, 0, 0])
    assert np.isnan(out[2]).all()  # beyond the map
    assert np.isfinite(out[:2]).sum() == 23
    same = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(
        registration.resample(same, np.eye(4), moving_spacing=SPACING, shape=same.shape, spacing=SPACING),
        same,
        atol=1e-6,
    )


def test_bad_input_of_a_registration():
    structure = blobs((8, 9, 10))
    common = {"moving_spacing": 1, "spacing": 1}
    with pytest.raises(InputError, match="holds no numbers"):
        registration.register(np.full((8, 9, 10), np.nan), structure, **common)
    with pytest.raises(InputError, match="one value everywhere"):
        registration.register(np.ones((8, 9, 10)), structure, **common)
    with pytest.raises(InputError, match="shift, rigid or affine"):
        registration.register(structure, structure, method="elastic", **common)
    with pytest.raises(InputError, match="single image"):
        registration.register(structure[0], structure, **common)
    with pytest.raises(InputError, match="4×4"):
        registration.register(structure, structure, start=np.eye(3), **common)
    far = np.eye(4)
    far[0, 3] = 1e4
    with pytest.raises(InputError, match="no values where the fixed one is"):
        registration.resample(structure, far, moving_spacing=1, shape=(8, 9, 10), spacing=1)


def pair(method, shape=(30, 34, 38)):
    """Return a structure, what is seen of it, and the affine between them."""
    structure = blobs(shape)
    affine = turned(
        0 if method == "shift" else 4, 0, shape, SPACING, (0.5, -0.8, 0.6),
        (1.03, 0.98, 1.02) if method == "affine" else (1, 1, 1),
    )  # fmt: skip
    return structure, seen(structure, affine, shape, SPACING), affine


@pytest.mark.parametrize("method", ["shift", "rigid", "affine"])
def test_both_sides_find_the_same(backend, method):
    structure, values, affine = pair(method)
    sizes = {"moving_spacing": SPACING, "spacing": SPACING}
    found = registration.register(backend.put(values), backend.put(structure), **sizes, method=method)
    assert misplaced(found.affine, affine, structure.shape, SPACING) < 0.25 * 0.4  # of a voxel
    assert not found.warnings
    host = registration.assess(values, structure, found.affine, **sizes)
    assert found.agreement.to_mapping() == pytest.approx(host.agreement.to_mapping(), rel=1e-3)
    assert found.before.to_mapping() == pytest.approx(host.before.to_mapping(), rel=1e-3)
    local, there = (
        registration.local_shifts(put(values), SPACING, put(structure), SPACING, found.affine)
        for put in (backend.put, lambda volume: volume)
    )
    np.testing.assert_allclose(local.shifts, there.shifts, atol=0.02)
    assert local.to_mapping()["median"] < 0.1
    json.dumps(found.to_mapping())


def test_both_sides_resample_the_same(backend):
    structure, values, affine = pair("affine")
    for spacing, shape in (
        (SPACING, structure.shape),
        ((1.1, 0.9, 0.8), (13, 15, 19)),
    ):  # the latter averages
        how = {"moving_spacing": SPACING, "shape": shape, "spacing": spacing}
        expected = registration.resample(values, affine, **how)
        moved = registration.resample(backend.put(values), affine, **how)
        assert type(moved) is type(backend.put(values))
        assert moved.dtype == np.float32
        np.testing.assert_allclose(backend.get(moved), expected, rtol=1e-4, atol=1e-4)
        out = np.empty(shape, np.float32)
        registration.resample(backend.put(values), affine, **how, out=out)
        np.testing.assert_array_equal(out, backend.get(moved))


def test_images_are_registered_in_their_plane_on_the_gpu(gpu):
    structure = blobs((1, 80, 84))
    affine = turned(5, 0, structure.shape, SPACING, (0, -1.2, 0.9))
    values = 1 - registration.resample(
        structure, np.linalg.inv(affine), moving_spacing=SPACING, shape=structure.shape, spacing=SPACING
    )
    found = registration.register(
        gpu.put(values), gpu.put(structure), moving_spacing=SPACING, spacing=SPACING
    )
    assert misplaced(found.affine, affine, structure.shape, SPACING) < 0.4
    np.testing.assert_allclose(found.affine[0], [1, 0, 0, 0], atol=1e-12)


def test_volumes_live_on_one_side(gpu):
    structure, values, _ = pair("shift", (8, 9, 10))
    with pytest.raises(DeviceError, match="the moving volume is on the host and the fixed one on the GPU"):
        registration.register(values, gpu.put(structure), moving_spacing=1, spacing=1)


@pytest.mark.parametrize("method", ["rigid", "affine"])
@pytest.mark.parametrize("shape", [(20, 24, 28), (1, 24, 28)])
def test_information_rises_as_its_derivative_says(backend, method, shape):
    rng, flat = np.random.default_rng(0), shape[0] == 1
    fixed = blobs(shape).astype(np.float32) + rng.normal(size=shape).astype(np.float32) * 0.2
    around = [(0, 0) if flat else (6, 6), (6, 6), (6, 6)]  # so that no sample crosses the rim
    moving = ndimage.gaussian_filter(np.pad(-2 * fixed, around, mode="reflect"), 1).astype(np.float32)
    to_moving = np.eye(3, 4)
    to_moving[:, 3] = [before - 0.5 for before, _ in around]
    middle = np.array(shape) / 2
    both = joint.JointHistogram(
        backend.put(fixed), (1, 1, 1), backend.put(moving), to_moving, middle, fixed.size
    )
    motion = motions.Motion(method, np.array(shape, float), 1.0, flat)
    assert (
        motion.parameters
        == {("rigid", False): 6, ("affine", False): 12, ("rigid", True): 3, ("affine", True): 6}[method, flat]
    )
    at = rng.normal(size=motion.parameters) * 0.3

    def information(parameters):
        value, by_matrix = both.information(motion.matrix(parameters))
        return value, motion.slope(parameters, by_matrix)

    _, slope = information(at)
    steps = 1e-4 * np.eye(motion.parameters)
    rises = [(information(at + step)[0] - information(at - step)[0]) / 2e-4 for step in steps]
    np.testing.assert_allclose(slope, rises, rtol=0.02, atol=2e-4)
    middle_stays = motion.affine(np.r_[at[: len(motion.turns)], np.zeros(2 if flat else 3)], middle)
    np.testing.assert_allclose(middle_stays @ [*middle, 1], [*middle, 1])


def test_too_little_that_was_measured_is_refused(backend):
    values = np.full((8, 9, 10), np.nan, np.float32)
    values[::2, ::2, ::2] = 1.0
    with pytest.raises(InputError, match="less than half of the voxels wherever 2 × 2 × 2 of them"):
        resampling.filled(backend.put(values), 2 * np.eye(3))


def test_sums_do_not_depend_on_the_order(backend):
    rng = np.random.default_rng(0)
    places, weights = rng.integers(0, 5, 1000), rng.normal(size=1000).astype(np.float32)
    one = backend.get(histogram.sums(backend.put(places), backend.put(weights), 6))
    other = backend.get(
        histogram.sums(backend.put(places[::-1].copy()), backend.put(weights[::-1].copy()), 6)
    )
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(one, np.bincount(places, weights, 6), atol=1e-9)
    nothing = histogram.sums(backend.put(places), backend.put(0 * weights), 6)
    np.testing.assert_array_equal(backend.get(nothing), np.zeros(6))


def composite(**how):
    return synth.Composite.load("solid_oxide_electrode", {"imaging": {"channels": {"phase_contrast": how}}})


@pytest.fixture(scope="module")
def made():
    return synth.make("solid_oxide_electrode", (48, 52, 56), 0.08, seed=1)


@pytest.mark.parametrize(
    ("how", "method", "within"),
    [
        ({"rotation": (4, -2, 3), "shift": (0.3, -0.5, 0.2), "spacing": (0.12, 0.11, 0.11)}, "rigid", 0.5),
        ({"rotation": (20, -12, 15), "shift": (0.3, -0.5, 0.2)}, "rigid", 0.5),
        ({"rotation": (3, 0, 2), "grey": {"pore": 1.0, "YSZ": 0.5, "Ni": 0.2}}, "affine", 1.0),
    ],
)
def test_another_contrast_comes_onto_the_first(made, how, method, within):
    seen = synth.views(made, composite(**how), ["absorption", "phase_contrast"], seed=2)
    fixed, moving = seen["absorption"], seen["phase_contrast"]
    found = registration.register(
        moving.values, fixed.values, moving_spacing=moving.spacing, spacing=fixed.spacing,
        method=method, rotation=20,
    )  # fmt: skip
    assert misplaced(found.affine, moving.affine, made.shape, made.spacing) < within * 0.08
    assert found.agreement.correlation_ratio > 0.7
    assert not found.warnings
    local = registration.local_shifts(
        moving.values, moving.spacing, fixed.values, fixed.spacing, found.affine
    ).to_mapping()
    assert local["median"] < 0.08
    beside = moving.affine.copy()
    beside[:3, 3] += 0.16  # two voxels along each axis
    off = registration.local_shifts(moving.values, moving.spacing, fixed.values, fixed.spacing, beside)
    assert off.to_mapping()["median"] == pytest.approx(0.16 * np.sqrt(3), rel=0.2)


@pytest.mark.parametrize("method", ["rigid", "affine"])
def test_the_search_of_the_gpu_finds_what_simpleitk_finds(made, method):
    seen = synth.views(made, composite(rotation=(4, -2, 3)), ["absorption", "phase_contrast"], seed=2)
    fixed, moving = seen["absorption"], seen["phase_contrast"]
    start = moving.affine @ placed(synth.Channel(shift=(0.1, -0.15, 0.1)), *[np.array(made.shape) * 0.08] * 2)
    found = [
        side.optimised(
            moving.values, moving.spacing, fixed.values, fixed.spacing, start, method, fixed.values.size
        )
        for side in (ascent, mutual_information)
    ]
    for affine, information, warnings in found:
        assert misplaced(affine, moving.affine, made.shape, made.spacing) < 0.3 * 0.08
        assert information > 0.3
        assert not warnings
    kept, _, warnings = ascent.optimised(
        moving.values, moving.spacing, fixed.values, fixed.spacing,
        placed(synth.Channel(shift=(40, 0, 0)), *[np.array(made.shape) * 0.08] * 2), method, 4096,
    )  # fmt: skip
    assert "lost each other" in warnings[0]
    assert kept[0, 3] != 0


@settings(max_examples=15, deadline=None)
@given(
    st.tuples(*[st.floats(-20, 20)] * 3),
    st.tuples(*[st.floats(-1, 1)] * 3),
    st.tuples(*[st.sampled_from([0.4, 0.5, 0.7])] * 3),
)
def test_there_and_back_again(rotation, shift, spacing):
    """A smooth volume comes back where it was, whatever lies between."""
    z, y, x = np.indices((24, 26, 28), np.float32) * 0.5
    volume = (np.sin(z / 2) + np.cos(y / 3) * np.sin(x / 2.5)).astype(np.float32)
    extent = np.array(volume.shape) * 0.5
    affine = placed(synth.Channel(rotation=rotation, shift=shift), extent, extent)
    shape = [int(np.ceil(length / size)) for length, size in zip(extent, spacing, strict=True)]
    there = registration.resample(
        volume, np.linalg.inv(affine), moving_spacing=0.5, shape=shape, spacing=spacing
    )
    back = registration.resample(there, affine, moving_spacing=spacing, shape=volume.shape, spacing=0.5)
    inner = np.s_[8:-8, 8:-8, 8:-8]
    assert np.isfinite(back[inner]).mean() > 0.9
    there = np.isfinite(back[inner])
    np.testing.assert_allclose(back[inner][there], volume[inner][there], atol=0.12)


def test_a_made_displaced_channel_lies_where_its_affine_says(made):
    how = {
        "rotation": (8, -5, 6),
        "shift": (0.2, -0.3, 0.1),
        "photons": 0,
        "fringe": 0.0,
        "stretch": (1.02, 1, 0.99),
    }
    seen = synth.views(made, composite(**how), ["phase_contrast"])["phase_contrast"]
    straight = synth.views(made, composite(photons=0, fringe=0.0), ["phase_contrast"])["phase_contrast"]
    np.testing.assert_array_equal(straight.affine, np.eye(4))
    moved = registration.resample(
        seen.values, seen.affine, moving_spacing=seen.spacing, shape=made.shape, spacing=made.spacing
    )
    there = np.isfinite(moved)
    assert there.mean() > 0.7
    assert np.corrcoef(moved[there], straight.values[there])[0, 1] > 0.99
    assert np.isfinite(seen.values).all()  # material goes on around the field of view


def test_from_made_channels_to_one_grid(tmp_path, capsys):
    words = [
        "synth", f"output={tmp_path}/two.zarr", "synth=solid_oxide_electrode", "shape=[44,48,52]",
        "spacing=[0.08,0.08,0.08]", "channels=[absorption,phase_contrast]",
        "synth.imaging.channels.phase_contrast.rotation=[4,-2,3]",
        "synth.imaging.channels.phase_contrast.shift=[0.2,-0.3,0.1]",
        "synth.imaging.channels.phase_contrast.spacing=[0.1,0.1,0.1]",
    ]  # fmt: skip
    assert cli.main(words) == 0, capsys.readouterr().err
    channel = f"{tmp_path}/two.zarr:channels"
    sample = io.read(tmp_path / "two.zarr", materials="solid_oxide_electrode")
    fixed, spacing = stack.read_grey(f"{channel}/absorption")
    assert (fixed.shape, spacing) == (sample.shape, sample.spacing)
    moving, moving_spacing = stack.read_grey(f"{channel}/phase_contrast")
    assert moving_spacing == (0.1, 0.1, 0.1)
    assert moving.shape == (35, 38, 42)
    words = [
        "register", f"fixed={channel}/absorption", f"moving={channel}/phase_contrast",
        f"truth={channel}/phase_contrast", f"output={tmp_path}/out", "roi=[[4,40],null,[2,50]]",
    ]  # fmt: skip
    assert cli.main(words) == 0, capsys.readouterr().err
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        "moved.zarr",
        "summary.json",
        "report.html",
        "overlay.png",
    }
    summary = json.loads((out / "summary.json").read_text())
    assert summary["truth"]["worst_corner"] < 0.08
    assert summary["registration"]["local_shifts"]["median"] < 0.08
    true = spectra.read_affine(f"{channel}/phase_contrast")
    found = spectra.read_affine(out / "summary.json")  # of the whole volume, whatever part was registered
    assert misplaced(found, true, sample.shape, np.array(sample.spacing)) < 0.1
    moved, size = stack.read_grey(out / "moved.zarr")
    assert (moved.shape, moved.dtype, size) == ((36, 48, 48), np.float32, sample.spacing)
    mask = ome_zarr.read_array(out / "moved.zarr", "labels/mask")
    np.testing.assert_array_equal(mask == 1, np.isfinite(moved))
    assert "Registration report" in (out / "report.html").read_text()
    assert cli.main(words) == 1
    assert "exists" in capsys.readouterr().err
    assert cli.main([*words, "overwrite=true", f"affine={out}/summary.json", "roi=null"]) == 0
    again = json.loads((out / "summary.json").read_text())
    assert again["method"] == "given"
    np.testing.assert_allclose(again["registration"]["affine"], found, atol=1e-9)


def test_the_type_stays_and_what_is_not_shown_has_a_value(tmp_path, made):
    seen = synth.views(made, composite(shift=(0.8, 0, 0)), ["absorption", "phase_contrast"])
    np.save(tmp_path / "fixed.npy", (seen["absorption"].values * 40000).clip(0, 65535).astype(np.uint16))
    np.save(tmp_path / "moving.npy", (seen["phase_contrast"].values * 150).clip(1, 255).astype(np.uint8))
    size = made.spacing
    fixed, moving = (
        alignment.Volume(str(tmp_path / f"{name}.npy"), spacing=size) for name in ("fixed", "moving")
    )
    summary = alignment.align(fixed, moving, tmp_path / "out", method="shift", outside=7)
    np.testing.assert_allclose(summary["registration"]["shift"], (0.8, 0, 0), atol=0.02)
    moved, _ = stack.read_grey(tmp_path / "out" / "moved.zarr")
    assert moved.dtype == np.uint8
    mask = ome_zarr.read_array(tmp_path / "out" / "moved.zarr", "labels/mask")
    assert (moved[mask == 0] == 7).all()
    assert 0 < (mask == 0).mean() < 0.4
    with pytest.raises(InputError, match="outside is 300; expected a number that uint8 can hold"):
        alignment.align(fixed, moving, tmp_path / "other", outside=300)
    assert not (tmp_path / "other").exists()


def test_on_the_gpu_only_the_moved_volume_comes_back(tmp_path, gpu):
    structure, values, affine = pair("rigid")
    np.save(tmp_path / "fixed.npy", structure)
    np.save(tmp_path / "moving.npy", np.nan_to_num(values * 30).clip(0, 255).astype(np.uint8))
    np.savetxt(tmp_path / "true.txt", affine)
    fixed = alignment.Volume(str(tmp_path / "fixed.npy"), spacing=SPACING)
    moving = alignment.Volume(str(tmp_path / "moving.npy"), spacing=SPACING, blank=0)
    how = {"affine": tmp_path / "true.txt", "truth": tmp_path / "true.txt"}
    if gpu.emulated:
        import cupy

        cupy.transfers.clear()
    there = alignment.align(fixed, moving, tmp_path / "there", **how, device="cuda")
    if gpu.emulated:
        large = [one.nbytes for one in cupy.transfers if one.nbytes > structure.size / 4]
        assert large == [4 * structure.size, 4 * structure.size, structure.size, structure.size]
    here = alignment.align(fixed, moving, tmp_path / "here", **how, device="cpu")
    assert (there["run"]["device"], here["run"]["device"]) == ("cuda", "cpu")
    assert there["truth"] == here["truth"]
    assert there["covered"] == here["covered"]
    moved, expected = (stack.read_grey(tmp_path / name / "moved.zarr")[0] for name in ("there", "here"))
    assert moved.dtype == np.uint8
    assert (moved != expected).mean() < 1e-3  # where rounding goes either way


def test_what_does_not_fit_on_the_gpu(tmp_path, gpu, monkeypatch, caplog):
    structure, _, _ = pair("shift", (16, 17, 18))
    np.save(tmp_path / "one.npy", structure)
    one = alignment.Volume(str(tmp_path / "one.npy"), spacing=1)
    monkeypatch.setattr(_cuda.registration, "SEARCH", 1 << 50)
    with pytest.raises(DeviceMemoryError, match=r"a registration of 16 × 17 × 18 on .* run with device=cpu"):
        alignment.align(one, one, tmp_path / "out", method="shift", device="cuda")
    assert not (tmp_path / "out").exists()
    summary = alignment.align(one, one, tmp_path / "out", method="shift", device="auto")
    assert summary["run"]["device"] == "cpu"
    assert "device: cpu (a registration of 16 × 17 × 18" in caplog.text


def test_memory_on_the_gpu_is_what_is_said(gpu):
    structure, values, affine = pair("rigid", (60, 62, 64))
    here = gpu.put(values)
    with _cuda.memory.Gauge() as gauge:
        before = gauge.peak_bytes
        parts = registration.slabs(
            here, affine, moving_spacing=SPACING, shape=structure.shape, spacing=SPACING, depth=30
        )
        for _ in parts:
            pass
    scratch = 9 * here.size + _cuda.registration.SLAB * structure.size / 2
    assert gauge.peak_bytes - before < scratch


def test_a_field_of_view_in_black_is_warned_of_and_left_out(tmp_path, made):
    seen = synth.views(made, composite(rotation=(6, 0, 0)), ["absorption", "phase_contrast"])
    values = seen["phase_contrast"].values.copy()
    _, y, x = np.indices(values.shape)
    values[np.hypot(y - values.shape[1] / 2, x - values.shape[2] / 2) > 24] = 0
    np.save(tmp_path / "fixed.npy", seen["absorption"].values)
    np.save(tmp_path / "moving.npy", values)
    np.savetxt(tmp_path / "true.txt", seen["phase_contrast"].affine)
    fixed = alignment.Volume(str(tmp_path / "fixed.npy"), spacing=made.spacing)
    known = {"truth": tmp_path / "true.txt", "method": "rigid", "rotation": 0.0}
    for blank in (None, 0):
        moving = alignment.Volume(str(tmp_path / "moving.npy"), spacing=made.spacing, blank=blank)
        summary = alignment.align(fixed, moving, tmp_path / f"out_{blank}", **known)
        assert any("moving_blank=0" in text for text in summary["warnings"]) == (blank is None)
    assert summary["truth"]["worst_corner"] < 0.5 * 0.08


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"fixed": "absent.npy"}, InputError, "there is no file or folder"),
        ({"fixed": "four.npy"}, InputError, "expected a fixed volume of numbers"),
        ({"fixed": "flat.npy"}, InputError, "one value everywhere"),
        ({"moving": "flat.npy"}, InputError, "one value everywhere"),
        ({"moving": "nan.npy"}, InputError, "holds no numbers, only NaN"),
        ({"moving": "image.npy"}, InputError, "a single image is registered to a single slice"),
        ({"spacing": None}, InputError, "does not state its voxel size; give it as spacing="),
        ({"moving_spacing": None}, InputError, "does not state its voxel size; give it as moving_spacing="),
        ({"method": "elastic"}, InputError, "choose shift, rigid or affine"),
        ({"rotation": 90.0}, InputError, "rotation is 90.0"),
        ({"affine": "far.txt"}, InputError, "the two volumes do not overlap"),
        ({"affine": "absent.txt"}, InputError, "there is no file"),
        ({"device": "cuda"}, DeviceError, "there is no GPU"),
    ],
)
def test_bad_input_leaves_nothing(tmp_path, monkeypatch, change, error, words):
    monkeypatch.chdir(tmp_path)
    volume = blobs((16, 17, 18))
    np.save("good.npy", volume)
    np.save("four.npy", volume[None].repeat(2, 0))
    np.save("flat.npy", np.ones_like(volume))
    np.save("nan.npy", np.full_like(volume, np.nan))
    np.save("image.npy", volume[3])
    far = np.eye(4)
    far[0, 3] = 1e4
    np.savetxt("far.txt", far)
    given = {"fixed": "good.npy", "moving": "good.npy", "spacing": 1, "moving_spacing": 1, "method": "shift"}
    given |= change
    fixed = alignment.Volume(given.pop("fixed"), given.pop("spacing"))
    moving = alignment.Volume(given.pop("moving"), given.pop("moving_spacing"))
    with pytest.raises(error, match=words):
        alignment.align(fixed, moving, tmp_path / "out", **given)
    assert not [path.name for path in tmp_path.iterdir() if "out" in path.name]


def test_a_real_scan_against_a_coarser_copy(real_data):
    import tifffile

    files = sorted((real_data / "soc_electrode" / "grey_201-260").iterdir())[:48]
    fixed = np.stack([tifffile.imread(file)[150:310, 150:310] for file in files])
    extent = np.array(fixed.shape, float)
    affine = placed(synth.Channel(rotation=(8, -3, 2), shift=(3.0, -8.0, 6.0)), extent, extent)
    moving = registration.resample(
        fixed, np.linalg.inv(affine), moving_spacing=1.0, shape=(32, 107, 107), spacing=1.5
    )
    moving = moving + np.random.default_rng(0).normal(0, 2000, moving.shape)
    found = registration.register(moving, fixed, moving_spacing=1.5, spacing=1.0, method="rigid", rotation=14)
    assert misplaced(found.affine, affine, fixed.shape, np.ones(3)) < 1.0
