"""Local activity: slabs and porous electrodes with known answers, balances, and why particles are dead."""

import math
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from array_api_compat import is_cupy_array
from scipy.ndimage import gaussian_filter

import emulator
import refinement
from tripoint import levels
from tripoint._cuda import memory
from tripoint._cuda.boundary import pairs
from tripoint._cuda.transport import aggregates
from tripoint.errors import ConvergenceError, InputError
from tripoint.materials import Materials
from tripoint.transport import Kinetics, activity, regimes, tortuosity

ION, ACTIVE, CARBON, VOID = 0, 1, 2, 3


def materials(**conductivity):
    """Return materials whose terminals are z- for ions and z+ for electrons."""
    given = {"ion": 1.0, "active": 1.0, "carbon": 100.0} | conductivity
    return Materials.from_mapping(
        {
            "phases": {
                "electrolyte": {"label": 0, "conducts": ["ion"], "conductivity": {"ion": given["ion"]}},
                "active": {
                    "label": 1,
                    "conducts": ["electron"],
                    "active": True,
                    "particulate": True,
                    "conductivity": {"electron": given["active"]},
                },
                "carbon": {
                    "label": 2,
                    "conducts": ["electron"],
                    "conductivity": {"electron": given["carbon"]},
                },
                "void": {"label": 3},
            },
            "junctions": [["electrolyte", "active", "void"]],
            "terminals": {"ion": "z-", "electron": "z+"},
        }
    )


def composite(shape=(24, 20, 22), seed=0):
    """Return phases and regions of a random composite; regions are 6-connected pieces of each phase."""
    import cc3d

    rng = np.random.default_rng(seed)
    fields = [gaussian_filter(rng.normal(size=shape), 1.5) for _ in range(2)]
    phases = np.where(fields[0] > 0, ACTIVE, ION).astype(np.uint8)
    phases[fields[1] > np.quantile(fields[1], 0.85)] = CARBON
    phases[fields[1] < np.quantile(fields[1], 0.1)] = VOID
    regions = cc3d.connected_components(phases + 1, connectivity=6, out_dtype=np.uint32).astype(np.int32)
    return phases, regions


def solved(backend, phases, given, kinetics, spacing=(1, 1, 1), regions=None, **options):
    """Return the activity of volumes that are put on a backend, its potentials on the host."""
    found = activity(backend.put(phases), given, kinetics, spacing, backend.put(regions), **options)
    potentials = found.ion_potential, found.electron_potential
    assert [is_cupy_array(volume) for volume in potentials] == [backend.name == "cuda"] * 2
    ion, electron = map(backend.get, potentials)
    return replace(found, ion_potential=ion, electron_potential=electron)


def checked(found, tolerance=1e-6):
    """Assert the balance of currents and return the activity."""
    assert found.imbalance <= tolerance
    return found


@pytest.mark.parametrize("spacing", [(0.4, 0.4, 0.4), (0.25, 0.5, 1.0)])
def test_slab_with_a_planar_interface(backend, spacing):
    phases = np.zeros((30, 6, 5), np.uint8)
    phases[12:] = ACTIVE
    kinetics = Kinetics(exchange=3e5)
    found = checked(solved(backend, phases, materials(ion=0.2, active=0.05), kinetics, spacing))
    # A plane's Crofton area is not its face area; the scale is the one that contacts have.
    from tripoint.boundary import contacts

    area = float(contacts((phases + 1).astype(np.int32), spacing).table["area"].iloc[0])
    face = 30 * spacing[1] * spacing[2]
    length = spacing[0] * 1e-6
    resistance = 12 * length / 0.2 / (face * 1e-12) + 1 / (3e5 * area * 1e-12)
    resistance += 18 * length / 0.05 / (face * 1e-12)
    assert found.current == pytest.approx(1e6 / resistance, rel=1e-6)
    assert found.table["activity"].tolist() == [1.0]


