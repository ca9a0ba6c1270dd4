"""Draws from probabilities: their frequencies, their smoothness, intervals of what is analysed of them."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

import tripoint as tp
from grey import composite
from tripoint import cli, synth, uncertainty
from tripoint.errors import InputError
from tripoint.islands import remove_islands
from tripoint.synth import Composite
from tripoint.uncertainty import Probabilities, draw, drawing, figures, intervals, repeat
from tripoint.uncertainty.fields import Fields
from tripoint.uncertainty.spread import UNITS

SPACING = (0.5, 0.5, 0.5)


def even(shares, shape=(24, 40, 40), dtype=np.float32):
    values = np.broadcast_to(np.array(shares, dtype)[:, None, None, None], (len(shares), *shape))
    return Probabilities(values, tuple(range(len(shares))))


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_phases_are_as_frequent_as_they_are_probable(correlation):
    shares = np.array([0.6, 0.3, 0.1])
    drawn = [draw(even(shares), SPACING, correlation, (0, number)) for number in range(12)]
    frequent = np.bincount(np.stack(drawn).ravel(), minlength=3) / np.stack(drawn).size
    # A field of this correlation has some (2 √π ℓ)³ voxels per independent one.
    independent = np.stack(drawn).size / max(1.0, (2 * math.sqrt(math.pi) * correlation / 0.5) ** 3)
    assert frequent == pytest.approx(shares, abs=4 * math.sqrt(0.25 / independent))


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_a_temperature_makes_probabilities_surer_or_less_sure(temperature):
    shares = np.array([0.6, 0.3, 0.1])
    given = replace(even(shares), temperature=temperature)
    drawn = np.stack([draw(given, SPACING, 0.0, (0, number)) for number in range(4)])
    expected = shares ** (1 / temperature) / (shares ** (1 / temperature)).sum()
    assert np.bincount(drawn.ravel()) / drawn.size == pytest.approx(
        expected, abs=4 * math.sqrt(0.25 / drawn.size)
    )


def test_what_is_certain_stays():
    rng = np.random.default_rng(0)
    phases = rng.integers(0, 3, (10, 12, 14)).astype(np.uint8)
    values = np.stack([(phases == label) * np.uint8(255) for label in range(3)])
    drawn = draw(Probabilities(values, (5, 7, 9)), SPACING, 1.0, (0,))
    np.testing.assert_array_equal(drawn, np.array([5, 7, 9])[phases])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_neighbours_agree_over_the_correlation_length(axis):
    half = even([0.5, 0.5], (48, 48, 48))
    smooth = draw(half, (0.5, 1.0, 0.5), 2.0, (1,)) - 0.5
    for lag in (2, 4, 8):
        ahead, behind = (np.moveaxis(smooth, axis, 0)[part] for part in (slice(lag, None), slice(None, -lag)))
        found = float((ahead * behind).mean() / 0.25)
        distance = lag * (0.5, 1.0, 0.5)[axis]
        # Of two fields the larger one: their difference has the correlation of each, signs arcsine of it.
        expected = 2 / math.pi * math.asin(math.exp(-((distance / 4.0) ** 2)))
        assert found == pytest.approx(expected, abs=0.12)
    apart = draw(half, (0.5, 1.0, 0.5), 0.0, (1,)) - 0.5
    assert abs(float((apart[1:] * apart[:-1]).mean() / 0.25)) < 0.02


@pytest.mark.parametrize("width", [0.0, 0.4, 1.0, 2.5, 7.3])
def test_fields_have_unit_variance_in_every_voxel_and_the_correlation_of_filtered_noise(width):
    fields = Fields((40, 1, 1), (width, 0.0, 0.0), (0,))
    # The rows of the matrix are what independent numbers are weighted with: their products are covariances.
    rows = fields._matrices[0].toarray().astype(np.float64)
    covariance = rows @ rows.T
    np.testing.assert_allclose(np.diag(covariance), 1, rtol=1e-6)
    lag = np.abs(np.subtract.outer(np.arange(40), np.arange(40)))
    if width >= 1:
        np.testing.assert_allclose(covariance, np.exp(-((lag / (2 * width)) ** 2)), atol=3e-4)
    else:
        np.testing.assert_allclose(covariance[lag >= 8], 0, atol=1e-12)


def test_fields_are_normal_and_independent_of_each_other():
    fields = Fields((30, 200, 200), (2.0, 1.0, 1.5), (1, 2))
    one, other = fields.slab(0, 0, 30), fields.slab(1, 0, 30)
    assert one.dtype == np.float32
    # Some (2 √π)³ 2 · 1 · 1.5 voxels are one independent number.
    independent = one.size / (44.5 * 3)
    assert abs(one.mean()) < 4 / math.sqrt(independent)
    assert one.var() == pytest.approx(1, abs=6 / math.sqrt(independent))
    assert abs((one * other).mean()) < 4 / math.sqrt(independent)
    assert (np.abs(one) < 1).mean() == pytest.approx(0.6827, abs=0.01)
    np.testing.assert_array_equal(fields.slab(0, 7, 12), one[7:12])


def test_slabs_do_not_matter(monkeypatch):
    given = even([0.5, 0.2, 0.3], (20, 12, 12))
    whole = draw(given, SPACING, 0.7, (3, 4))
    monkeypatch.setattr(drawing, "SLAB", 7)
    np.testing.assert_array_equal(draw(given, SPACING, 0.7, (3, 4)), whole)
    assert (draw(given, SPACING, 0.7, (3, 5)) != whole).any()


def test_intervals_are_those_of_one_further_draw():
    rng = np.random.default_rng(0)
    key = ("tpb_density", "a|b|c")
    held = 0
    for _ in range(400):
        values = rng.normal(5, 1, 9)
        row = intervals([{key: value} for value in values[:8]], {key: 5.0}).iloc[0]
        held += row["low"] <= values[8] <= row["high"]
    assert held / 400 == pytest.approx(0.95, abs=0.03)
    row = intervals([{key: math.nan}, {key: math.nan}], {key: 1.0}).iloc[0]
    assert row["draws"] == 0
    assert math.isnan(row["mean"])
    share = intervals(
        [{("utilization", "x"): 0.99}, {("utilization", "x"): 0.9}], {("utilization", "x"): 1.0}
    )
    assert share["high"].iloc[0] == 1.0


def test_what_is_absent_is_nothing_and_what_is_undefined_is_left_out():
    seen, drawn_only = ("interface_area", "a|b"), ("interface_area", "b|c")
    row = intervals([{seen: 1.0}, {}, {}, {}], {seen: 0.9}).iloc[0]
    assert (row["mean"], row["draws"]) == (0.25, 4)
    share, tpb = ("utilization", "active material"), ("active_tpb_density", "a|b|c")
    draws = [
        {seen: 1.0, drawn_only: 2.0, share: math.nan, tpb: math.nan},
        {seen: 3.0, share: 0.5},
    ]
    table = intervals(draws, {share: 0.4, seen: 0.9}).set_index(["quantity", "of"])
    assert list(table.index) == [tpb, seen, drawn_only, share]
    assert tuple(table.loc[drawn_only][["value", "mean", "draws"]]) == (0.0, 1.0, 2)
    assert tuple(table.loc[share][["value", "mean", "draws"]]) == (0.4, 0.5, 1)
    assert table.loc[tpb][["value", "mean", "sd"]].isna().all()  # it is defined nowhere


def test_interfaces_of_a_phase_that_only_draws_have():
    materials = tp.Materials.load("solid_oxide_electrode")
    labels = [phase.label for phase in materials.phases]
    values = np.zeros((3, 12, 12, 12), np.float32)
    values[0, :6], values[1, 6:] = 1, 1
    values[1, 6:, :2], values[2, 6:, :2] = 0.6, 0.4
    phases = np.asarray(labels, np.uint8)[values.argmax(axis=0)]
    result = analyse(tp.Sample(phases, (1.0,) * 3, materials))
    found = repeat(result, Probabilities(values, labels), 3, analyse, correlation=0.0)
    rows = {
        row["of"]: row
        for row in found.summary["uncertainty"]["figures"]
        if row["quantity"] == "interface_area"
    }
    assert len(rows) == 3
    third = materials.phases[2].name
    of_draws = [row for of, row in rows.items() if third in of]
    assert [row["value"] for row in of_draws] == [0, 0]
    assert all(row["mean"] > 0 and row["draws"] == 3 for row in of_draws)


def test_draws_are_cleaned_as_the_phases_were():
    """Salt noise in probabilities of 0 and 1: draws are all alike, and so must be what is made of them."""
    rng = np.random.default_rng(0)
    materials = tp.Materials.load("solid_oxide_electrode")
    labels = np.array([phase.label for phase in materials.phases], np.uint8)
    noisy = composite((24, 40, 40))
    salt = rng.random(noisy.shape) < 0.01
    noisy[salt] = rng.integers(0, 3, salt.sum())
    values = np.stack([np.uint8(255) * (noisy == one) for one in range(3)])
    phases = labels[noisy]
    assert remove_islands(phases, 8) > 0
    result = analyse(tp.Sample(phases, (1.0,) * 3, materials))
    given = Probabilities(values, labels.tolist())
    entry = repeat(result, given, 2, analyse, least=8).summary["uncertainty"]
    assert entry["least_voxels"] == 8
    for row in entry["figures"]:
        assert row["mean"] == row["value"], row
    left = repeat(result, given, 2, analyse).summary["uncertainty"]
    assert left["least_voxels"] is None
    assert any(row["low"] > row["value"] for row in left["figures"] if row["quantity"] == "tpb_density")


@pytest.fixture(scope="module")
def segmented():
    """A composite, its phases blurred into probabilities, and the analysis of the likeliest."""
    from scipy import ndimage

    sample = synth.make(Composite.load("solid_state_cathode", {}), (40, 40, 40), (0.4,) * 3, seed=2)
    labels = [phase.label for phase in sample.materials.phases]
    blurred = np.stack(
        [ndimage.gaussian_filter((sample.phases == label).astype(np.float32), 0.8) for label in labels]
    )
    values = np.rint(255 * blurred / blurred.sum(axis=0)).astype(np.uint8)
    phases = np.asarray(labels, np.uint8)[values.argmax(axis=0)]
    likeliest = tp.Sample(phases, sample.spacing, sample.materials)
    return Probabilities(values, labels), analyse(likeliest)


def with_probabilities(sample, probabilities):
    names = [phase.name for phase in sample.materials.phases]
    channels = {
        f"probability_{name}": values.astype(np.float32) / 255
        for name, values in zip(names, probabilities.values, strict=True)
    }
    return replace(sample, channels=channels)


def analyse(sample):
    return tp.analyze(sample, subvolumes=0, device="cpu")


def test_an_analysis_is_repeated(segmented):
    probabilities, result = segmented
    told = []
    found = repeat(result, probabilities, 3, analyse, progress=lambda *words: told.append(words))
    entry = found.summary["uncertainty"]
    assert entry["draws"] == 3
    assert entry["correlation"] == pytest.approx(9.6)
    assert entry["temperature"] == 1.0
    assert [words[1] for words in told] == [0, 1, 2, 3]
    rows = {(row["quantity"], row["of"]): row for row in entry["figures"]}
    assert set(rows) == set(figures(result.summary))
    assert {quantity for quantity, _ in rows} == set(UNITS)
    for row in rows.values():
        if row["draws"] == 3:
            assert row["low"] <= row["mean"] <= row["high"]
    total = sum(row["mean"] for (quantity, _), row in rows.items() if quantity == "volume_fraction")
    assert total == pytest.approx(1)
    assert "uncertainty" not in result.summary
    again = repeat(result, probabilities, 3, analyse).summary["uncertainty"]
    assert again == entry


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"draws": 1}, "2 or more"),
        ({"draws": "many"}, "whole number of draws"),
        ({"correlation": -1}, "correlation length is -1"),
        ({"least": 2.5}, "least is 2.5"),
        ({"least": -1}, "expected voxels"),
        ({"shape": (20, 40, 40)}, "take both from the same segmentation"),
        ({"labels": (0, 1, 2, 77)}, "labels [77]"),
        ({"flat": True}, "take phases and probabilities from the same"),
        ({"scale": 200.0}, "expected numbers from 0 to 1"),
    ],
)
def test_what_does_not_belong_together_is_refused(segmented, change, told):
    probabilities, result = segmented
    values, labels = probabilities.values, change.get("labels", probabilities.labels)
    if "shape" in change:
        values = values[:, : change["shape"][0]]
    if change.get("flat"):
        values = np.full_like(values, 64)
    if "scale" in change:
        values = values.astype(np.float32) * change["scale"]
    with pytest.raises(InputError, match=told.replace("[", r"\[").replace("]", r"\]")):
        repeat(
            result, Probabilities(values, labels), change.get("draws", 2), analyse,
            correlation=change.get("correlation"), least=change.get("least"),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.zeros((3, 4, 4), np.uint8), r"expected \(phases, z, y, x\)"),
        (np.zeros((2, 4, 4, 4), np.uint8), "the 3 phases"),
        (np.zeros((3, 4, 4, 4), np.int32), "are int32"),
    ],
)
def test_what_is_no_probability_is_refused(values, told):
    with pytest.raises(InputError, match=told):
        Probabilities(values, (0, 1, 2))


@pytest.mark.parametrize("temperature", [0, -1.0, math.nan, math.inf, "hot", True])
def test_what_is_no_temperature_is_refused(temperature):
    with pytest.raises(InputError, match="expected a number above 0"):
        replace(even([0.5, 0.5]), temperature=temperature)


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        (None, 1.0),
        ("no JSON", 1.0),
        ("[]", 1.0),
        ('{"task": "segment", "smooth": 0.7}', 0.6),
        ('{"task": "segment", "smooth": 0}', 1.0),
        ('{"task": "analyze", "smooth": 0.7}', 1.0),
    ],
)
def test_smoothed_probabilities_are_drawn_surer(segmented, tmp_path, summary, expected):
    probabilities, result = segmented
    tp.io.write(with_probabilities(result.sample, probabilities), tmp_path / "volume.zarr")
    if summary is not None:
        (tmp_path / "summary.json").write_text(summary)
    materials = result.sample.materials
    for place in (tmp_path, tmp_path / "volume.zarr"):
        assert uncertainty.read(place, materials).temperature == expected
    assert uncertainty.read(tmp_path, materials, temperature=1.3).temperature == 1.3


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        (None, None),
        ({"task": "segment", "least_voxels": 8}, 8),
        ({"task": "segment", "least_voxels": 0}, None),
        ({"task": "segment"}, None),
        ({"task": "analyze", "least_voxels": 8}, None),
    ],
)
def test_the_summary_says_how_phases_were_cleaned(tmp_path, summary, expected):
    (tmp_path / "volume.zarr").mkdir()
    if summary is not None:
        (tmp_path / "summary.json").write_text(json.dumps(summary))
    for place in (tmp_path, tmp_path / "volume.zarr"):
        assert uncertainty.least_voxels(place) == expected


def test_grey_values_need_two_steps(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["analyze", "input=nowhere.tif", "segment.checkpoint=nowhere", "uncertainty=5", "output=out"]
    assert cli.main(words) == 1
    told = capsys.readouterr().err
    assert "two steps, tripoint segment mode=predict probabilities=uint8" in told
    assert "tripoint analyze uncertainty=5" in told
    assert cli.main([*words, "probabilities=there"]) == 1
    assert "two steps" not in capsys.readouterr().err


def test_from_the_command_line(segmented, tmp_path, monkeypatch, capsys):
    probabilities, result = segmented
    monkeypatch.chdir(tmp_path)
    tp.io.write(with_probabilities(result.sample, probabilities), "seen.zarr")
    (tmp_path / "summary.json").write_text('{"task": "segment", "least_voxels": 8}')
    words = ["analyze", "input=seen.zarr", "materials=solid_state_cathode", "subvolumes=0", "uncertainty=2"]
    assert cli.main([*words, "roi=[[4,36],null,null]", "temperature=0.8", "output=out"]) == 0
    entry = json.loads((tmp_path / "out" / "summary.json").read_text())["uncertainty"]
    assert entry["draws"] == 2
    assert entry["temperature"] == 0.8
    assert entry["least_voxels"] == 8
    assert {row["quantity"] for row in entry["figures"]} == set(UNITS)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "What the segmentation leaves open" in page
    tp.io.write(replace(result.sample, channels={}), "plain.zarr")
    assert cli.main(["analyze", "input=plain.zarr", *words[2:], "output=none"]) == 1
    assert "has no channels/probability_" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert cli.main(["analyze", "input=nowhere.zarr", *words[2:], "output=none"]) == 1
    assert "there is no file or folder nowhere.zarr" in capsys.readouterr().err
    assert (
        cli.main(["analyze", "input=plain.zarr", *words[2:], "probabilities=seen.zarr", "output=other"]) == 0
    )
