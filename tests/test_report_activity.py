"""The report shows transport and local activity as they were found, and no more than they say."""

from __future__ import annotations

import base64
import json
import math
import re
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import tripoint
from test_report import Page, browse, unpack, view_of
from tripoint import report, synth
from tripoint.physics import Measured
from tripoint.report import (
    activity,
    activity_source,
    charts,
    correlation,
    distributions,
    fields,
    palette,
    scales,
    transport,
)
from tripoint.transport.activity import REASONS


@pytest.fixture(scope="module")
def result():
    sample = synth.solid_state_cathode((64, 64, 64), seed=1, spacing=0.4)
    return tripoint.analyze(sample, transport=True, activity="simulate", subvolumes=0, device="cpu")


@pytest.fixture(scope="module")
def html(result):
    return report.render(result)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def changed(result, **summary):
    """Return the result with other entries of the summary."""
    return SimpleNamespace(**vars(result) | {"summary": result.summary | summary})


def whole(result):
    nodes = result.graph.nodes
    return nodes[nodes["activity"].notna() & ~nodes["fragment"]]


def test_sections_stand_between_paths_and_reading(page):
    at = page.headings.index("Paths to the terminals")
    assert page.headings[at + 1 : at + 4] == ["Transport", "Local activity", "How to read this report"]


def test_running_medians_are_told_where_they_are(result, page):
    assert page.words.count("in groups of equally many particles") == 2
    assert all(path["line"] for path in distributions.path_charts(result))


def test_six_key_figures_with_dead_share_and_variation(result, html, page):
    assert html.count('class="figure"') == 6
    mine = whole(result)
    dead = (mine["inactive_because"] != "").sum()
    cv = mine["activity"].std(ddof=0) / mine["activity"].mean()
    assert f"{dead} of {len(mine)} of active material do not react" in page.words
    assert re.search(rf"CV of activity {cv:.2f} s\.d\. / mean", page.words)


def test_tortuosity_of_what_does_not_span_is_words(result, page):
    table = next(t for t in page.tables if t[0][:2] == ["Network", "Made of"] and "τ along z" in t[0])
    rows = {row[0]: row for row in table[1:]}
    assert rows["carbon"][2:5] == ["does not span"] * 3
    factor = result.summary["transport"]["tortuosity"]["electrolyte"]["z"]
    assert float(rows["electrolyte"][2]) == pytest.approx(factor, rel=5e-3)
    assert rows["electron"][1] == "active + carbon"
    assert rows["electron"][-1] == "S/m"


def test_critical_contacts_are_listed_and_marked_alike(result, html, page):
    tables = [t for t in page.tables if t[0][0] == "No."]
    markers = view_of(html)["critical"]
    assert list(markers) == ["ion", "electron"]
    for table, (carrier, marks) in zip(tables, markers.items(), strict=True):
        critical = result.summary["transport"]["network"][carrier]["critical"]
        assert [row[1] for row in table[1:]] == marks["regions"]
        assert len(table) == 1 + len(critical) == 11
        centre = unpack(marks["centre"], "<f4").reshape(-1, 3)
        np.testing.assert_allclose(centre[0][::-1], critical[0]["centroid"], rtol=1e-6)
        assert {row[3] for row in table[1:]} <= {"bridge", "bottleneck"}


def test_a_network_unlike_the_voxels_is_doubted_twice(result):
    """Under the table of networks, and above the critical contacts of that carrier alone."""
    found = result.summary["transport"]
    along = {name: {"z": found["network"][name]["tortuosity_factor"]} for name in ("ion", "electron")}
    along["electron"] = {"z": along["electron"]["z"] / 3.6}
    doubted = changed(result, transport=found | {"tortuosity": found["tortuosity"] | along})
    words = Page(report.render(doubted)).words
    assert "for electrons it is 3.6 times as tortuous as the voxels, so its shares are uncertain" in words
    assert words.count("these shares are uncertain") == 1
    before = words[: words.index("these shares are uncertain")]
    assert "Critical contacts for electrons" in before
    alike = changed(result, transport=found | {"tortuosity": along | {"electron": {}}})
    assert "uncertain" not in section_words(report.render(alike), "transport")