def test_porous_electrode_follows_hyperbolic_functions(backend):
    # Alternating columns of electrolyte and active material, thin against the length: a porous electrode of
    # one dimension. d²η/dx² = η/λ² with λ² = 1 / (a g (1/κ + 1/s)).
    n, h = 200, 0.5
    phases = np.zeros((n, 2, 2), np.uint8)
    phases[:, 0, 1] = phases[:, 1, 0] = ACTIVE
    spacing, kappa, sigma, g = (h, h, h), 0.1, 0.02, 40.0
    regions = np.ones(phases.shape, np.int32)
    cut = 20
    regions[phases == ACTIVE] = 2 + (np.indices(phases.shape)[0][phases == ACTIVE] // cut)
    kinetics = Kinetics(exchange=g)
    found = checked(solved(backend, phases, materials(ion=kappa, active=sigma), kinetics, spacing, regions))
    # Four faces along y and x per plane; charge transfer in series with half a voxel on either side.
    from tripoint.boundary import contacts

    table = contacts(regions, spacing).table
    table = table[table["source"] == 1]
    scale = float((table["area"] / (table["faces"] * h * h)).mean())
    face = 1 / (1 / (g * 1e-6 * scale * h * h) + 0.5 / h * (1 / kappa + 1 / sigma))
    per_length = 4 * face / h  # S·µm/m per µm
    k, s = kappa * 2 * h * h, sigma * 2 * h * h
    decay = math.sqrt(per_length * (1 / k + 1 / s))
    length = n * h
    # Ions enter at 0, electrons leave at L: η = A cosh + B sinh with η' = -I/k at 0 and I/s at L.
    positions = np.arange(0, n + 1, cut) * h
    share_a = (math.cosh(decay * length) / k + 1 / s) / (decay * math.sinh(decay * length))

    def eta(x):
        return share_a * np.cosh(decay * x) - np.sinh(decay * x) / (k * decay)

    def primitive(x):
        return share_a * np.sinh(decay * x) / decay - (np.cosh(decay * x) - 1) / (k * decay * decay)

    expected = per_length * np.diff(primitive(positions))
    assert expected.sum() == pytest.approx(1, rel=1e-9)
    measured = found.table["reaction_current"].to_numpy() / found.current
    np.testing.assert_allclose(measured, expected, rtol=0.02)
    # The drop from terminal to terminal per current, by the potential along either path.
    drop = eta(0.0) + (length - _ion_share(primitive, per_length, positions, length)) / s
    assert found.current == pytest.approx(1 / drop, rel=0.02)


def _ion_share(primitive, per_length, positions, length):
    """Return the integral over x of the current that the ions still carry, per current."""
    x = np.linspace(0, length, 20001)
    return float(np.trapezoid(1 - per_length * primitive(x), x))


@pytest.mark.parametrize("regime", [name for name in regimes() if name != "fuel_electrode"])
def test_currents_balance_in_every_regime(backend, regime):
    phases, regions = composite()
    found = checked(solved(backend, phases, materials(), Kinetics.load(regime), (0.4,) * 3, regions))
    assert found.table["reaction_current"].sum() == pytest.approx(found.current, rel=1e-6)
    weights = found.table["volume"] / found.table["volume"].sum()
    assert float((weights * found.table["activity"]).sum()) == pytest.approx(1, rel=1e-6)
    assert np.nanmax(found.ion_potential) <= 1 + 1e-6
    assert np.nanmin(found.electron_potential) >= -1e-6


def test_dead_particles_are_exactly_zero_with_the_reason(backend):
    phases = np.full((20, 12, 12), VOID, np.uint8)
    phases[:, :4] = ION
    phases[4:, 4:8, :4] = ACTIVE  # lives
    phases[2:6, 4:8, 6:9] = ACTIVE  # touches ions, no electrons
    phases[8:, 8:, 9:] = ACTIVE  # electrons, no interface
    phases[12:, 6:8, 9:] = VOID
    phases[10:14, 8:10, 5:7] = ION  # an island of electrolyte on a particle that has electrons
    phases[10:, 10:, 5:7] = ACTIVE
    import cc3d

    regions = cc3d.connected_components(phases + 1, connectivity=6, out_dtype=np.uint32).astype(np.int32)
    found = solved(backend, phases, materials(), Kinetics(), (0.4,) * 3, regions)
    dead = found.table[found.table["inactive_because"] != ""]
    assert sorted(dead["inactive_because"]) == ["no electron path", "no interface", "no ion path"]
    assert (dead["activity"] == 0).all()
    assert (found.table["activity"] > 0).sum() == 1
    assert found.summary()["by_reason"] == {"no electron path": 1, "no interface": 1, "no ion path": 1}


def test_refining_the_mesh_changes_little():
    kinetics = replace(Kinetics.load("mixed"), boundary_factor=1.0)
    found = [
        activity(phases, refinement.MATERIALS, kinetics, spacing, regions)
        for phases, regions, spacing in refinement.same_structure()
    ]
    currents = [one.table["reaction_current"].to_numpy() for one in found]
    assert currents[1].sum() == pytest.approx(currents[0].sum(), rel=0.05)
    np.testing.assert_allclose(currents[1], currents[0], atol=0.08 * currents[0].max())


def test_boundaries_between_particles_resist(backend):
    phases = np.zeros((20, 4, 4), np.uint8)
    phases[4:] = ACTIVE
    regions = np.ones(phases.shape, np.int32)
    regions[4:12], regions[12:] = 2, 3
    plain = Kinetics(exchange=1e9)
    factor = Kinetics(exchange=1e9, boundary_factor=0.1, voxel_size=0.4)
    without, with_it = (
        solved(backend, phases, materials(), k, (0.4,) * 3, regions).current for k in (plain, factor)
    )
    # One face of ten times the resistance: nine voxels more of active material.
    area = (4 * 0.4) ** 2
    assert 1 / with_it - 1 / without == pytest.approx(9 * 0.4 / area, rel=1e-3)


def test_enhancement_near_carbon(backend):
    phases = np.zeros((12, 6, 40), np.uint8)
    phases[6:] = ACTIVE
    phases[6:, :, :1] = CARBON
    kinetics = Kinetics(exchange=1.0, enhancement_length=2.0, enhancement_floor=0.05)
    regions = np.ones(phases.shape, np.int32)
    regions[phases == CARBON] = 2
    columns = np.indices(phases.shape)[2]
    regions[phases == ACTIVE] = 3 + columns[phases == ACTIVE]
    found = solved(backend, phases, materials(), kinetics, (1, 1, 1), regions)
    table = found.table.set_index("region")["reaction_current"]
    far = table.loc[41]
    ratio = (table.loc[10] - far) / (table.loc[9] - far)
    assert ratio == pytest.approx(math.exp(-1 / 2.0), rel=0.05)


def test_butler_volmer_is_linear_at_small_and_quicker_at_large_voltage(backend):
    phases, regions = composite((14, 12, 12), 2)
    kinetics = Kinetics.load("kinetics_limited")
    arguments = phases, materials(), kinetics, (0.4,) * 3, regions
    linear = checked(solved(backend, *arguments, voltage=1e-3))
    small = checked(solved(backend, *arguments, voltage=1e-3, nonlinear=True))
    assert small.current == pytest.approx(linear.current, rel=1e-3)
    large = checked(solved(backend, *arguments, voltage=0.5, nonlinear=True))
    assert large.current > 505 * linear.current
    assert large.newton_steps > 1


def test_butler_volmer_on_one_interface(backend):
    phases = np.zeros((10, 3, 3), np.uint8)
    phases[5:] = ACTIVE
    kinetics = Kinetics(exchange=1e4)
    found = checked(solved(backend, phases, materials(), kinetics, voltage=0.3, nonlinear=True))
    linear = solved(backend, phases, materials(), kinetics)
    bulk = 10 / 9.0  # µm·m/S of ten voxels of 1 S/m on nine faces
    g = 1 / (1 / linear.current - bulk)
    eta = 0.3 - found.current * bulk
    thermal = kinetics.thermal_voltage
    assert found.current == pytest.approx(2 * g * thermal * math.sinh(eta / 2 / thermal), rel=1e-5)


def test_junctions_conduct_by_their_length(backend):
    phases = np.full((16, 8, 30), VOID, np.uint8)
    phases[:8, :4] = ION
    phases[8:, :4] = ACTIVE
    kinetics = Kinetics(reaction="junction", exchange=1e-9)  # so slow that nothing else matters
    found = checked(solved(backend, phases, materials(), kinetics))
    assert found.current == pytest.approx(30 * 1e-9, rel=0.02)
    assert found.table["inactive_because"].tolist() == [""]


def test_junctions_without_gas_are_dead(backend):
    names = {"pore": 3, "YSZ": 0, "Ni": 1}
    given = {
        "phases": {
            "pore": {"label": names["pore"], "conducts": ["gas"]},
            "YSZ": {"label": names["YSZ"], "conducts": ["ion"]},
            "Ni": {"label": names["Ni"], "conducts": ["electron"], "active": True},
        },
        "junctions": [["pore", "YSZ", "Ni"]],
        "terminals": {"ion": "z-", "electron": "z+", "gas": "z+"},
    }
    phases = np.zeros((16, 10, 10), np.uint8)
    phases[8:] = 1
    phases[6:10, 4:6, 4:6] = 3
    found = solved(backend, phases, Materials.from_mapping(given), Kinetics.load("fuel_electrode"))
    assert found.table["inactive_because"].tolist() == ["no gas path"]
    assert found.current == pytest.approx(0, abs=1e-12)
    phases[6:, 4:6, 4:6] = 3
    found = checked(solved(backend, phases, Materials.from_mapping(given), Kinetics.load("fuel_electrode")))
    assert found.current > 0


def test_real_cathode(large_backend, nmc_cathode):
    phases = np.ascontiguousarray(nmc_cathode[:60, 100:150, 100:150])
    found = solved(
        large_backend, phases, Materials.load("lithium_ion_cathode"), Kinetics.load("mixed"), (0.398,) * 3
    )
    checked(found)
    assert found.iterations < 150


def test_bad_input(backend):
    phases, regions = composite((10, 10, 10))
    good, kinetics = materials(), Kinetics()
    bare = Materials.load("lithium_ion_cathode")
    with pytest.raises(InputError, match="no conductivity"):
        solved(backend, np.clip(phases, 0, 2), bare, kinetics)
    with pytest.raises(InputError, match="touches no ion conductor"):
        solved(
            backend, np.where(np.arange(10)[:, None, None] < 2, VOID, phases).astype(np.uint8), good, kinetics
        )
    with pytest.raises(InputError, match="expected the same"):
        solved(backend, phases, good, kinetics, regions=regions[:5])
    with pytest.raises(ConvergenceError, match="residual is"):
        solved(backend, phases, good, kinetics, limit=1)
    with pytest.raises(InputError, match="positive"):
        Kinetics(exchange=0)
    with pytest.raises(InputError, match="share"):
        Kinetics(boundary_factor=2)
    with pytest.raises(InputError, match="unknown keys"):
        Kinetics.load({"exchanges": 1})
    with pytest.raises(InputError, match="no regime"):
        Kinetics.load("nothing")
    no_triple = replace(good, junctions=(("active", "carbon", "void"),))
    with pytest.raises(InputError, match="none of the junctions"):
        solved(backend, phases, no_triple, Kinetics(reaction="junction"))
    mixed = {"phases": {"a": {"label": 1, "conducts": ["ion", "electron"], "active": True}}}
    mixed["terminals"] = {"ion": "z-", "electron": "z+"}
    with pytest.raises(InputError, match="at once"):
        solved(backend, np.ones((4, 4, 4), np.uint8), Materials.from_mapping(mixed), kinetics)


def test_every_regime_loads():
    assert {"mixed", "tpb_enhanced", "kinetics_limited", "ion_limited", "electron_limited"} <= set(regimes())
    assert all(Kinetics.load(name).name == name for name in regimes())


def assert_same(found, expected):
    """Assert that an activity is the other one, up to rounding and what either solver left."""
    for column in ("region", "phase", "inactive_because"):
        assert found.table[column].tolist() == expected.table[column].tolist()
    np.testing.assert_array_equal(found.table["volume"], expected.table["volume"])
    scale = abs(expected.table["activity"]).max()
    np.testing.assert_allclose(
        found.table["activity"], expected.table["activity"], rtol=1e-5, atol=1e-6 * scale
    )
    assert ((found.table["activity"] == 0) == (expected.table["activity"] == 0)).all()
    for name in ("current", "current_in", "current_out", "reaction"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-6)
    for name in ("ion_potential", "electron_potential"):
        one, other = getattr(found, name), getattr(expected, name)
        np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    assert found.iterations <= 1.5 * expected.iterations + 3


@pytest.mark.parametrize("nonlinear", [False, True])
@pytest.mark.parametrize("regime", ["mixed", "tpb_enhanced"])
def test_both_sides_agree(gpu, monkeypatch, regime, nonlinear):
    monkeypatch.setattr(levels, "DIRECT", 300)
    phases, regions = composite((18, 16, 17), 3)
    given = materials(), Kinetics.load(regime), (0.4, 0.4, 0.5)
    options = {"voltage": 0.2, "nonlinear": nonlinear, "tolerance": 1e-9}
    expected = activity(phases, *given, regions, **options)
    assert_same(solved(gpu, phases, *given, regions, **options), expected)
    assert expected.newton_steps > 0 or not nonlinear


def test_both_sides_agree_along_junctions(gpu):
    phases, regions = composite((16, 18, 15), 4)
    given = materials(), Kinetics(reaction="junction", exchange=2e-7), (0.3, 0.4, 0.5)
    expected = activity(phases, *given, regions, tolerance=1e-9)
    assert expected.current > 0
    assert len(set(expected.table["inactive_because"])) > 1
    assert_same(solved(gpu, phases, *given, regions, tolerance=1e-9), expected)
    in_other_order = solved(gpu, np.asfortranarray(phases), *given, tolerance=1e-9)
    assert_same(in_other_order, activity(phases, *given, tolerance=1e-9))


def test_the_same_bits_in_another_order_of_threads(gpu, monkeypatch):
    monkeypatch.setattr(levels, "DIRECT", 100)
    phases, regions = composite((12, 12, 14), 5)
    given = phases, materials(), Kinetics.load("mixed"), (0.4,) * 3, regions
    once = solved(gpu, *given)
    with gpu.reversed_threads():
        again = solved(gpu, *given)
    pd.testing.assert_frame_equal(again.table, once.table, check_exact=True)
    np.testing.assert_array_equal(again.ion_potential, once.ion_potential)


@pytest.mark.parametrize("order", ["forward", "reverse"])
def test_no_kernel_races(gpu, monkeypatch, order):
    if not gpu.emulated:
        pytest.skip("compute-sanitizer looks for races on a GPU")
    monkeypatch.setattr(levels, "DIRECT", 60)
    phases, regions = composite((9, 10, 11), 6)
    with emulator.order(order), emulator.races():
        found = solved(gpu, phases, materials(), Kinetics.load("mixed"), (0.4,) * 3, regions, nonlinear=True)
        along = solved(
            gpu, phases, materials(), Kinetics(reaction="junction", exchange=1e-7), regions=regions
        )
    assert found.current > 0
    assert along.imbalance <= 1e-6


def test_no_volume_comes_back_from_the_gpu(gpu, cp):
    """The same structure twice as fine: of eight times the voxels no larger copies are made."""
    if not gpu.emulated:
        pytest.skip("only the stand-in records every copy")
    volumes = composite((12, 14, 13), 7)
    largest = []
    for times in (1, 2):
        fine = np.ones((times,) * 3, np.int8)
        phases, regions = (gpu.put(np.kron(volume, fine).astype(volume.dtype)) for volume in volumes)
        cp.transfers.clear()
        activity(phases, materials(), Kinetics.load("mixed"), (0.4,) * 3, regions)
        activity(phases, materials(), Kinetics(reaction="junction", exchange=1e-7), (0.4,) * 3, regions)
        tortuosity(phases, (ION, ACTIVE), "z")
        largest.append(max(one.nbytes for one in cp.transfers if one.direction == "to_host"))
    assert largest[0] == largest[1] < volumes[0].size


def test_memory_on_the_gpu(gpu, cp, monkeypatch):
    """At most 100 bytes per voxel beyond phases and regions, by what a volume twice as long takes more."""
    monkeypatch.setattr(levels, "DIRECT", 100)
    monkeypatch.setattr(aggregates, "LEAST", 1 << 10)
    monkeypatch.setattr(pairs, "LEAST_ROOM", 1 << 8)
    volumes, peaks = composite((14, 16, 18), 8), []
    for times in (1, 2):
        phases, regions = (gpu.put(np.concatenate([volume] * times)) for volume in volumes)
        cp.get_default_memory_pool().free_all_blocks()
        before = cp.get_default_memory_pool().used_bytes()
        with memory.Gauge() as gauge:
            activity(phases, materials(), Kinetics.load("mixed"), (0.4,) * 3, regions)
        peaks.append((phases.size, gauge.peak_bytes - before))
    (few, low), (many, high) = peaks
    slope = (high - low) / (many - few)
    sys.stdout.write(f"\nactivity: {slope:.0f} bytes per voxel\n")
    assert slope <= 100


def test_regions_on_the_other_side_are_refused(gpu):
    phases, regions = composite((8, 8, 8))
    with pytest.raises(InputError, match="regions are on the host and the phases on the GPU"):
        activity(gpu.put(phases), materials(), Kinetics(), regions=regions)
    with pytest.raises(InputError, match="regions are on the GPU and the phases on the host"):
        activity(phases, materials(), Kinetics(), regions=gpu.put(regions))
