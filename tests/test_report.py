"""The report stands alone, says what is true of odd samples too, and opens in a browser."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage, spatial

from tripoint import report
from tripoint.errors import OutputError
from tripoint.materials import Materials, Phase
from tripoint.report import charts, distributions, slices, surfaces, wording
from tripoint.sample import Sample

HOSTILE = "<script>alert('x')</script>&\"</td>"


def fake_result(
    shape=(40, 48, 56), phases=4, seeds=60, spacing=(0.5, 0.4, 0.4), *, names=None, particulate=(1,), seed=0
):
    """Return what an analysis would: a Voronoi composite with tables and a summary of the documented form."""
    random = np.random.default_rng(seed)
    centres = random.uniform(0, 1, (seeds, 3)) * np.array(shape) * spacing
    grid = np.stack(
        np.meshgrid(*[(np.arange(n) + 0.5) * s for n, s in zip(shape, spacing, strict=True)], indexing="ij"),
        -1,
    )
    _, owner = spatial.cKDTree(centres).query(grid.reshape(-1, 3))
    label = (np.arange(seeds) % phases).astype(np.uint8)
    regions = np.unique(owner, return_inverse=True)[1].reshape(shape).astype(np.int32) + 1
    volume = label[owner].reshape(shape)
    names = names or ["pore", "active", "binder", "electrolyte", "void", "carbon"][:phases]
    conducts = [("ion",), ("electron",), ("electron",), ("ion",), (), ("electron",)]
    materials = Materials(
        phases=tuple(
            Phase(i, name, conducts[i], particulate=i in particulate, active=i == 1)
            for i, name in enumerate(names)
        ),
        terminals={"ion": "z-", "electron": "z+"},
        name="made up",
    )
    sample = Sample(volume, spacing, materials, name="test composite")
    nodes = fake_nodes(regions, volume, sample, random)
    contacts = fake_contacts(regions)
    return SimpleNamespace(
        sample=sample,
        graph=SimpleNamespace(nodes=nodes, contacts=contacts, junctions=pd.DataFrame()),
        summary=fake_summary(sample, nodes, contacts),
        regions=regions,
        junction_map=junction_voxels(volume) if phases > 2 else None,
    )


def fake_nodes(regions, volume, sample, random):
    index = np.arange(1, regions.max() + 1)
    voxels = np.bincount(regions.ravel(), minlength=len(index) + 1)[1:]
    centroid = np.array(ndimage.center_of_mass(np.ones_like(regions), regions, index)) + 0.5
    label = np.zeros(len(index) + 1, np.uint8)
    label[regions] = volume
    border = np.unique(
        np.concatenate([face.ravel() for a in range(3) for face in (regions.take(0, a), regions.take(-1, a))])
    )
    size = voxels * sample.voxel_volume
    nodes = pd.DataFrame(
        {"node": index.astype(np.int32), "label": label[1:], "voxels": voxels, "volume": size}
    )
    nodes["phase"] = nodes["label"].map({p.label: p.name for p in sample.materials.phases})
    nodes[["centroid_z", "centroid_y", "centroid_x"]] = centroid * sample.spacing
    nodes["equivalent_diameter"] = (6 * size / np.pi) ** (1 / 3)
    nodes["touches_border"] = np.isin(index, border)
    nodes["fragment"] = voxels < 8
    nodes["sphericity"] = random.uniform(0.7, 1, len(index))
    nodes["aspect_ratio"] = random.uniform(1, 3, len(index))
    nodes["coordination_number"] = random.integers(0, 9, len(index))
    nodes["active_junction_length"] = random.exponential(3, len(index))
    for carrier, face in (("ion", 0), ("electron", 1)):
        extent = sample.shape[0] * sample.spacing[0]
        depth = nodes["centroid_z"] if face == 0 else extent - nodes["centroid_z"]
        reached = random.uniform(size=len(index)) > 0.2
        nodes[f"depth_{carrier}"] = depth
        nodes[f"reaches_{carrier}"] = reached
        nodes[f"path_resistance_{carrier}"] = np.where(
            reached, depth * random.lognormal(0, 1, len(index)), np.nan
        )
        nodes[f"path_tortuosity_{carrier}"] = np.where(
            reached, 1 + random.exponential(0.3, len(index)), np.nan
        )
        nodes[f"bottleneck_radius_{carrier}"] = np.where(reached, random.exponential(0.5, len(index)), np.nan)
    return nodes


def fake_contacts(regions):
    pairs = []
    for axis in range(3):
        a, b = (
            regions.take(range(regions.shape[axis] - 1), axis),
            regions.take(range(1, regions.shape[axis]), axis),
        )
        touch = a != b
        pairs.append(np.sort(np.stack([a[touch], b[touch]], 1), axis=1))
    unique, faces = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
    return pd.DataFrame(
        {"source": unique[:, 0], "target": unique[:, 1], "faces": faces, "area": faces * 0.16}
    )


def junction_voxels(volume):
    kinds = sum((ndimage.maximum_filter(volume == v, 2)).astype(np.uint8) for v in np.unique(volume))
    return np.where(kinds >= 3, 1 + (np.arange(volume.shape[2]) % 3), 0).astype(np.uint8)


def fake_summary(sample, nodes, contacts):
    names = [phase.name for phase in sample.materials.phases]
    share = {
        p.name: float((nodes.loc[nodes["label"] == p.label, "voxels"]).sum() / sample.phases.size)
        for p in sample.materials.phases
    }
    three = {"components": 3, "spanning_fraction": [0.9995, 0.9, 0.0], "terminal_fraction": 0.97}
    return {
        "schema": 1,
        "tripoint": "0.1.0",
        "sample": {
            "name": sample.name,
            "shape": list(sample.shape),
            "spacing": list(sample.spacing),
            "phases": {
                p.name: {
                    "label": p.label,
                    "voxels": int(share[p.name] * sample.phases.size),
                    "volume_fraction": share[p.name],
                }
                for p in sample.materials.phases
            },
        },
        "junctions": [
            {
                "phases": list(t),
                "edges": [1200, 1300, 1400],
                "raw_length": 1560.0,
                "length": 1010.5,
                "raw_density": 1.2,
                "density": 0.8,
                "active_edges": [1, 2, 3],
                "unknown_edges": [1, 2, 3],
                "dead_edges": [1, 2, 3],
                "active_length": 800.0,
                "unknown_length": 150.0,
                "dead_length": 60.5,
                "active_density": 0.63,
            }
            for t in sample.materials.junctions
        ],
        "junctions_total": {
            "edges": [2000, 2100, 2200],
            "length": 3000.0,
            "density": 2.2,
            "active_edges": [1400, 1500, 1600],
            "unknown_edges": [400, 400, 400],
            "dead_edges": [200, 200, 200],
            "active_length": 2127.0,
            "active_density": 1.56,
        },
        "interfaces": [
            {
                "phases": [a, b],
                "faces": [10, 20, 30],
                "area": 123.456,
                "specific_area": 0.0123,
                "active_specific_area": None,
            }
            for i, a in enumerate(names)
            for b in names[i + 1 :]
        ],
        "percolation": {name: dict(three) for name in names},
        "carriers": {"ion": dict(three), "electron": dict(three)},
        "utilization": 0.87,
        "particles": {
            p.name: {
                "count": 30,
                "interior_count": 12,
                "equivalent_diameter_mean": 4.2,
                "equivalent_diameter_volume_weighted": 5.1,
            }
            for p in sample.materials.phases
            if p.particulate
        },
        "graph": {"nodes": len(nodes), "contacts": len(contacts), "junctions": 0},
        "representativity": {
            "subvolumes": 8,
            "volume_fraction": {
                name: {"value": v, "low": v * 0.9, "high": v * 1.1} for name, v in share.items()
            },
            "tpb_density": {
                "|".join(t): {"value": 0.8, "low": 0.7, "high": 0.9} for t in sample.materials.junctions
            },
            "specific_area": {},
        },
        "warnings": ["too few particles: only 12 of 30 lie inside", "the binder does not percolate along x"],
        "run": {
            "device": "cpu",
            "seconds": {"boundary": 0.21, "separation": 1.4},
            "peak_memory_bytes": 6.2e8,
            "bytes_per_voxel": 21.3,
        },
    }


class Page(HTMLParser):
    """What a browser would fetch, the tables and the text of a report."""

    def __init__(self, html):
        super().__init__()
        self.references, self.tables, self.headings, self.text, self._open = [], [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        for name in ("src", "href", "xlink:href", "data", "poster", "action", "srcset"):
            if attributes.get(name):
                self.references.append(attributes[name])
        self.tables += [[]] if tag == "table" else []
        self.tables[-1:] and tag == "tr" and self.tables[-1].append([])
        self._open += [] if tag in ("meta", "link", "input", "br") else [tag]

    def handle_endtag(self, tag):
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self._open):
            self.text.append(data)
        if self._open and self._open[-1] == "h2":
            self.headings.append(data.strip())
        if "tr" in self._open and {"td", "th"} & set(self._open) and data.strip():
            self.tables[-1][-1].append(data.strip())

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def result():
    return fake_result()


@pytest.fixture(scope="module")
def html(result):
    return report.render(result)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_nothing_is_fetched(html, page):
    assert page.references
    assert all(reference.startswith("data:") for reference in page.references)
    assert "@import" not in html
    assert not re.search(r"url\(\s*['\"]?(?!data:)", html.split("<script")[0])
    # our own script asks for nothing; the namespaces in plotly's are no requests
    assert "http" not in html.rsplit("<script>", 1)[1]


def test_sections_and_tables_are_there(page):
    assert page.headings == [
        "Warnings",
        "Phases",
        "Slices through the middle",
        "Triple-phase boundary",
        "Percolation",
        "Interfaces",
        "Particles",
        "Paths to the terminals",
        "How to read this report",
        "Provenance",
    ]
    firsts = [table[0][0] for table in page.tables]
    assert firsts == ["Phase", "Junction", "Network", "Interface", "Phase", "boundary"]
    phases, junctions, networks, interfaces, particles, steps = page.tables
    assert [row[0] for row in phases[1:]] == ["pore", "active", "binder", "electrolyte"]
    assert len(junctions) == 1 + 4 + 1
    assert junctions[-1][:2] == ["all distinct edges", "2000 · 2100 · 2200"]
    assert [row[0] for row in networks[1:]] == ["ion", "electron", "pore", "active", "binder", "electrolyte"]
    assert len(interfaces) == 1 + 6
    assert particles[1][:3] == ["active", "30", "12"]
    assert [row[0] for row in steps] == ["boundary", "separation", "total"]


def test_headline_says_what_matters(page):
    for words in ("2.20", "70.9\u2009% of it active", "97.0\u2009%", "87.0\u2009%", "12 of them inside"):
        assert words in page.words.replace("\xa0", " ") or words in "".join(page.text)


def test_intervals_stand_beside_their_values(page):
    assert "0.700\u2009–\u20090.900" in page.tables[1][1]


def test_warnings_or_none(result, page):
    assert "the binder does not percolate along x" in page.words
    calm = SimpleNamespace(**vars(result) | {"summary": result.summary | {"warnings": []}})
    assert "None. Percolation" in Page(report.render(calm)).words


def test_names_are_escaped():
    hostile = fake_result((10, 12, 14), seeds=12, names=["pore", HOSTILE, "binder", "electrolyte"])
    hostile.sample = Sample(hostile.sample.phases, (1, 1, 1), hostile.sample.materials, name=HOSTILE)
    hostile.summary["warnings"] = [HOSTILE]
    hostile.summary["run"]["configuration"] = {"input": HOSTILE}
    html = report.render(hostile)
    assert "alert(" in html
    assert "<script>alert" not in html
    assert '</td>"' not in html
    assert html.count("<script") == 3
    assert HOSTILE in "".join(Page(html).text)


def view_of(html):
    """Return the data of the 3D view; a NaN in it would be no JSON to a browser."""
    text = re.search(r'id="view-data">(.*?)</script>', html, re.S).group(1)
    return json.loads(text, parse_constant=pytest.fail)


def unpack(text, dtype):
    return np.frombuffer(gzip.decompress(base64.b64decode(text)), dtype)


def test_view_holds_every_particle_and_property(result, html):
    data = view_of(html)
    active = result.graph.nodes[result.graph.nodes["phase"] == "active"]
    assert unpack(data["node"], "<i4").tolist() == active["node"].tolist()
    properties = {entry["column"]: entry for entry in data["properties"]}
    assert {"equivalent_diameter", "reaches_ion", "path_resistance_electron", "bottleneck_radius_ion"} <= set(
        properties
    )
    values = unpack(properties["path_resistance_ion"]["values"], "<f4")
    np.testing.assert_allclose(values, active["path_resistance_ion"], rtol=1e-6)
    assert properties["path_resistance_ion"]["missing"] == active["path_resistance_ion"].isna().sum() > 0
    assert properties["reaches_ion"]["names"] == ["no", "yes"]
    triangles, owner = unpack(data["triangles"], "<i4").reshape(-1, 3), unpack(data["owner"], "<i4")
    assert set(owner[triangles].ravel()) == set(range(len(active)))
    assert (owner[triangles] == owner[triangles[:, :1]]).all()


def volume_and_edges(mesh, particle):
    """Return the enclosed volume, drawn as x, y, z, and how often each directed edge lacks its opposite."""
    mine = mesh.triangles[mesh.owner[mesh.triangles[:, 0]] == particle]
    corners = mesh.positions[mine][:, :, ::-1].astype(float)
    enclosed = np.einsum("ti,ti->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    edges = np.concatenate([mine[:, [0, 1]], mine[:, [1, 2]], mine[:, [2, 0]]])
    directed, counts = np.unique(edges, axis=0, return_counts=True)
    balance = dict(zip(map(tuple, directed), counts, strict=True))
    return enclosed, sum(abs(n - balance.get((b, a), 0)) for (a, b), n in balance.items())


@pytest.mark.parametrize("budget", [10**6, 3000])
def test_surfaces_are_closed_point_outward_and_keep_the_volume(budget):
    spacing = (1.0, 0.5, 0.5)
    z, y, x = np.indices((40, 80, 80))
    ball = ((z - 20) * 1.0) ** 2 + ((y - 40) * 0.5) ** 2 + ((x - 30) * 0.5) ** 2 < 12**2
    regions = np.where(ball, 5, 0).astype(np.int32)
    regions[:, :, 70:] = 9  # a slab cut by five faces of the volume
    mesh = surfaces.surfaces(regions, spacing, np.array([5, 9]), budget)
    assert len(mesh.triangles) <= budget
    for particle, voxels in ((0, ball.sum()), (1, 40 * 80 * 10)):
        enclosed, open_edges = volume_and_edges(mesh, particle)
        assert open_edges == 0
        assert enclosed == pytest.approx(voxels * 0.25, rel=0.08)
    slab = mesh.positions[mesh.owner == 1]
    assert slab.max(axis=0) == pytest.approx([40, 40, 40], abs=1.2)


def test_thinned_surfaces_are_read_slab_by_slab():
    """Slabs of a chunked volume give what the array gives; nothing but slabs is asked for."""
    regions = (
        np.random.default_rng(1)
        .integers(0, 5, (6, 7, 8))
        .repeat(20, 0)
        .repeat(20, 1)
        .repeat(40, 2)
        .astype(np.int32)
    )
    asked = []

    class Chunked:
        shape, chunks = regions.shape, (16, 64, 64)

        def __getitem__(self, key):
            asked.append(regions[key].shape)
            return regions[key]

    particles = np.array([1, 3])
    assert max(surfaces.thinning(regions.shape, (1, 1, 1), 10**5)) > 1
    whole = surfaces.surfaces(regions, (1, 1, 1), particles)
    parts = surfaces.surfaces(Chunked(), (1, 1, 1), particles)
    np.testing.assert_array_equal(whole.positions, parts.positions)
    np.testing.assert_array_equal(whole.triangles, parts.triangles)
    assert max(shape[0] for shape in asked) <= 16


def test_thinning_follows_the_spacing():
    assert surfaces.thinning((100, 100, 100), (1, 1, 1)) == (1, 1, 1)
    z, y, x = surfaces.thinning((330, 1200, 1200), (3.0, 1.0, 1.0))
    assert y == x > z
    assert 330 // z * 1200 // y * 1200 // x <= 3_200_000


def test_slices_are_true_to_the_spacing(result):
    xy, xz, yz = slices.slices(result)
    (nz, ny, nx), (sz, sy, sx) = result.sample.shape, result.sample.spacing
    scale = xy.drawing["width"] / (nx * sx)
    assert xy.drawing["height"] == pytest.approx(ny * sy * scale)
    assert xz.drawing["height"] == pytest.approx(nz * sz * scale)
    assert yz.drawing["width"] == pytest.approx(ny * sy * scale)
    bar = float(xy.drawing["bar_label"].split("\xa0")[0])
    assert xy.drawing["bar"] == pytest.approx(bar * scale)
    assert xz.terminals == [
        {"side": "top", "text": "ion terminal"},
        {"side": "bottom", "text": "electron terminal"},
    ]
    assert xy.terminals == []


def test_slice_layers_hold_the_middle_planes(result):
    from io import BytesIO

    from PIL import Image

    xz = slices.slices(result)[1]

    def picture(name):
        return Image.open(BytesIO(base64.b64decode(xz.layers[name].split(",")[1])))

    plane = result.junction_map[:, result.sample.shape[1] // 2]
    np.testing.assert_array_equal(np.asarray(picture("junction")), plane)
    assert (np.asarray(picture("junction").convert("RGBA"))[..., 3] == np.where(plane, 255, 0)).all()
    phases = np.asarray(picture("phases").convert("RGB"))
    middle = result.sample.phases[:, result.sample.shape[1] // 2]
    assert (
        len({tuple(phases[middle == v][0]) for v in range(4)})
        == len(np.unique(phases.reshape(-1, 3), axis=0))
        == 4
    )
    assert picture("particles").size == plane.shape[::-1]


def test_two_phases_have_no_junction():
    two = fake_result(phases=2)
    words = Page(report.render(two)).words
    assert "fewer than three phases, so there is no triple-phase boundary" in words
    assert "no junction: it takes three phases" in words


def test_no_particles():
    none = fake_result(particulate=())
    html = report.render(none)
    assert "This sample has no particles" in Page(html).words
    assert 'id="view"' not in html
    assert 'id="plotly"' not in html


def test_nothing_percolates_and_nothing_is_reached():
    stuck = fake_result(phases=6, seeds=90)
    cut = {"components": 0, "spanning_fraction": [0.0, 0.0, 0.0], "terminal_fraction": 0.0}
    stuck.summary |= {"carriers": {"ion": cut, "electron": cut}, "utilization": None}
    nodes = stuck.graph.nodes
    for column in nodes.columns[nodes.columns.str.match("path_|bottleneck_|sphericity|aspect|coordination")]:
        nodes[column] = np.nan
    html = report.render(stuck)
    words = Page(html).words
    assert "The ion network does not percolate along any axis." in words
    assert "No particle has a path to a terminal" in words
    data = view_of(html)
    entry = next(e for e in data["properties"] if e["column"] == "path_resistance_ion")
    assert np.isnan(unpack(entry["values"], "<f4")).all()


def test_sparse_summary_and_tables():
    """What an odd sample or an older result lacks is a dash, not an error."""
    bare = fake_result((8, 8, 8), seeds=9)
    bare.summary = {}
    bare.graph.nodes = bare.graph.nodes[
        ["node", "phase", "voxels", "centroid_z", "centroid_y", "centroid_x", "equivalent_diameter"]
    ]
    assert Page(report.render(bare)).headings[0] == "Warnings"
    empty = fake_result((8, 8, 8), seeds=9)
    empty.graph.nodes, empty.graph.contacts = empty.graph.nodes.iloc[:0], empty.graph.contacts.iloc[:0]
    assert (
        "This sample has no particles" not in Page(report.render(empty)).words
    )  # the summary still counts them


def test_tiny_volume():
    assert "8\u2009×\u20098\u2009×\u20098 voxels" in "".join(
        Page(report.render(fake_result((8, 8, 8), seeds=9))).text
    )


def test_zarr_volumes(result, html):
    zarr = pytest.importorskip("zarr")
    stored = SimpleNamespace(**vars(result))
    for name in ("regions", "junction_map"):
        array = zarr.create_array(
            {}, shape=result.regions.shape, dtype=getattr(result, name).dtype, chunks=(16, 16, 16)
        )
        array[:] = getattr(result, name)
        setattr(stored, name, array)
    assert view_of(report.render(stored)) == view_of(html)


@pytest.mark.slow
def test_hundred_thousand_regions_fit_the_budget():
    """Small cubes of active material in pore: the largest are shown, the caption says so, and it is quick."""
    many = fake_result((188, 188, 188), seeds=100_000, spacing=(1, 1, 1))
    start = time.perf_counter()
    html = report.render(many)
    assert time.perf_counter() - start < 25
    assert len(html) < 15e6
    words = Page(html).words
    active = int((many.graph.nodes["phase"] == "active").sum())
    assert f"{wording.count(2500)} largest of" in words
    assert active > 20_000
    data = view_of(html)
    assert 50_000 < len(unpack(data["triangles"], "<i4")) / 3 <= 150_000


def test_written_whole_or_not_at_all(result, html, tmp_path, monkeypatch):
    path = report.write(result, tmp_path / "report.html")
    assert path.read_text(encoding="utf-8").count("</html>") == 1
    assert path.stat().st_size < 15e6
    monkeypatch.setattr(os, "replace", _full_disk)
    monkeypatch.setattr("pathlib.Path.replace", _full_disk)
    with pytest.raises(OutputError, match="No space left"):
        report.write(result, tmp_path / "other.html")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(OutputError, match="choose a folder that exists"):
        report.write(result, tmp_path / "absent" / "report.html")


def _full_disk(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0123456, "0.0123"),
        (1234567, "1\u2009230\u2009000"),
        (12345.6, "12\u2009300"),
        (999.96, "1000"),
        (0, "0"),
        (3.2e-7, "3.20\u2009×\u200910⁻⁷"),
        (4.56e9, "4.56\u2009×\u200910⁹"),
        (float("nan"), "–"),
        (None, "–"),
        (-2.5, "−2.50"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "100"), (0, "0"), (0.9999, "> 99.9"), (1e-6, "< 0.1"), (0.5, "50.0"), (0.659597, "66.0")],
)
def test_nearly_all_is_not_all(value, text):
    assert wording.percent(value).replace("\u2009", " ") == f"{text} %"


def test_axes_have_round_ticks():
    assert charts.Axis(0, 10, "").ticks == [0, 2, 4, 6, 8, 10]
    assert charts.Axis(0.9, 120, "", log=True).ticks == [1, 2, 5, 10, 20, 50, 100]
    assert charts.axis_for(np.array([3.0]), "").ticks


def test_histogram_shares_add_up():
    values = np.array([1.0, 1, 1, 3])
    drawn = charts.histogram(
        values, np.array([True, True, False, False]), None, charts.Axis(0, 4, "d"), "t", bins=4
    )
    bars = re.search(r'class="bars" d="M(.*?)"', drawn).group(1)
    y = sorted({float(point.split()[1]) for point in bars.split("L")})
    outline = re.search(r'class="outline" d="M(.*?)"', drawn).group(1)
    heights = sorted({float(point.split()[1]) for point in outline.split("L")})
    ground = y[-1]
    assert len(y) == 2  # interior: all in one bin
    assert (ground - heights[0]) / (ground - y[0]) == pytest.approx(0.75, abs=0.01)
    assert (ground - heights[1]) / (ground - y[0]) == pytest.approx(0.25, abs=0.01)


def browse(path, tmp_path, *options):
    chromium = next(
        (p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None
    )
    if chromium is None:
        pytest.skip("no Chromium on this machine: the report is not opened in a browser")
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1200,5000",
        "--virtual-time-budget=20000",
        "--enable-logging=stderr",
        *options,
        path.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


DRIVER = """
<script>
(async () => {
  while (document.documentElement.dataset.view !== "drawn") await new Promise((done) => setTimeout(done, 50));
  const set = async (id, change) => {
    change(document.getElementById(id));
    document.getElementById(id).dispatchEvent(new Event("change", { bubbles: true }));
    await new Promise((done) => setTimeout(done, 50));
  };
  const box = document.getElementById("view");
  const seen = () => box.data.map((t) => t.type[0] + (t.mode || "") + (t.i || t.x).length).join(" ");
  const select = document.getElementById("view-property");
  const legends = [];
  for (const option of [...select.options].reverse()) {
    await set("view-property", (e) => { e.value = option.value; });
    legends.push(document.getElementById("view-scale").textContent);
  }
  await set("view-property", (e) => { e.value = 1; });
  const states = [seen()];
  await set("view-graph", (e) => { e.checked = true; });
  states.push(seen());
  await set("view-axis", (e) => { e.value = 0; });
  await set("view-cut", (e) => { e.value = 500; });
  states.push(seen());
  await set("view-cut", (e) => { e.value = 1000; });
  const radio = document.querySelector("[name=ground][value=particles]");
  radio.click();
  document.querySelector("[name=junction]").click();
  const layers = document.querySelector(".slices").className;
  document.body.insertAdjacentHTML("beforeend", "<script type='text/json' id='seen'></" + "script>");
  document.getElementById("seen").textContent = JSON.stringify({ legends, states, layers });
})();
</script>
</body>"""


def test_browser_draws_it_and_obeys_its_controls(result, tmp_path):
    """Headless Chromium runs the script, reports no error and shows colours in the 3D view."""
    path = report.write(result, tmp_path / "report.html")
    path.write_text(path.read_text().replace("</body>", DRIVER))
    ran = browse(path, tmp_path, "--dump-dom", f"--screenshot={tmp_path / 'page.png'}")
    errors = [
        line
        for line in ran.stderr.splitlines()
        if "CONSOLE" in line and re.search(r"error|uncaught|failed", line, re.IGNORECASE)
    ]
    assert not errors
    seen = json.loads(re.search(r"id=\"seen\">(.*?)</script>", ran.stdout, re.DOTALL).group(1))
    legends = " ".join(seen["legends"])
    assert "equivalent diameter, µm≤ " in legends
    unreached = int((~result.graph.nodes.query("phase == 'active'")["reaches_ion"]).sum())
    assert f"no ({unreached})yes (" in legends
    assert f"not reached or not known ({unreached})" in legends
    whole, with_graph, cut = (
        [int(re.sub(r"\D", "", t)) for t in s.split() if t[0] == "m"] for s in seen["states"]
    )
    assert "smarkers" not in seen["states"][0]
    assert "smarkers" in seen["states"][1]
    assert whole == with_graph
    assert 0 < sum(cut) < sum(whole)
    assert seen["layers"].split() == ["slices", "show-particles"]
    from PIL import Image

    picture = np.asarray(Image.open(tmp_path / "page.png").convert("RGB")).astype(int)
    # viridis' teal occurs nowhere else on the page but in the colour bar, which is 12 px high
    teal = (abs(picture - (38, 130, 142)).sum(axis=2) < 90) & (picture[..., 2] > picture[..., 0] + 60)
    assert teal.any(axis=1).sum() > 200


def test_without_terminals_nothing_is_called_active():
    open_ended = fake_result((10, 12, 14), seeds=12)
    materials = Materials(open_ended.sample.materials.phases)
    open_ended.sample = Sample(open_ended.sample.phases, (1, 1, 1), materials)
    unknown = {"active_edges": None, "active_length": 0.0, "unknown_length": 0.0, "dead_length": 0.0}
    open_ended.summary["junctions"] = [entry | unknown for entry in open_ended.summary["junctions"]]
    words = Page(report.render(open_ended)).words
    assert "what is active needs terminals" in words
    assert "of it active" not in words
    assert "– / – / –" in words
    assert "without terminals none is active or dead" in words


def test_phases_that_meet_nowhere():
    apart = fake_result((10, 12, 14), seeds=12)
    nothing = {"length": 0.0, "density": 0.0, "active_length": 0.0, "unknown_length": 0.0, "dead_length": 0.0}
    apart.summary["junctions"] = [entry | nothing for entry in apart.summary["junctions"]]
    apart.summary["junctions_total"] = {"edges": [0, 0, 0], "length": 0.0, "density": 0.0}
    assert "the three phases meet nowhere" in Page(report.render(apart)).words


def test_running_medians_are_of_groups_of_equal_number():
    """Where points are rare the line still follows them: no bin is left out and bridged."""
    random = np.random.default_rng(3)
    depth = np.concatenate([random.uniform(0, 3, 46), random.uniform(3, 25, 20)])
    middle, (median,) = charts.running(depth, 2 * depth + 1, (0.5,))
    order = np.sort(depth)
    np.testing.assert_allclose(middle, [np.median(part) for part in np.array_split(order, 8)])
    assert (middle > 3).sum() >= 2
    np.testing.assert_allclose(median, 2 * middle + 1)
    assert not len(charts.running(depth[:15], depth[:15], (0.5,))[0])


def test_few_particles_have_no_running_median(result, page):
    assert "Too few particles for a running median" in page.words
    assert "Lines are medians" not in page.words
    assert 'class="line"' not in "".join(path["chart"] for path in distributions.path_charts(result))