def test_without_axes_the_section_still_reads(result):
    found = result.summary["transport"] | {"tortuosity": {}, "effective_conductivity": {}}
    words = section_words(report.render(changed(result, transport=found)), "transport")
    assert "were not asked for along any axis" in words
    assert "τ" not in words
    assert "Critical contacts for ions" in words
    bare = changed(result, transport=found | {"network": {}})
    assert section_words(report.render(bare), "transport").endswith("asked for along any axis.")


def section_words(html, name):
    return Page(re.search(rf'<section id="{name}">.*?</section>', html, re.DOTALL).group()).words.strip()


def test_reasons_add_up_to_the_dead(result, page):
    table = next(t for t in page.tables if t[0][0] == "Reason")
    counts = {row[0]: int(row[1]) for row in table[1:]}
    assert counts == result.summary["activity"]["by_reason"]


def test_correlations_are_of_particles_that_react_fragments_apart(result):
    mine = whole(result)
    alive = mine[mine["inactive_because"] == ""]
    rows = {row["name"]: row for row in activity.section(result)["correlations"]}
    density = alive["junction_length"] / alive["volume"]
    expected = stats.spearmanr(density, alive["activity"]).statistic
    row = rows["TPB length per particle volume"]
    assert row["n"] == str(len(alive))
    assert row["rho"].startswith(f"{expected:.2f}".replace("-", "−"))
    assert rows["ion path resistance"]["unit"] == "MΩ"
    everyone = stats.spearmanr(mine["junction_length"], mine["activity"]).statistic
    assert rows["TPB length"]["all"].startswith(f"{everyone:.2f}".replace("-", "−"))


def test_how_it_was_solved(page):
    words = page.words.replace("\xa0", " ").replace("\u2009", " ")
    assert "regime mixed" in words
    assert "250 S/m² where active material meets ion conductors" in words
    assert "voltage between the terminals 1.00 V" in words
    assert re.search(r"balance \S+ × 10\S+ of the current residual \S+ × 10\S+ iterations \d+", words)


def picture(layer):
    from PIL import Image

    return np.asarray(Image.open(BytesIO(base64.b64decode(layer.split(",")[1]))).convert("RGB"))


def test_potentials_in_the_slices(result):
    found = {field.name: field for field in fields.fields(result)}
    assert list(found) == ["activity", "ion_potential", "electron_potential"]
    channel = result.sample.channels["ion_potential"]
    middle = channel[:, 32]
    field = found["ion_potential"]
    image = picture(field.pictures[1])
    nothing = (image == palette.rgb(palette.MISSING)).all(axis=2)
    np.testing.assert_array_equal(nothing, np.isnan(middle))
    assert (field.unit, field.scale.high) == (
        "V",
        pytest.approx(np.nanmax([np.nanmax(p) for p in planes(channel)])),
    )
    lowest = np.unravel_index(np.nanargmin(middle), middle.shape)
    brightness = image.sum(axis=2, dtype=int)
    assert brightness[lowest] <= brightness[~nothing].min() + 30


