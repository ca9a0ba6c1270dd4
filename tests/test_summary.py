"""Every figure of summary.json against a value worked out by hand or by plain NumPy, and every warning."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy import ndimage, stats

import tripoint
from tripoint import Sample, representativity
from tripoint.boundary import crofton
from tripoint.pipeline import STEPS
from tripoint.record import RunRecord
from tripoint.report import sections
from tripoint.representativity import Interval, Representativity

SPACING = (0.5, 0.4, 0.25)
VOXEL = 0.5 * 0.4 * 0.25
VOID, ACTIVE, ELECTROLYTE, CARBON, BINDER = 7, 128, 3, 255, 64
NAMES = {3: "electrolyte", 7: "void", 64: "binder", 128: "active", 255: "carbon"}
MATERIALS = {
    "name": "bars",
    "phases": {
        "void": {"label": VOID, "regions": "components"},
        "active": {"label": ACTIVE, "conducts": ["electron"], "particulate": True, "active": True},
        "electrolyte": {"label": ELECTROLYTE, "conducts": ["ion"], "regions": "components"},
        "carbon": {"label": CARBON, "conducts": ["electron"], "regions": "components"},
        "binder": {"label": BINDER, "regions": "components"},
    },
    "junctions": [
        ["active", "electrolyte", "void"],
        ["electrolyte", "carbon", "void"],
        ["active", "electrolyte", "binder"],
    ],
    "terminals": {"ion": "z-", "electron": "z+"},
}

THREE = {
    "phases": {
        "pore": {"label": 0, "conducts": ["ion"], "regions": "components"},
        "active": {"label": 1, "conducts": ["electron"], "particulate": True},
        "binder": {"label": 2, "conducts": ["electron"], "regions": "components"},
    }
}


def bars():
    """Five pairs of bars along z, in void, and one lone voxel; each bar is 2 × 2 voxels thick.

    Active material and electrolyte side by side have two straight junctions with the void, where their
    common face ends. Bars that end in the volume end at binder, and so do their junctions; there active
    material, electrolyte and binder meet along a line of two voxels along y.

    ==== ======== ==========================================================================================
    x    z        what
    ==== ======== ==========================================================================================
    1    0 to 8   through: active
    6    0 to 5   binder above: no electrons, but another face is reached: unknown
    11   2 to 5   binder below and above: dead
    16   0 to 5   the active bar ends, binder above; electrolyte and a bar of carbon behind it go through.
                  In the middle four phases meet: unknown for active material, active for carbon
    21   0 to 8   two active bars with only an edge in common. That edge, between electrolyte and void, is a
                  triple-phase edge by count, but active material comes twice around it: it has no length
    ==== ======== ==========================================================================================
    """
    volume = np.full((8, 8, 27), VOID, np.uint8)
    for x, z0, z1 in ((1, 0, 8), (6, 0, 5), (11, 2, 5), (16, 0, 5), (21, 0, 8)):
        volume[z0:z1, 2:4, x : x + 2] = ACTIVE
    for x, z0, z1 in ((1, 0, 8), (6, 0, 5), (11, 2, 5), (16, 0, 8)):
        volume[z0:z1, 2:4, x + 2 : x + 4] = ELECTROLYTE
    for x, width, z0, z1 in ((6, 4, 5, 8), (11, 4, 1, 2), (11, 4, 5, 6), (16, 2, 5, 8)):
        volume[z0:z1, 2:4, x : x + width] = BINDER
    volume[:, 4:6, 18:20] = CARBON
    volume[:, 4:6, 21:23] = ELECTROLYTE
    volume[:, 4:6, 23:25] = ACTIVE
    volume[4, 6, 3] = ACTIVE
    return Sample(volume, SPACING, MATERIALS, name="bars")


@pytest.fixture(scope="module")
def sample():
    return bars()


@pytest.fixture(scope="module")
def result(sample):
    return tripoint.analyze(sample, device="cpu")


@pytest.fixture(scope="module")
def summary(result):
    return result.summary


def test_documented_keys(summary):
    assert list(summary) == [
        "schema",
        "tripoint",
        "sample",
        "junctions",
        "junctions_total",
        "interfaces",
        "active_area",
        "films",
        "percolation",
        "carriers",
        "utilization",
        "particles",
        "graph",
        "representativity",
        "materials",
        "run",
        "warnings",
    ]
    assert summary["schema"] == 1
    assert summary["tripoint"] == tripoint.__version__
    assert summary["materials"] == tripoint.Materials.load(MATERIALS).to_mapping()


def test_sample(summary):
    voxels = {"void": 1367, "active": 149, "electrolyte": 128, "carbon": 32, "binder": 52}
    labels = {name: label for label, name in NAMES.items()}
    assert summary["sample"] == {
        "name": "bars",
        "shape": [8, 8, 27],
        "spacing": [0.5, 0.4, 0.25],
        "phases": {
            name: {"label": labels[name], "voxels": n, "volume_fraction": pytest.approx(n / 1728)}
            for name, n in voxels.items()
        },
    }


def test_junctions(summary):
    """Straight lines along an axis: their length is exact, and so is the share of each status."""
    volume = 1728 * VOXEL
    with_void, with_carbon, with_binder = summary["junctions"]
    # two lines each in x = 1, 6, 11 and 16, three in x = 21, of which the one in the middle has no length
    edges = {"active": 2 * 8 + 3 * 8, "unknown": 2 * 5 + 2 * 5, "dead": 2 * 3}
    assert with_void == {
        "phases": ["active", "electrolyte", "void"],
        "edges": [66, 0, 0],
        "active_edges": [edges["active"], 0, 0],
        "unknown_edges": [edges["unknown"], 0, 0],
        "dead_edges": [edges["dead"], 0, 0],
        "raw_length": pytest.approx(66 * 0.5),
        "length": pytest.approx(58 * 0.5),
        "active_length": pytest.approx(32 * 0.5),
        "unknown_length": pytest.approx(20 * 0.5),
        "dead_length": pytest.approx(6 * 0.5),
        "raw_density": pytest.approx(66 * 0.5 / volume),
        "density": pytest.approx(58 * 0.5 / volume),
        "active_density": pytest.approx(32 * 0.5 / volume),
    }
    assert with_carbon == {
        "phases": ["electrolyte", "carbon", "void"],
        "edges": [16, 0, 0],
        "active_edges": [16, 0, 0],
        "unknown_edges": [0, 0, 0],
        "dead_edges": [0, 0, 0],
        "raw_length": pytest.approx(8.0),
        "length": pytest.approx(8.0),
        "active_length": pytest.approx(8.0),
        "unknown_length": 0,
        "dead_length": 0,
        "raw_density": pytest.approx(8 / volume),
        "density": pytest.approx(8 / volume),
        "active_density": pytest.approx(8 / volume),
    }
    # one line of two voxels along y above x = 6 and x = 16, two at x = 11
    assert with_binder == {
        "phases": ["active", "electrolyte", "binder"],
        "edges": [0, 8, 0],
        "active_edges": [0, 0, 0],
        "unknown_edges": [0, 4, 0],
        "dead_edges": [0, 4, 0],
        "raw_length": pytest.approx(8 * 0.4),
        "length": pytest.approx(8 * 0.4),
        "active_length": 0,
        "unknown_length": pytest.approx(4 * 0.4),
        "dead_length": pytest.approx(4 * 0.4),
        "raw_density": pytest.approx(3.2 / volume),
        "density": pytest.approx(3.2 / volume),
        "active_density": 0,
    }


def test_junctions_total_is_no_sum(summary):
    """Five edges belong to two junctions: they count once, and are active since one junction is."""
    volume = 1728 * VOXEL
    length = (58 + 16 - 5) * 0.5 + 8 * 0.4
    assert summary["junctions_total"] == {
        "edges": [66 + 16 - 5, 8, 0],
        "length": pytest.approx(length),
        "density": pytest.approx(length / volume),
        "active_edges": [40 + 16, 0, 0],
        "unknown_edges": [20 - 5, 4, 0],
        "dead_edges": [6, 4, 0],
        "active_length": pytest.approx((32 + 16) * 0.5),
        "active_density": pytest.approx((32 + 16) * 0.5 / volume),
    }


def test_lengths_are_worked_out_once(sample, monkeypatch):
    """The scan is given the edges that the junctions of the graph need anyway."""

    def again(*_, **__):
        pytest.fail("the edges are listed a second time")

    monkeypatch.setattr("tripoint.boundary.length.junction_edges", again)
    assert tripoint.analyze(sample, device="cpu").summary["junctions_total"]["length"] > 0


def test_interfaces(sample, summary):
    volume = sample.volume
    ions = connected(sample.phases, (ELECTROLYTE,), -8)
    electrons = connected(sample.phases, (ACTIVE, CARBON), 7)
    expected = []
    for a, b in combinations(sorted(NAMES), 2):
        counts = transitions(sample.phases == a, sample.phases == b)
        area = crofton.area(counts, SPACING)
        charged = a == ELECTROLYTE and b in (ACTIVE, CARBON)
        both = transitions(ions, electrons & (sample.phases == b))
        active = crofton.area(both, SPACING) / volume if charged else None
        expected.append(
            {
                "phases": [NAMES[a], NAMES[b]],
                "faces": counts[:3],
                "area": pytest.approx(area),
                "specific_area": pytest.approx(area / volume),
                "active_specific_area": None if active is None else pytest.approx(active),
            }
        )
        if (a, b) == (ELECTROLYTE, ACTIVE):
            assert 0 < active < 0.9 * area / volume
            assert summary["active_area"] == pytest.approx(active)
    assert summary["interfaces"] == expected


def test_faces_by_hand(summary):
    """Active material | electrolyte share two voxels along y and the height of the bars."""
    (faces,) = (i["faces"] for i in summary["interfaces"] if i["phases"] == ["electrolyte", "active"])
    assert faces == [0, 2 * 8, 2 * (8 + 5 + 3 + 5) + 2 * 8]


def test_percolation(summary):
    assert summary["percolation"] == {
        "void": percolates(1, (1, 1, 1), None),
        "active": percolates(7, (96 / 149, 0, 0), 96 / 149),
        "electrolyte": percolates(5, (96 / 128, 0, 0), 116 / 128),
        "carbon": percolates(1, (1, 0, 0), 1),
        "binder": percolates(4, (0, 0, 0), None),
    }
    assert summary["carriers"] == {
        "ion": percolates(5, (96 / 128, 0, 0), 116 / 128),
        "electron": percolates(8, (128 / 181, 0, 0), 128 / 181),
    }


def test_utilization(summary):
    """The bars at x = 1 and 21 have both carriers; those that end lack electrons."""
    assert summary["utilization"] == pytest.approx((32 + 64) / 149)


def test_particles(summary):
    """Six bars, of which the one at x = 11 touches no face, and a fragment of one voxel."""
    voxels = np.array([32, 20, 12, 20, 32, 32])
    diameters = (6 * voxels * VOXEL / np.pi) ** (1 / 3)
    assert summary["particles"] == {
        "active": {
            "count": 6,
            "interior_count": 1,
            "fragments": 1,
            "equivalent_diameter_mean": pytest.approx(diameters.sum() / 6),
            "equivalent_diameter_volume_weighted": pytest.approx((diameters * voxels).sum() / 148),
        }
    }


def test_graph_counts(sample, summary):
    """Regions are the connected pieces; contacts and junctions their pairs and triples."""
    regions = np.zeros(sample.shape, int)
    for label in NAMES:
        pieces, _ = ndimage.label(sample.phases == label)
        regions += np.where(pieces, pieces + regions.max(), 0)
    pairs = set()
    for axis in range(3):
        one, other = (np.delete(regions, end, axis) for end in (-1, 0))
        pairs |= {tuple(sorted(pair)) for pair in zip(one.ravel(), other.ravel(), strict=True)}
    triples = set()
    labels = sample.materials.junction_labels
    phase_of = dict(zip(regions.ravel(), sample.phases.ravel(), strict=True))
    for axis in range(3):
        for ring in np.unique(rings(regions, axis).reshape(4, -1), axis=1).T:
            members = [[r for r in set(ring) if phase_of[r] == label] for label in range(256)]
            for number, triple in enumerate(labels):
                triples |= {(number, *found) for found in product(*(members[label] for label in triple))}
    assert summary["graph"] == {
        "nodes": 1 + 7 + 5 + 1 + 4,
        "contacts": len({pair for pair in pairs if pair[0] != pair[1]}),
        "junctions": len(triples),
    }


def test_run(result, monkeypatch):
    run = result.summary["run"]
    assert set(run) == {
        "date",
        "configuration",
        "device",
        "device_name",
        "seconds",
        "peak_memory_bytes",
        "bytes_per_voxel",
        "device_peak_bytes",
        "device_bytes_per_voxel",
    }
    assert run["configuration"] == {
        "neck_ratio": 0.9,
        "min_voxels": 8,
        "connectivity": 6,
        "subvolumes": 4,
    }
    assert run["device"] == "cpu"
    assert run["device_name"] is run["device_peak_bytes"] is run["device_bytes_per_voxel"] is None
    assert tuple(run["seconds"]) == STEPS
    assert all(seconds >= 0 for seconds in run["seconds"].values())
    assert run["peak_memory_bytes"] > 10_000_000
    # the phases' byte and what the run took beyond, per voxel
    monkeypatch.setattr(RunRecord, "working_bytes", property(lambda _: 5 * 1728))
    monkeypatch.setattr(RunRecord, "peak_bytes", property(lambda _: 123_456))
    asked = {"neck_ratio": 0.8, "min_voxels": 3, "connectivity": 26, "subvolumes": 2}
    run = tripoint.analyze(result.sample, device="cpu", **asked)
    assert run.summary["run"]["bytes_per_voxel"] == 6.0
    assert run.summary["run"]["peak_memory_bytes"] == 123_456
    assert run.summary["run"]["configuration"] == {
        "neck_ratio": 0.8,
        "min_voxels": 3,
        "connectivity": 26,
        "subvolumes": 2,
    }


def test_all_warnings_of_a_small_sample(sample, summary):
    """In order: percolation, films, junctions, particles, resolution, intervals."""
    films = [warning for warning in summary["warnings"] if "forms films" in warning]
    assert films[0].startswith("void forms films one or two voxels thick between electrolyte and active: 35%")
    cube = VOXEL ** (1 / 3)
    coarse = []
    for phase in sample.materials.phases:
        own = sample.phases == phase.label
        thickness = 4 * own.sum() * VOXEL / crofton.area(transitions(own, ~own), SPACING) / cube
        if thickness < 6:
            coarse.append(
                f"the resolution is coarse for '{phase.name}': its mean thickness is {thickness:.1f} voxels; "
                "below 6 areas are uncertain and junction lengths short, by some 20 % at 5"
            )
    assert summary["warnings"] == [
        "phase 'binder' does not span the sample along any axis",
        *films,
        "too few particles: only 1 of 6 particles of 'active' lie wholly inside the volume, statistics of "
        "their sizes want 100",
        *coarse,
        "no confidence intervals: the volume is too small for sub-volumes, or they were switched off",
    ]
    assert 0 < len(coarse) < 5, "some phases are coarse, not all"


# Intervals


@pytest.fixture(scope="module")
def blobs():
    """Three phases with random shapes; boxes of different sizes, since no axis is even."""
    rng = np.random.default_rng(3)
    fields = ndimage.gaussian_filter(rng.standard_normal((2, 33, 37, 35)), (0, 3, 3, 3))
    volume = np.where(fields[0] > 0.02, 1, np.where(fields[1] > 0, 2, 0)).astype(np.uint8)
    return Sample(volume, SPACING, THREE)


def test_representativity(blobs):
    """Boxes by NumPy: fractions, edges and transitions owned by their lowest voxel, Student's interval."""
    found = tripoint.analyze(blobs, device="cpu").summary
    boxes = list(product(*([(0, n // 2), (n // 2, n)] for n in blobs.shape)))
    volumes = np.array([np.prod([end - begin for begin, end in box]) for box in boxes]) * VOXEL

    def per_box(place):
        inside = [
            np.logical_and.reduce([(p >= a) & (p < b) for p, (a, b) in zip(place, box, strict=True)])
            for box in boxes
        ]
        return np.array([mask.sum() for mask in inside])

    def student(values):
        half = stats.t.ppf(0.975, 7) * np.std(values, ddof=1) / np.sqrt(8)
        mean = np.mean(values)
        return pytest.approx({"value": mean, "low": max(0, mean - half), "high": mean + half})

    assert found["representativity"]["subvolumes"] == 8
    names = {0: "pore", 1: "active", 2: "binder"}
    for label, name in names.items():
        values = per_box(np.nonzero(blobs.phases == label)) * VOXEL / volumes
        assert found["representativity"]["volume_fraction"][name] == student(values)

    raw = np.zeros(8)
    for axis in range(3):
        around = rings(blobs.phases, axis)
        triple = np.logical_and.reduce([(around == label).any(axis=0) for label in names])
        raw += SPACING[axis] * per_box(np.nonzero(triple))
    (junction,) = found["junctions"]
    assert raw.sum() == pytest.approx(junction["raw_length"])
    assert junction["length"] < 0.8 * junction["raw_length"]
    density = raw / volumes * junction["length"] / junction["raw_length"]
    assert set(found["representativity"]["tpb_density"]) == {"pore|active|binder"}
    assert found["representativity"]["tpb_density"]["pore|active|binder"] == student(density)

    areas = found["representativity"]["specific_area"]
    assert set(areas) == {"pore|active", "pore|binder", "active|binder"}
    for a, b in combinations(names, 2):
        counts = np.array(
            [
                per_box(np.nonzero(transition(blobs.phases == a, blobs.phases == b, step)))
                for step in crofton.DIRECTIONS
            ]
        )
        assert areas[f"{names[a]}|{names[b]}"] == student(crofton.area(counts.T, SPACING) / volumes)


# Warnings


def cubes(n, phases=3):
    """Return n particles of 2 × 2 × 2 voxels inside the volume, and a plate of binder they stand off."""
    volume = np.zeros((17, 17, 20), np.uint8)
    places = list(product(range(1, 15, 3), repeat=3))[:n]
    for z, y, x in places:
        volume[z : z + 2, y : y + 2, x : x + 2] = 1
    if phases == 3:
        volume[:, :, 18:] = 2
    return volume


def layers(*thicknesses):
    """Return layers along z, labelled 0, 1, 2 in turn."""
    labels = np.repeat(np.arange(len(thicknesses)), thicknesses).astype(np.uint8) % 3
    return np.broadcast_to(labels[:, None, None], (len(labels), 20, 20)).copy()


def warnings_of(volume, materials=THREE, **parameters):
    sample = Sample(volume, (1, 1, 1), materials)
    return tripoint.analyze(sample, device="cpu", **parameters).summary["warnings"]


def starting(warnings, start):
    return [warning for warning in warnings if warning.startswith(start)]


def test_warns_of_fewer_than_three_phases():
    end = "so there is no triple-phase boundary"
    two, one = cubes(5, phases=2), np.zeros((4, 4, 4), np.uint8)
    assert starting(warnings_of(two), "only") == [f"only 2 phases are in the volume (pore, active), {end}"]
    assert starting(warnings_of(one), "only") == [f"only 1 phase is in the volume (pore), {end}"]
    assert not [w for volume in (one, two) for w in warnings_of(volume) if "meet nowhere" in w]
    assert not starting(warnings_of(cubes(5)), "only")


def test_warns_of_a_triple_that_meets_nowhere(summary):
    (warning,) = (w for w in warnings_of(layers(4, 4, 4)) if "meet nowhere" in w)
    assert warning == ("the phases pore, active, binder meet nowhere: there is no such triple-phase boundary")
    # of two junctions only the one that is missing
    volume = np.zeros((6, 6, 6), np.uint8)
    volume[:, 2:4, 1:3], volume[:, 2:4, 3:5] = 1, 2
    volume[0, 0, 0] = 3
    four = {
        "phases": {"a": 0, "b": 1, "c": 2, "d": 3},
        "junctions": [["a", "b", "c"], ["b", "c", "d"]],
    }
    assert [w for w in warnings_of(volume, four) if "meet" in w] == [
        "the phases b, c, d meet nowhere: there is no such triple-phase boundary"
    ]
    assert not [w for w in summary["warnings"] if "meet nowhere" in w]


def test_warns_of_a_phase_without_particles():
    warning = "there are no particles of 'active' in the volume"
    assert warning in warnings_of(np.where(layers(4, 4, 4) == 1, 0, layers(4, 4, 4)))
    assert warning in warnings_of(cubes(5), min_voxels=9), "all are fragments"
    found = warnings_of(cubes(5))
    assert warning not in found
    assert starting(found, "too few particles: only 5 of 5 particles of 'active' lie wholly inside")


def test_warns_of_too_few_particles():
    volume = cubes(100)
    assert not starting(warnings_of(volume), "too few")
    volume[0] = np.where(volume[1] == 1, 1, volume[0])  # those of the first layer now touch z-
    assert starting(warnings_of(volume), "too few particles: only 75 of 100")
    volume = cubes(100)
    volume[0, 1, 1] = 1
    assert starting(warnings_of(volume), "too few particles: only 99 of 100 particles of 'active' lie wholly")


def test_warns_where_no_phase_is_particulate():
    warning = "no phase is particulate, so there are no particle statistics; set particulate: true"
    inert = {"phases": {"pore": 0, "active": 1, "binder": 2}}
    assert warning in warnings_of(cubes(5), inert)
    assert warning not in warnings_of(cubes(5))


@pytest.mark.parametrize(
    ("thickness", "spacing", "voxels"),
    [(2, (1, 1, 1), 4.6), (3, (1, 1, 2), 5.6), (4, (0.5, 1, 1), 6.2), (3, (1, 1, 1), 6.9)],
)
def test_warns_of_coarse_resolution(thickness, spacing, voxels):
    """A layer between two others is 4 V / S thick, counted in cubes of a voxel's volume."""
    sample = Sample(layers(12, thickness, 12), spacing, THREE)
    found = starting(tripoint.analyze(sample, device="cpu").summary["warnings"], "the resolution is coarse")
    own = sample.phases == 1
    surface = crofton.area(transitions(own, ~own), spacing)
    assert 4 * own.sum() * sample.voxel_volume ** (2 / 3) / surface == pytest.approx(voxels, abs=0.05)
    warning = (
        f"the resolution is coarse for 'active': its mean thickness is {voxels} voxels; "
        "below 6 areas are uncertain and junction lengths short, by some 20 % at 5"
    )
    assert found == ([warning] if voxels < 6 else [])


def test_warns_of_wide_intervals(monkeypatch):
    """Above 10 % either way; the widest three are named, and values of zero have no width to speak of."""

    def warned(fractions, densities=None, areas=None):
        tables = [
            {
                name: Interval(value, value - half, value + half)
                for name, (value, half) in (table or {}).items()
            }
            for table in (fractions, densities, areas)
        ]
        monkeypatch.setattr(representativity, "measure", lambda *_: Representativity(8, *tables))
        found = warnings_of(cubes(5))
        assert not starting(found, "no confidence")
        return starting(found, "the sample may be too small")

    start = "the sample may be too small to stand for its material: the 95 % interval is wide for"
    assert warned({"pore": (0.5, 0.049)}, {"a|b|c": (2, 0.19)}, {"a|b": (3, 0.29)}) == []
    assert warned({"pore": (0, 0)}, {"a|b|c": (0, 0.1)}) == []
    assert warned({"pore": (0.5, 0.06)}) == [f"{start} volume fraction of pore (±12%)"]
    assert warned(None, {"a|b|c": (2, 0.22)}) == [f"{start} TPB density of a|b|c (±11%)"]
    assert warned(None, None, {"a|b": (3, 0.6), "a|c": (3, 0.1)}) == [f"{start} specific area of a|b (±20%)"]
    many = {name: (1, half) for name, half in zip("abcde", (0.2, 0.5, 0.3, 0.4, 0.01), strict=True)}
    assert warned(many) == [
        f"{start} volume fraction of b (±50%), volume fraction of d (±40%), volume fraction of c (±30%) "
        "and 1 more"
    ]


def test_warns_where_there_are_no_intervals(blobs):
    start = "no confidence intervals"
    assert starting(warnings_of(cubes(5)), start)
    assert starting(warnings_of(blobs.phases, subvolumes=0), start)
    found = warnings_of(blobs.phases)
    assert not starting(found, start)
    assert starting(found, "the sample may be too small to stand for its material")


def test_warns_of_what_does_not_percolate():
    """What percolation has to say comes first."""
    materials = THREE | {"terminals": {"ion": "z-", "electron": "x-"}}
    found = warnings_of(cubes(5), materials)
    assert found[:2] == [
        "phase 'active' does not span the sample along any axis",
        "the terminal of electron is at x-, where there is no active and binder: nothing is connected to it; "
        "set materials.terminals.electron to another face",
    ]
    along = np.zeros((4, 6, 6), np.uint8)
    along[:, 2:4, 1:3], along[:, 2:4, 3:5] = 1, 2
    found = warnings_of(along, THREE | {"terminals": {"ion": "z-", "electron": "z+"}})
    assert not [warning for warning in found if "span" in warning or "percolate" in warning]


def test_without_terminals_nothing_is_known():
    """No carrier can be followed: edges are unknown, shares and utilization are not defined."""
    volume = np.zeros((6, 6, 6), np.uint8)
    volume[:, 2:4, 1:3], volume[:, 2:4, 3:5] = 1, 2
    found = tripoint.analyze(Sample(volume, (1, 1, 1), THREE), device="cpu")
    total = found.summary["junctions_total"]
    assert (total["edges"], total["unknown_edges"]) == ([12, 0, 0], [12, 0, 0])
    assert (total["active_length"], total["length"]) == (0, pytest.approx(12))
    assert found.summary["utilization"] is found.summary["active_area"] is None
    assert found.summary["carriers"]["ion"]["terminal_fraction"] is None
    assert sections.headline(found)[0]["note"] == "what is active needs terminals"


def test_report_shows_the_share_of_distinct_edges(result):
    share = (32 + 16) * 0.5 / ((58 + 16 - 5) * 0.5 + 8 * 0.4)
    assert sections.headline(result)[0]["note"] == f"{100 * share:.1f}\u2009% of it active"


# By plain NumPy


def transition(a, b, step):
    """Return where one of p and p + step is in a and the other in b."""
    here, there = (
        tuple(
            slice(max(0, -s if first else s), n - max(0, s if first else -s))
            for s, n in zip(step.tolist(), a.shape, strict=True)
        )
        for first in (True, False)
    )
    found = np.zeros(a.shape, bool)
    found[here] = (a[here] & b[there]) | (b[here] & a[there])
    return found


def transitions(a, b):
    return [int(transition(a, b, step).sum()) for step in crofton.DIRECTIONS]


def rings(volume, axis):
    """Return the four voxels around each interior edge along an axis, at the place of the lowest one."""
    one, other = (k for k in range(3) if k != axis)
    around = []
    for i, j in ((0, 0), (0, 1), (1, 1), (1, 0)):
        cut = [slice(None)] * 3
        cut[one], cut[other] = (slice(k, k - 1 or None) for k in (i, j))
        around.append(volume[tuple(cut)])
    return np.stack(around)


def connected(phases, labels, plane):
    """Return the voxels of a network whose component touches one z-plane."""
    pieces, _ = ndimage.label(np.isin(phases, labels))
    return np.isin(pieces, np.unique(pieces[plane])) & (pieces > 0)


def percolates(components, spanning, terminal):
    return {
        "components": components,
        "spanning_fraction": [pytest.approx(share) for share in spanning],
        "terminal_fraction": None if terminal is None else pytest.approx(terminal),
    }
