from collections import Counter
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from grey import MATERIALS, composite, photographed
from tripoint import films, pipeline
from tripoint.errors import InputError
from tripoint.sample import Sample


def layers(*thick):
    """Planes across z, of phases 0, 1, 2 in turn."""
    column = np.repeat(np.arange(len(thick)) % 3, thick)
    return np.broadcast_to(column[:, None, None], (len(column), 6, 7)).astype(np.uint8).copy()


@pytest.mark.parametrize("thick", [1, 2, 3])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_layer_between_two_others_is_a_film_up_to_two_voxels(thick, axis):
    found = films.scan(np.moveaxis(layers(5, thick, 5), 0, axis).copy())
    assert found.fraction(1) == (1.0 if thick <= 2 else 0.0)
    assert found.runs.get((1, 0, 2), 0) == (42 if thick <= 2 else 0)
    assert found.fraction(0) == found.fraction(2) == 0.0


def test_a_layer_within_one_phase_is_no_film():
    phases = layers(5, 1, 5)
    phases[phases == 2] = 0
    assert films.scan(phases).films[1] == 0


def test_crossings_without_a_film_are_faces():
    phases = layers(4, 1, 4)
    phases[4, :3] = 2  # half of the film is gone
    found = films.scan(phases)
    assert found.faces[0, 2] == 21
    assert found.runs[1, 0, 2] == 21
    assert found.covered(1, 0, 2) == found.covered(1, 2, 0) == 0.5


def test_blocks_with_their_halo_add_up_to_the_whole():
    phases = composite()
    whole = films.scan(phases)
    assert whole.films[1] > 0
    for cut in (1, 7, 10):
        first = films.scan(phases[: cut + 2], within=(0, cut))
        low = max(cut - 2, 0)
        assert first + films.scan(phases[low:], within=(cut - low, len(phases) - low)) == whole


def test_slabs_are_the_same_as_one(monkeypatch):
    phases = composite()
    whole = films.scan(phases)
    monkeypatch.setattr(films, "SLAB", 3)
    assert films.scan(phases) == whole


def by_lines(phases, labels):
    """Count line by line, from the lengths of runs."""
    known = {int(label) for label in labels}
    thin = np.zeros(phases.shape, bool)
    runs, faces = Counter(), Counter()
    for axis in range(3):
        lines, marks = np.moveaxis(phases, axis, 2), np.moveaxis(thin, axis, 2)
        for where in np.ndindex(lines.shape[:2]):
            found = [(int(label), len(list(run))) for label, run in groupby(lines[where])]
            ends = np.cumsum([length for _, length in found])
            for k, (label, length) in enumerate(found):
                if k and {label, found[k - 1][0]} <= known:
                    faces[tuple(sorted((found[k - 1][0], label)))] += 1
                if 0 < k < len(found) - 1 and length <= 2:
                    around = {found[k - 1][0], found[k + 1][0]}
                    if len(around) == 2 and around | {label} <= known:
                        runs[(label, *sorted(around))] += 1
                        marks[where][ends[k] - length : ends[k]] = True
    voxels = {label: int((phases == label).sum()) for label in sorted(known & set(phases.flat))}
    return films.Films(voxels, {k: int(thin[phases == k].sum()) for k in voxels}, dict(runs), dict(faces))


@given(
    phases=arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=7), elements=st.integers(0, 4)),
    labels=st.sets(st.integers(0, 4)),
)
def test_films_are_those_of_the_lines(phases, labels):
    assert films.scan(phases, sorted(labels)) == by_lines(phases, labels)
    turned = phases.transpose(2, 0, 1)  # read in place
    assert films.scan(turned, sorted(labels)) == by_lines(turned, labels)


def test_rotation_changes_nothing():
    phases = composite((18, 18, 18))
    assert films.scan(np.rot90(phases, axes=(0, 2)).copy()).films == films.scan(phases).films


def test_thresholds_of_blurred_grey_values_are_told_and_the_true_phases_are_not():
    phases = composite(size=6.0)
    grey = photographed(phases, noise=0)
    found = np.digitize(grey, [16_000, 28_000]).astype(np.uint8)
    (warning,) = films.scan(found).warnings(MATERIALS)
    assert warning.startswith("middle forms films")
    assert films.scan(phases).warnings(MATERIALS) == []


def test_a_single_thin_spot_is_no_warning():
    """Of two phases that touch nowhere else it is all crossings, and next to nothing of the third."""
    phases = np.repeat(np.array([0, 1, 2], np.uint8), 20)[:, None, None] * np.ones((1, 40, 40), np.uint8)
    phases[20:38, 10, 10:12] = 0
    found = films.scan(phases)
    assert found.covered(1, 0, 2) == 1.0
    assert found.warnings(MATERIALS) == []
    phases[20:38, 5:35, 5:35] = 0
    (warning,) = films.scan(phases).warnings(MATERIALS)
    assert "100% of the crossings" in warning


def test_a_few_voxels_of_a_phase_are_no_warning():
    phases = layers(5, 5, 5)
    phases[phases == 1] = 0
    phases[10, 2:4, 2:4] = 1
    assert films.scan(phases).fraction(1) > films.SUSPICIOUS
    assert films.scan(phases).warnings(MATERIALS) == []


@pytest.mark.parametrize(("normal", "counted"), [((1, 0, 0), True), ((0, 1, 1), False), ((1, 1, 1), False)])
def test_films_are_looked_for_along_the_axes_only(normal, counted):
    across = np.einsum("i,ijkl->jkl", np.array(normal) / np.linalg.norm(normal), np.indices((30, 30, 30)))
    phases = np.digitize(across, [14.5, 16.5]).astype(np.uint8)
    assert (films.scan(phases).fraction(1) > 0.5) == counted


def test_labels_that_are_no_phase_end_no_film():
    phases = layers(5, 1, 5)
    assert films.scan(phases, labels=(1, 2)).runs == {}


def test_what_is_no_volume_of_phases_is_refused():
    with pytest.raises(InputError):
        films.scan(np.zeros((3, 3, 3), np.float32))
    with pytest.raises(InputError, match="slices 2 to 9"):
        films.scan(np.zeros((3, 3, 3), np.uint8), within=(2, 9))


@pytest.mark.parametrize("labels", [None, (0, 2), (2, 1, 0)])
def test_both_sides_find_the_same(backend, labels):
    phases = composite((12, 20, 22))
    found = films.scan(phases, labels, within=(1, 9))
    assert films.scan(backend.put(phases), labels, within=(1, 9)) == found
    assert films.scan(backend.put(phases).transpose(2, 1, 0)[::2], labels) == films.scan(
        phases.transpose(2, 1, 0)[::2], labels
    )


def test_kernels_of_many_phases(backend):
    phases = np.random.default_rng(0).integers(0, 40, (6, 9, 11), np.uint8).repeat(2, axis=1)
    assert films.scan(backend.put(phases)) == by_lines(phases, range(40))


def test_an_analysis_warns_of_films():
    phases = composite(size=6.0)
    found = np.digitize(photographed(phases, noise=0), [16_000, 28_000]).astype(np.uint8)
    told = [pipeline.analyze(Sample(one, 1.0, MATERIALS), device="cpu").summary for one in (found, phases)]
    assert any("middle forms films" in warning for warning in told[0]["warnings"])
    assert not any("forms films" in warning for warning in told[1]["warnings"])
    crossings = told[0]["films"]["middle"]["crossings"]
    assert crossings["phases"] == ["dark", "bright"]
    assert crossings["covered"] > 0.25