def planes(volume):
    return [volume.take(n // 2, axis) for axis, n in enumerate(volume.shape)]


def test_activity_in_the_slices_has_the_dead_in_black(result):
    nodes = result.graph.nodes.copy()
    largest = nodes[nodes["activity"].notna()].nlargest(8, "voxels").index
    nodes.loc[largest, ["activity", "inactive_because"]] = [0.0, "no ion path"]
    cut = SimpleNamespace(**vars(result) | {"graph": SimpleNamespace(nodes=nodes)})
    field = fields.fields(cut)[0]
    nodes = nodes.set_index("node")
    dead_seen = 0
    for layer, middle in zip(field.pictures, planes(result.regions), strict=True):
        image = picture(layer)
        dead = nodes.loc[middle.ravel(), "inactive_because"].to_numpy().reshape(middle.shape) != ""
        inactive = nodes.loc[middle.ravel(), "activity"].isna().to_numpy().reshape(middle.shape)
        black, grey = ((image == palette.rgb(ink)).all(axis=2) for ink in (palette.DEAD, palette.MISSING))
        np.testing.assert_array_equal(black, dead & ~grey)
        assert (grey >= inactive).all()
        assert 0 < (grey & ~inactive).mean() < 0.1  # lines between particles
        dead_seen += dead.sum()
    assert dead_seen


def test_planes_alone_are_read():
    asked = []

    class Stored:
        shape = (10, 20, 30)

        def __getitem__(self, key):
            asked.append(key)
            return np.zeros(self.shape, np.float32)[key]

    assert [plane.shape for plane in fields.middle_planes(Stored())] == [(20, 30), (10, 30), (10, 20)]
    assert [sum(isinstance(k, int) for k in key) for key in asked] == [1, 1, 1]


def test_scales():
    about = scales.Scale(-1.0, 5.0, middle=1.0)
    np.testing.assert_allclose(
        about(np.array([-2, -1, 0, 1, 3, 5, 9, np.nan])), [0, 0, 0.25, 0.5, 0.75, 1, 1, np.nan]
    )
    assert len(set(scales.Scale(0.9995, 0.99985).ends)) == 3
    assert scales.Scale(0.36372, 0.99981).ends == ("0.364", "0.682", "1.00")
    assert scales.Scale(1e-20, 1.0).ends == ("0", "0.5", "1.00")
    assert scales.sequential(np.array([1.0, 10, 1000]), may_be_log=True).log
    assert scales.sequential(np.array([np.nan])) == scales.Scale(0.0, 1.0)
    np.testing.assert_array_equal(scales.Scale(2.0, 2.0)(np.array([2.0, np.nan])), [0.5, np.nan])


def test_view_begins_with_activity(result, html):
    entry = view_of(html)["properties"][0]
    assert (entry["column"], entry["middle"], entry["log"]) == ("activity", 1.0, False)
    assert entry["low"] <= 0 < 2 <= entry["high"]
    because = unpack(entry["dead"], "<i4")
    mine = whole(result)
    assert [entry["reasons"][i] if i >= 0 else "" for i in because] == mine["inactive_because"].tolist()


def test_spearman_is_scipys_and_its_interval_holds_the_truth():
    random = np.random.default_rng(5)
    truth = 6 / math.pi * math.asin(0.25)  # of a normal pair with Pearson's 0.5
    held = 0
    for _ in range(400):
        x = random.normal(size=50)
        y = 0.5 * x + math.sqrt(0.75) * random.normal(size=50)
        found = correlation.spearman(x, y)
        assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic)
        held += found.low <= truth <= found.high
    assert 0.92 < held / 400 < 0.98


def test_what_size_alone_makes_is_not_seen_at_equal_size():
    random = np.random.default_rng(6)
    size = random.lognormal(size=400)
    x, y = size * random.lognormal(size=400), size * random.lognormal(size=400)
    assert correlation.spearman(x, y).rho > 0.3
    fixed = correlation.spearman(x, y, size)
    assert not fixed.seen
    # by residuals of the ranks, as the definition has it
    ranks = [stats.rankdata(v) for v in (x, y, size)]
    left = [r - np.polyval(np.polyfit(ranks[2], r, 1), ranks[2]) for r in ranks[:2]]
    assert fixed.rho == pytest.approx(np.corrcoef(left)[0, 1])


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.arange(40.0), np.arange(40.0) ** 3, "rising, strong"),
        (np.arange(40.0), -np.arange(40.0), "falling, strong"),
        (np.arange(200.0), np.abs(np.arange(200.0) - 100), "not monotonic"),
        (np.arange(30.0), np.abs(np.arange(30.0) - 15), "no correlation seen"),
        (np.arange(40.0), np.ones(40), "not defined"),
        (np.arange(9.0), np.arange(9.0), "too few particles"),
        (np.full(40, np.nan), np.arange(40.0), "too few particles"),
        (np.arange(300) % 17.0, np.arange(300) % 23.0, "no correlation seen"),
    ],
)
def test_correlation_in_words(x, y, words):
    assert correlation.in_words(correlation.spearman(x, y)) == words


def test_pairs_without_a_value_are_left_out():
    x = np.array([*range(20), np.nan, np.inf], float)
    assert correlation.spearman(x, np.arange(22.0)).n == 20


def test_dead_stand_beside_the_histogram():
    axis = charts.Axis(0, 4, "activity", before=0.2)
    drawn = charts.histogram_beside(
        np.array([1.0, 1, 3, 99]), [("#123456", 4), ("#654321", 2)], axis, "dead", "t"
    )
    heights = [float(h) for h in re.findall(r'height="([\d.]+)" fill="#', drawn)]
    assert heights[0] == pytest.approx(2 * heights[1], rel=0.02)
    bars = re.search(r'class="bars" d="M(.*?)"', drawn).group(1)
    x, y = zip(*[map(float, point.split()) for point in bars.split("L")], strict=True)
    left = float(re.search(r'<rect x="([\d.]+)"', drawn).group(1))
    assert left < min(x)
    # four of ten in the histogram, two in one bin; six of ten dead
    assert (max(y) - min(y)) / sum(heights) == pytest.approx(2 / 6, rel=0.02)


