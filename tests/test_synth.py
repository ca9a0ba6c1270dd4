"""Synthetic composites: exact fractions, reproducible, true particles."""

import numpy as np
import pytest

from tripoint import InputError, synth


@pytest.fixture(scope="module")
def cathode():
    return synth.solid_state_cathode((64, 56, 48), (0.4, 0.4, 0.4), seed=3)


def test_fractions_are_exact(cathode):
    fractions = np.bincount(cathode.phases.ravel(), minlength=4) / cathode.phases.size
    np.testing.assert_allclose(fractions, [0.10, 0.50, 0.34, 0.06], atol=1e-5)


def test_the_seed_decides_every_voxel(cathode):
    again = synth.solid_state_cathode((64, 56, 48), (0.4, 0.4, 0.4), seed=3)
    np.testing.assert_array_equal(cathode.phases, again.phases)
    other = synth.solid_state_cathode((64, 56, 48), (0.4, 0.4, 0.4), seed=4)
    assert (cathode.phases != other.phases).mean() > 0.3


def test_true_particles_cover_the_active_material(cathode):
    particle = cathode.channels["particle"]
    np.testing.assert_array_equal(particle > 0, cathode.phases == cathode.materials["active"].label)
    assert len(np.unique(particle)) > 20


def test_carbon_sits_on_particles(cathode):
    """With a bias, a carbon voxel touches active material more often than an electrolyte voxel does."""
    active = cathode.phases == 1
    touching = np.zeros_like(active)
    touching[:-1] |= active[1:]
    touching[1:] |= active[:-1]
    assert touching[cathode.phases == 3].mean() > 1.3 * touching[cathode.phases == 2].mean()


def test_what_does_not_fit_is_said():
    with pytest.raises(InputError, match="sum below 1"):
        synth.Composite(active=0.9, carbon=0.2)
    with pytest.raises(InputError, match="three sizes of at least 16"):
        synth.solid_state_cathode((8, 64, 64))
    with pytest.raises(InputError, match="ask for less"):
        synth.solid_state_cathode(
            (48, 48, 48), composite=synth.Composite(active=0.85, carbon=0, void=0, overlap=-0.5)
        )
