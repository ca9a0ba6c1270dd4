"""Synthetic composites: exact fractions, particles as asked for, the same from the same seed."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from sklearn.metrics import adjusted_rand_score

from tripoint import InputError, cli, io, particles, synth
from tripoint._cpu import synth as _synth
from tripoint.errors import MaterialsError
from tripoint.synth.bodies import draw
from tripoint.synth.fields import gaussian_field
from tripoint.synth.packing import TOLERANCE, pack

SHAPE, SPACING = (64, 56, 48), (0.4, 0.4, 0.4)
KINDS = [
    {"shape": "sphere"},
    {"shape": "ellipsoid", "aspect": 1.6},
    {"shape": "ellipsoid", "aspect": 0.6},
    {"shape": "polyhedron", "aspect": 1.0},
]


def cathode(changes=None, shape=SHAPE, spacing=SPACING, seed=3, **how):
    composite = synth.Composite.load("solid_state_cathode", changes)
    return synth.make(composite, shape, spacing, seed=seed, **how)


def active(**changes):
    return {"particles": {"active": changes}}


@pytest.fixture(scope="module")
def made():
    return cathode()


def packed(changes, extent=(20.0, 20.0, 20.0), seed=0):
    composite = synth.Composite.load("solid_state_cathode", changes)
    return composite, pack(np.random.default_rng(seed), composite, np.array(extent), (0.25,) * 3)


@pytest.mark.parametrize("name", synth.shipped())
def test_presets_have_exactly_the_fractions_they_state(name):
    composite = synth.Composite.load(name)
    sample = synth.make(composite, (48, 44, 40), np.multiply(composite.spacing, 1.3), seed=1)
    counts = {p.name: np.count_nonzero(sample.phases == p.label) for p in sample.materials.phases}
    for phase, part in {**composite.particles, **composite.fill}.items():
        assert counts.pop(phase) == round(part.fraction * sample.phases.size)
    assert set(counts) == {composite.rest}
    particulate = [p.label for p in sample.materials.phases if p.particulate]
    np.testing.assert_array_equal(sample.channels["particle"] > 0, np.isin(sample.phases, particulate))
    numbers = np.unique(sample.channels["particle"])
    np.testing.assert_array_equal(numbers, np.arange(numbers.size))


def test_presets_have_a_function_each(made):
    again = synth.solid_state_cathode(SHAPE, SPACING, seed=3)
    np.testing.assert_array_equal(made.phases, again.phases)
    assert synth.lithium_ion_cathode((20, 20, 20), (1, 1, 1)).materials.name == "lithium_ion_cathode"
    assert synth.solid_oxide_electrode((20, 20, 20), (0.1,) * 3).materials.name == "solid_oxide_electrode"


def test_the_seed_decides_every_voxel_whatever_the_threads(made):
    changes = {"cracks": {"share": 0.3}, "fill": {"carbon": {"gradient": 0.5}}}
    samples = []
    before = numba.get_num_threads()
    for threads in (1, before):
        numba.set_num_threads(threads)
        samples.append(cathode(changes, (36, 40, 33), imaging=True))
    numba.set_num_threads(before)
    np.testing.assert_array_equal(samples[0].phases, samples[1].phases)
    assert set(samples[0].channels) == {"particle", "grey", "chemical", "state"}
    for name, channel in samples[0].channels.items():
        np.testing.assert_array_equal(channel, samples[1].channels[name])
    assert (made.phases != cathode(seed=4).phases).mean() > 0.3


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_every_shape_packs_beyond_55_percent(kind):
    _, packing = packed(active(fraction=0.57, diameter=3.0, **kind) | {"overlap": 0.02}, (18.0,) * 3)
    assert packing.shares(np.array([18.0] * 3), 1)[0] > 0.55


@pytest.mark.parametrize("overlap", [-0.05, 0.0, 0.08, 0.25])
def test_spheres_overlap_as_much_as_allowed_and_no_more(overlap):
    _, packing = packed(active(fraction=0.5) | {"overlap": overlap}, (40.0, 30.0, 30.0))
    centres, radii = packing.centres, packing.bodies.radii
    reaches = radii[:, None] + radii
    box = np.ptp(centres, axis=0).max() + 1e3  # pairs across the periodic border are seen elsewhere
    d = centres[:, None] - centres
    grown = 1 - np.linalg.norm(d - box * np.rint(d / box), axis=2) / reaches
    np.fill_diagonal(grown, -1)
    assert grown.max() <= overlap + TOLERANCE
    assert (grown > overlap - 0.02).sum() > len(radii)  # two contacts per particle, and each is counted twice


def test_diameters_are_lognormal():
    composite = synth.Composite.load("solid_state_cathode", active(diameter=4.0, spread=0.35))
    bodies = draw(np.random.default_rng(0), composite, [4000])
    logs = np.log(2 * bodies.radii / 4.0) / 0.35
    assert stats.kstest(logs, stats.truncnorm(-3, 3).cdf).pvalue > 0.01


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_particles_of_the_volume_have_the_size_that_was_drawn(kind):
    """Whole particles at a low fraction: their voxels tell the median and the spread."""
    changes = active(fraction=0.2, diameter=3.0, spread=0.25, roughness=0, **kind)
    sample = cathode(changes | {"cut": False, "overlap": 0.0}, (80, 80, 80), (0.3,) * 3)
    volumes = np.bincount(sample.channels["particle"].astype(int).ravel())[1:] * 0.027
    diameters = np.cbrt(6 / np.pi * volumes)
    error = 0.25 / np.sqrt(diameters.size)
    assert np.median(diameters) == pytest.approx(3.0, rel=0.02 + 4 * error)
    assert np.log(diameters).std() == pytest.approx(0.25, abs=0.01 + 3 * error)


def test_every_voxel_belongs_to_the_sphere_it_is_deepest_in():
    changes = active(fraction=0.5, roughness=0) | {"overlap": 0.2}
    composite = synth.Composite.load("solid_state_cathode", changes)
    sample = synth.make(composite, (32, 30, 28), (0.5, 0.6, 0.7), seed=5)
    rng = np.random.default_rng(5)
    packing = pack(rng, composite, np.array([16.0, 18.0, 19.6]), (0.5, 0.6, 0.7))
    places = np.stack(np.indices((32, 30, 28)), axis=-1) + 0.5
    places = places * (0.5, 0.6, 0.7)
    depth = np.stack(
        [
            radius - np.linalg.norm(places - centre, axis=-1)
            for centre, radius in zip(packing.centres, packing.bodies.radii, strict=True)
        ]
    )
    inside = sample.phases == 1
    deepest = depth.argmax(axis=0)[inside]
    pairs = np.unique(np.stack([deepest, sample.channels["particle"][inside].astype(int)]), axis=1)
    assert pairs.shape[1] == np.unique(pairs[0]).size == np.unique(pairs[1]).size
    assert depth.max(axis=0)[inside].min() >= depth.max(axis=0)[~inside].max() - 1e-5


def test_separation_finds_the_particles():
    sample = cathode(shape=(96, 96, 96), spacing=(0.25,) * 3)
    truth = sample.channels["particle"]
    found = particles.separate(sample.phases, spacing=sample.spacing, labels=[1])
    assert adjusted_rand_score(truth[truth > 0], found[truth > 0]) > 0.96


def test_carbon_prefers_surfaces_as_strongly_as_asked():
    """The mean distance of carbon to a particle, over that of all between particles, falls with the bias."""
    ratios = []
    for bias in (-1.0, 0.0, 1.0, 3.0):
        sample = cathode({"fill": {"carbon": {"bias": bias, "fraction": 0.08}}})
        away = ndimage.distance_transform_edt(sample.phases != 1, sampling=sample.spacing)
        ratios.append(away[sample.phases == 3].mean() / away[sample.phases != 1].mean())
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[1] == pytest.approx(1, abs=0.1)
    assert ratios[0] > 1.3
    assert ratios[3] < 0.6


@pytest.mark.parametrize("axis", [0, 2])
def test_gradients_run_along_their_axis(axis):
    changes = active(gradient=-0.4) | {"axis": "zyx"[axis], "fill": {"carbon": {"gradient": 1.2}}}
    sample = cathode(changes, (72, 72, 72))
    others = tuple(a for a in range(3) if a != axis)
    position = (np.arange(72) + 0.5) / 72 - 0.5
    for label, fraction, gradient in ((1, 0.55, -0.4), (3, 0.05, 1.2)):
        planes = (sample.phases == label).mean(axis=others)
        assert planes.mean() == pytest.approx(fraction, abs=1e-5)
        assert np.polyfit(position, planes / fraction, 1)[0] == pytest.approx(gradient, abs=0.15)


def test_two_kinds_have_gradients_of_their_own():
    composite = synth.Composite.load(
        "solid_oxide_electrode", {"particles": {"Ni": {"gradient": 0.8}, "YSZ": {"gradient": -0.4}}}
    )
    sample = synth.make(composite, (64, 48, 48), (0.1,) * 3)
    position = (np.arange(64) + 0.5) / 64 - 0.5
    for name, gradient in (("Ni", 0.8), ("YSZ", -0.4)):
        planes = (sample.phases == sample.materials[name].label).mean(axis=(1, 2))
        fraction = composite.particles[name].fraction
        assert planes.mean() == pytest.approx(fraction, abs=1e-5)
        assert np.polyfit(position, planes / fraction, 1)[0] == pytest.approx(gradient, abs=0.2)


def test_cracks_are_void_inside_particles_that_stay_one(made):
    cracked = cathode({"cracks": {"share": 0.5, "width": 0.9, "length": 1.0}})
    for label in range(4):
        assert (cracked.phases == label).sum() == (made.phases == label).sum()
    particle = cracked.channels["particle"].astype(int)
    pieces = [
        ndimage.label(particle[box] == i + 1)[0] for i, box in enumerate(ndimage.find_objects(particle))
    ]
    largest = [np.sort(np.bincount(piece.ravel())[1:])[::-1] for piece in pieces]
    torn = sum(sizes.size > 1 and sizes[1] > 0.15 * sizes[0] for sizes in largest)
    assert torn > 0.2 * len(pieces)
    assert torn == pytest.approx(0.5 * len(pieces), abs=0.35 * len(pieces))
    assert not particle[cracked.phases == 0].any()


def test_particles_may_be_kept_whole():
    particle = cathode({"cut": False, "particles": {"active": {"fraction": 0.5}}}).channels["particle"]
    assert all(not np.moveaxis(particle, axis, 0)[[0, -1]].any() for axis in range(3))


def test_images_look_like_measurements():
    changes = {"imaging": {"photons": 400, "blur": 0.4}}
    sample = cathode(changes, imaging=True)
    assert all(channel.dtype == np.float32 for channel in sample.channels.values())
    grey, chemical, state = (sample.channels[name] for name in ("grey", "chemical", "state"))
    deep = ndimage.binary_erosion(sample.phases == 1, iterations=4)
    assert grey[deep].mean() == pytest.approx(1.0, abs=0.01)
    assert grey[deep].std() == pytest.approx(1 / 20, rel=0.1)  # Poisson of 400
    clean = cathode({"imaging": {"photons": 0, "blur": 0}}, imaging=True)
    np.testing.assert_array_equal(np.unique(clean.channels["grey"]), np.float32([0.15, 0.3, 0.6, 1.0]))
    np.testing.assert_array_equal(np.isnan(clean.channels["chemical"]), clean.phases != 1)
    inside = clean.phases == 1
    np.testing.assert_allclose(clean.channels["chemical"][inside], clean.channels["state"][inside], atol=1e-6)
    assert np.isnan(chemical[sample.phases == 0]).mean() > 0.6
    assert np.isfinite(chemical[deep]).all()
    assert (chemical - state)[deep].std() == pytest.approx(0.5 / 20, rel=0.4)
    assert np.polyfit(np.nonzero(inside)[0] / 64, state[inside], 1)[0] == pytest.approx(0.3, abs=0.15)
    assert not state[~inside].any()


def test_further_channels_have_their_own_contrast_and_change_nothing_else(made):
    changes = {"imaging": {"channels": {"absorption": {"photons": 0, "blur": 0}}}}
    sample = cathode(changes, channels=["absorption", "phase_contrast"])
    np.testing.assert_array_equal(sample.phases, made.phases)
    grey = sample.channels["absorption"]
    assert set(np.unique(grey)) == set(np.float32([0.1, 0.15, 0.55, 1.0]))
    contrast = sample.channels["phase_contrast"]
    carbon, void = (ndimage.binary_erosion(sample.phases == label) for label in (3, 0))
    assert contrast[carbon].mean() > contrast[void].mean() + 0.1
    again = cathode(changes, channels=["phase_contrast"])
    np.testing.assert_array_equal(again.channels["phase_contrast"], contrast)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.booleans())
def test_the_largest_values_are_found_whatever_the_ties(seed, count, ties):
    rng = np.random.default_rng(seed)
    field = rng.standard_normal((5, 4, 6)).astype(np.float32)
    if ties:
        field = np.round(field).astype(np.float32)
    field[rng.random(field.shape) < 0.2] = -np.inf
    phases = (rng.random(field.shape) < 0.3).astype(np.uint8)
    count = min(count, np.count_nonzero(phases == 0))
    expected = phases.copy().ravel()
    order = np.argsort(-field.ravel(), kind="stable")
    taken = order[phases.ravel()[order] == 0][:count]
    expected[taken] = 7
    if count:
        least = _synth.raise_top(field, phases, 0, 7, count)
        assert least == field.ravel()[taken[-1]]
    np.testing.assert_array_equal(phases.ravel(), expected)


@pytest.mark.parametrize("length", [0.2, 0.9, 2.5])
def test_random_fields_have_their_correlation_length(length):
    field = gaussian_field(np.random.default_rng(1), (96, 80, 100), (0.5, 0.4, 0.3), length, 2.0)
    assert field.std() == pytest.approx(2.0, rel=0.12)
    for axis, size in enumerate((0.5, 0.4, 0.3)):
        step = max(1, round(length / size))
        a = np.moveaxis(field, axis, 0)
        correlation = np.corrcoef(a[step:].ravel(), a[:-step].ravel())[0, 1]
        if length > 2 * size:
            assert correlation == pytest.approx(np.exp(-((step * size / length) ** 2) / 4), abs=0.06)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (active(fraction=0.9), "add up to more than 1"),
        (active(fraction=-0.1), "fraction is -0.1; expected a volume fraction"),
        (active(shape="cube"), "shape of particles is 'cube'; use one of sphere, ellipsoid, polyhedron"),
        (active(diameter=-3.0), "diameter is -3.0; expected a positive number of µm"),
        (active(diameter="wide"), "diameter is 'wide'"),
        (active(spread=-0.2), "spread is -0.2"),
        (active(diamter=3.0), "particles.active has no setting diamter"),
        ({"fill": {"carbon": {"grain": 0.0}}}, "grain is 0.0"),
        ({"fill": {"gold": {"grain": 1.0, "fraction": 0.1}}}, "there is no phase 'gold'"),
        ({"fill": {"carbon": {"gradient": 3}}}, "gradient is 3"),
        (active(fraction=0.84, gradient=2.0), "at a face"),
        ({"rest": "void"}, "phase 'void' stands twice"),
        ({"overlap": 0.9}, "overlap is 0.9"),
        ({"axis": "w"}, "axis is 'w'"),
        ({"cut": "no"}, "cut is 'no'"),
        ({"particles": 3}, "particles is 3"),
        ({"cracks": {"share": 0.1, "phase": "active"}}, "cracks are of 'active'; they can be of carbon"),
        ({"cracks": {"share": 2}}, "cracks.share is 2"),
        ({"imaging": {"photons": -1}}, "imaging.photons is -1"),
        ({"imaging": {"channels": {"absorption": {"shift": [1, 2]}}}}, "shift of a channel is"),
        ({"imaging": {"channels": {"absorption": {"stretch": [1, 1, 9]}}}}, "stretch of a channel is 9"),
        ({"imaging": {"channels": {"absorption": {"photon": 9}}}}, "absorption has no setting photon"),
    ],
)
def test_what_cannot_be_is_said(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        synth.Composite.load("solid_state_cathode", changes)


@pytest.mark.parametrize(
    ("changes", "how", "sentence"),
    [
        ({}, {"shape": (8, 64, 64)}, "three sizes of at least 16"),
        ({}, {"shape": 64}, "three sizes of at least 16"),
        ({}, {"seed": -1}, "seed is -1"),
        ({}, {"spacing": (2, 2, 2)}, "at least 4 voxels per diameter"),
        (active(diameter=30.0), {}, "too small for the particles of 'active'"),
        (active(diameter=9.0) | {"cut": False}, {}, "to keep the largest of them whole"),
        (active(fraction=0.84) | {"overlap": 0.0}, {}, "cannot be packed to a volume fraction of 0.84"),
        ({"cracks": {"share": 1, "width": 3}}, {}, "the cracks take"),
        ({"imaging": {"grey": {"gold": 1}}}, {"imaging": True}, "imaging.grey names 'gold'"),
        ({}, {"channels": ["neutrons"]}, "no channel 'neutrons' in imaging.channels; there are absorption"),
        ({}, {"channels": "absorption"}, "expected a list of names"),
        (
            {"imaging": {"channels": {"absorption": {"shift": [1, 0, 0]}}}},
            {"channels": ["absorption"]},
            "lies on a grid of its own",
        ),
    ],
)
def test_what_does_not_fit_is_said(changes, how, sentence):
    with pytest.raises(InputError, match=sentence):
        cathode(changes, **how)


def test_what_is_not_there_is_said():
    with pytest.raises(InputError, match="there is no composite 'cheese'; use one of lithium_ion_cathode"):
        synth.make("cheese")
    with pytest.raises(MaterialsError, match="no materials named 'gold'"):
        synth.Composite.load("solid_state_cathode", {"materials": "gold"})


def test_a_composite_changes():
    composite = synth.Composite.load("lithium_ion_cathode").changed(active(fraction=0.6))
    assert composite == synth.Composite.load("lithium_ion_cathode", active(fraction=0.6))


def test_from_the_command_line(tmp_path, capsys):
    words = ["synth", f"output={tmp_path}/a.zarr", "synth=lithium_ion_cathode", "shape=[40,36,32]", "seed=2"]
    assert cli.main([*words, "synth.particles.active.fraction=0.6", "imaging=true"]) == 0
    assert capsys.readouterr().out.strip() == f"{tmp_path}/a.zarr"
    expected = synth.make(
        synth.Composite.load("lithium_ion_cathode", active(fraction=0.6)), (40, 36, 32), seed=2, imaging=True
    )
    sample = io.read(tmp_path / "a.zarr", materials="lithium_ion_cathode")
    np.testing.assert_array_equal(sample.phases, expected.phases)
    assert sample.spacing == (0.4, 0.4, 0.4)
    assert {path.name for path in (tmp_path / "a.zarr" / "channels").iterdir() if path.is_dir()} == {
        "particle",
        "grey",
        "chemical",
        "state",
    }
    assert cli.main([f"{word}" for word in [*words, "overwrite=true", "synth.overlap=0.9"]]) == 1
    assert "overlap is 0.9" in capsys.readouterr().err