def test_axis_before_is_left_free():
    axis = charts.Axis(0, 10, "", before=0.5)
    np.testing.assert_allclose(axis(np.array([0, 10])), [0.5, 1])
    assert axis.ticks == charts.Axis(0, 10, "").ticks


def test_measured_map(result):
    plain = tripoint.analyze(
        result.sample,
        activity=Measured(
            np.where(result.sample.phases == 1, 3.0, np.nan).astype(np.float32) * ramp(result), "soc"
        ),
        subvolumes=0,
        device="cpu",
    )
    html = report.render(plain)
    words = Page(html).words
    assert "CV of soc" in words
    assert "activity" not in section_words(html, "activity").replace("Local activity", "")
    assert "dead particles" not in words
    assert "Why particles do not react" not in words
    assert "map soc" in words
    names = [field.name for field in fields.fields(plain)]
    assert names[0] == "activity"
    assert "activity_map" in names
    entry = view_of(html)["properties"][0]
    assert (entry["column"], entry["label"], entry["middle"]) == ("activity", "soc", None)
    assert "Transport" not in Page(html).headings


def test_particles_without_a_value_are_counted(result):
    nodes = result.graph.nodes.drop(columns="inactive_because")
    figures = {"source": "map", "map": "m", "cv": 0.1, "fragments": 2, "without_value": 1}
    row = nodes[nodes["activity"].notna() & ~nodes["fragment"]].index[0]
    some = changed(result, activity=figures)
    some.graph = SimpleNamespace(nodes=nodes.assign(activity=nodes["activity"].drop(row)))
    total = len(whole(result))
    (text,) = [text for term, text in activity.section(some)["facts"] if term.startswith("particles")]
    assert text == f"{total}; 1 without a value; fragments apart: 2"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("soc", "soc"),
        ("maps/soc.tif", "soc"),
        ("scan.h5:/entry/lithium", "lithium"),
        ("scan.zarr:soc", "soc"),
        ("", "measured activity"),
        (None, "measured activity"),
    ],
)
def test_a_map_is_called_by_its_name(source, name):
    assert activity_source.activity_name({"activity": {"source": "map", "map": source}}) == name
    assert activity_source.activity_name({"activity": {"source": "simulation", "map": source}}) == "activity"


def test_every_reason_has_a_colour_of_its_own():
    assert set(palette.REASONS) >= set(REASONS)
    assert len(set(palette.REASONS.values()) | {palette.DEAD, palette.MISSING}) == len(palette.REASONS) + 2


def ramp(result):
    depth = np.linspace(0.2, 1, result.sample.shape[0], dtype=np.float32)
    return np.broadcast_to(depth[:, None, None], result.sample.shape)


def test_loaded_result_has_the_same_report(result, html, tmp_path):
    loaded = tripoint.load(result.save(tmp_path / "out"))
    assert view_of(report.render(loaded)) == view_of(html)
    for ours, theirs in zip(fields.fields(result), fields.fields(loaded), strict=True):
        assert ours == theirs


def test_nobody_reacts(result):
    """All dead, no current: dashes and reasons, no error."""
    nodes = result.graph.nodes.copy()
    nodes.loc[nodes["activity"].notna(), ["activity", "reaction_current"]] = 0.0
    nodes.loc[nodes["activity"].notna(), "inactive_because"] = "no ion path"
    entry = result.summary["activity"] | {
        "dead_fraction": 1.0, "cv": None, "by_reason": {"no ion path": len(nodes)}, "current": 0.0,
        "current_balance": None,
    }  # fmt: skip
    stuck = changed(result, activity=entry)
    stuck.graph = SimpleNamespace(nodes=nodes, contacts=result.graph.contacts)
    html = report.render(stuck)
    assert "100\u2009% of" in html or ">100\u2009%<" in html
    assert view_of(html)["properties"][0]["reasons"] == ["no ion path"]


def test_summary_without_columns_and_the_other_way_round(result):
    """A section needs both what was found and where; a report without either is as before."""
    nodes = result.graph.nodes.drop(columns=["activity", "reaction_current", "inactive_because"])
    bare = changed(result)
    bare.graph = SimpleNamespace(nodes=nodes, contacts=result.graph.contacts)
    assert activity.section(bare) is None
    bare.summary = {k: v for k, v in result.summary.items() if k not in ("transport", "activity")}
    bare.sample = tripoint.Sample(result.sample.phases, 0.4, result.sample.materials)
    assert transport.section(bare) is None
    html = report.render(bare)
    assert not {"Transport", "Local activity"} & set(Page(html).headings)
    assert "critical" not in html.split("<script")[0]
    assert Page(html).words.count("particles 151") == 1


def test_nothing_was_measured_where_particles_are(result):
    nodes = result.graph.nodes.assign(activity=np.nan, inactive_because="")
    empty = changed(result, activity={"source": "map", "map": "m", "particles": 3, "cv": None})
    empty.graph = SimpleNamespace(nodes=nodes, contacts=result.graph.contacts)
    html = report.render(empty)
    assert "Local activity" not in Page(html).headings
    assert view_of(html)["properties"][0]["column"] == "phase"


def test_hostile_names_of_a_map(result):
    entry = {"source": "map", "map": "<script>alert(1)</script>", "particles": 3, "cv": 0.1}
    html = report.render(changed(result, activity=entry))
    assert "<script>alert" not in html


@pytest.mark.slow
def test_gpu_volumes_and_tables(gpu):
    """On the GPU the report takes planes and tables from there, and says the same."""
    sample = synth.solid_state_cathode((24, 24, 24), seed=1, spacing=1.0)
    asked = {"transport": True, "activity": "simulate", "subvolumes": 0}
    host = tripoint.analyze(sample, **asked, device="cpu")
    there = tripoint.analyze(sample, **asked, device="cuda")
    assert there.device == "cuda"
    ours, theirs = (Page(report.render(result)) for result in (host, there))
    assert theirs.headings == ours.headings
    for table in ("Network", "Reason"):
        assert [t for t in theirs.tables if t[0][0] == table] == [t for t in ours.tables if t[0][0] == table]


DRIVER = """
<script>
(async () => {
  while (document.documentElement.dataset.view !== "drawn") await new Promise((done) => setTimeout(done, 50));
  const wait = () => new Promise((done) => setTimeout(done, 100));
  const seen = { first: document.getElementById("view-scale").textContent, shown: [], keys: [] };
  for (const radio of document.querySelectorAll("[name=ground]")) {
    radio.click();
    const visible = (selector) => [...document.querySelectorAll(selector)]
      .filter((e) => getComputedStyle(e).display !== "none").map((e) => e.getAttribute("class"));
    seen.shown.push([radio.value, visible(".slices image"), visible(".key .of")]);
  }
  const box = document.getElementById("view");
  for (const critical of document.querySelectorAll("[name=critical]")) {
    critical.click();
    await wait();
    seen.keys.push(box.data.filter((t) => t.mode === "markers+text").map((t) => t.x.length));
  }
  seen.opacity = box.data.find((t) => t.type === "mesh3d").opacity;
  document.body.insertAdjacentHTML("beforeend", "<script type='text/json' id='seen'></" + "script>");
  document.getElementById("seen").textContent = JSON.stringify(seen);
})();
</script>
</body>"""


def test_browser_shows_fields_and_critical_contacts(result, tmp_path):
    path = report.write(result, tmp_path / "report.html")
    assert path.stat().st_size < 8e6
    path.write_text(path.read_text().replace("</body>", DRIVER))
    ran = browse(path, tmp_path, "--dump-dom")
    assert not [
        line for line in ran.stderr.splitlines() if "CONSOLE" in line and re.search("rror|aught", line)
    ]
    seen = json.loads(re.search(r"id=\"seen\">(.*?)</script>", ran.stdout, re.DOTALL).group(1))
    assert seen["first"].startswith("activity")
    assert re.search(r"dead \(\d+\): .*no electron path \d+", seen["first"])
    assert "ion terminal, z−" in seen["first"]
    assert [ground for ground, _, _ in seen["shown"]] == [
        "phases", "particles", "activity", "ion_potential", "electron_potential",
    ]  # fmt: skip
    for ground, images, keys in seen["shown"]:
        structure = ground in ("phases", "particles")
        assert images == [f"layer {ground}", *["layer junction"] * structure] * 3
        assert keys == [f"of {ground}", *["of junction"] * structure]
    assert seen["keys"] == [[10], [10, 10]]
    assert seen["opacity"] < 1
