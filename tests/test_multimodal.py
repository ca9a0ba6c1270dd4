"""Two channels of one sample: what a moved one does not show, and the way from both to the graph."""

import json

import numpy as np
import pytest
import tifffile
import zarr

from grey import MATERIALS, composite, photographed
from tripoint import cli, films, registration, synth
from tripoint.errors import InputError
from tripoint.io import ome_zarr
from tripoint.segment import volumes
from tripoint.segment.classical import KMeans, MultiOtsu
from tripoint.segment.normalisation import Normalisation
from tripoint.synth.views import placed

SPACING = (0.1, 0.1, 0.1)


@pytest.fixture(scope="module")
def phases():
    return composite()


@pytest.fixture
def moved(tmp_path, phases):
    """Return a volume as register leaves it: nothing is shown in the first rows."""
    grey = photographed(phases, seed=1).astype(np.float32)
    mask = np.ones(grey.shape, np.uint8)
    grey[:, :10], mask[:, :10] = np.nan, 0
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "summary.json").write_text("{}")
    path = tmp_path / "moved" / "moved.zarr"
    ome_zarr.write_image(path, grey, SPACING, "moved", {"mask": mask}, about={})
    return tmp_path / "moved"


@pytest.fixture
def image(tmp_path, phases):
    tifffile.imwrite(tmp_path / "grey.tif", photographed(phases))
    return tmp_path / "grey.tif"


# What is not shown


def test_what_a_moved_channel_does_not_show_is_no_damage(moved, image):
    for given in (moved, moved / "moved.zarr"):
        with volumes.opened([image, given]) as grey:
            block = grey.read(3, 5)
            assert np.isnan(block[1, :, :10]).all()
            assert np.isfinite(block[1, :, 10:]).all()
            assert np.isfinite(block[0]).all()
            assert grey.gaps() == [0, pytest.approx(10 / 64), 0]


def test_nan_where_something_is_shown_is_damage(moved):
    zarr.open_array(str(moved / "moved.zarr" / "0"))[4, 30, 30] = np.nan
    with volumes.opened(moved) as grey, pytest.raises(InputError, match="in slice 4"):
        grey.read(0, 20)


def test_integers_are_masked_too_and_the_scale_is_of_what_is_shown(tmp_path, phases):
    grey = photographed(phases)
    there = np.ones(grey.shape, np.uint8)
    there[:, :, 20:], grey[:, :, 20:] = 0, 0
    ome_zarr.write_image(tmp_path / "some.zarr", grey, SPACING, "some", {"mask": there}, about={})
    with volumes.opened(tmp_path / "some.zarr") as volume:
        scale = Normalisation.of_volume(volume)
        block = volume.read(0, 4)
    all_shown = Normalisation.of(photographed(phases)[None, :, :, :20].astype(np.float32), ["all"])
    assert scale.centre == pytest.approx(all_shown.centre, rel=0.01)
    assert scale.scale == pytest.approx(all_shown.scale, rel=0.01)
    assert (scale(block)[0, :, :, 20:] == 0).all()


def test_a_channel_that_shows_nothing_is_refused():
    with pytest.raises(InputError, match="shows nothing"):
        Normalisation.of(np.full((1, 2, 8, 8), np.nan, np.float32), ["black"])


def test_clusters_take_the_channels_that_show_something(moved, image, phases):
    with volumes.opened([image, moved]) as grey:
        method = KMeans().fit(grey, MATERIALS)
        block = grey.read(0, 20)
        found = method(np.pad(block, ((0, 0), (method.halo,) * 2, (0, 0), (0, 0)), mode="edge")).classes
    right = found == phases
    assert right[:, 12:].mean() > 0.85
    assert right[:, :8].mean() > 0.75


def test_thresholds_put_no_end_of_the_scale_where_nothing_is_shown(moved):
    with volumes.opened(moved) as grey:
        method = MultiOtsu().fit(grey, MATERIALS)
        block = grey.read(0, 20)
        found = method(np.pad(block, ((0, 0), (method.halo,) * 2, (0, 0), (0, 0)), mode="edge")).classes
    assert (found[:, :10] == 1).all()


# Films that are truly there


def test_films_that_somebody_has_drawn_are_no_fault_of_the_prediction():
    """Other films than the drawn ones in number, but not many more."""
    drawn = np.zeros((12, 40, 40), np.uint8)
    drawn[:, 20:] = 2
    drawn[:, 20:21, :30] = 1
    drawn[:4, :8, :8] = 1
    found = drawn.copy()
    found[:, 20:21, 30:33] = 1
    truth, prediction = films.scan(drawn, (0, 1, 2)), films.scan(found, (0, 1, 2))
    assert len(prediction.warnings(MATERIALS)) == 1
    assert prediction.warnings(MATERIALS, known=truth) == []
    nothing = films.scan(np.where(drawn == 1, 0, drawn), (0, 1, 2))
    assert len(prediction.warnings(MATERIALS, known=nothing)) == 1


# The part that is shown


def test_a_box_is_found_in_what_a_turned_volume_shows():
    made = synth.Channel(rotation=(5, -3, 4), shift=(3, -2, 1))
    affine = placed(made, np.array([60.0, 70, 80]), np.array([60.0, 70, 80]))
    whole = np.ones((60, 70, 80), np.float32)
    shown = np.isfinite(
        registration.resample(whole, affine, moving_spacing=1.0, shape=whole.shape, spacing=1.0)
    )
    box = registration.covered(shown)
    inside = shown[tuple(slice(*part) for part in box)]
    assert inside.all()
    assert inside.size > 0.7 * shown.sum()


@pytest.mark.parametrize("shape", [(300, 6, 200), (4, 4, 4)])
def test_all_is_covered_where_all_is_shown_and_nothing_where_nothing_is(shape):
    assert registration.covered(np.ones(shape, np.uint8)) == [[0, n] for n in shape]
    assert registration.covered(np.zeros(shape, np.uint8)) is None


def test_a_box_leaves_out_a_gap_inside():
    shown = np.ones((20, 30, 40), bool)
    shown[10, 15, 5] = False
    assert registration.covered(shown) == [[0, 20], [0, 30], [6, 40]]


# From raw channels to the graph


def test_two_channels_that_lie_askew_become_the_graph_of_the_true_phases(tmp_path, capsys, monkeypatch):
    """No single channel tells these phases apart; 8 and 16 bit, other voxels, askew, noisy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tripoint.segment.prediction.SLAB", 32)

    def run(*words):
        assert cli.main(list(words)) == 0, capsys.readouterr().err

    lies = {"shift": [0.3, -0.2, 0.15], "rotation": [2, -2, 1], "spacing": [0.07] * 3}
    how = [f"synth.imaging.channels.phase_contrast.{key}={value}" for key, value in lies.items()]
    run("synth", "output=made.zarr", "synth=solid_oxide_electrode", "shape=[80,72,72]", "seed=2",
        "channels=[absorption,phase_contrast]", *how)  # fmt: skip
    for name, kind, top in (("absorption", np.uint16, 40_000), ("phase_contrast", np.uint8, 180)):
        grey = ome_zarr.read_array(tmp_path / "made.zarr", f"channels/{name}")
        limits = np.iinfo(kind)
        tifffile.imwrite(f"{name}.tif", np.clip(grey * top + 0.5, 1, limits.max).astype(kind))
    sizes = ["spacing=[0.06,0.06,0.06]", "moving_spacing=[0.07,0.07,0.07]"]
    run("register", "fixed=absorption.tif", "moving=phase_contrast.tif", *sizes, "rotation=5",
        "truth=made.zarr:channels/phase_contrast", "output=moved")  # fmt: skip
    told = json.loads((tmp_path / "moved" / "summary.json").read_text())
    assert told["truth"]["worst_corner"] < 0.06
    box, seen = told["covered"], "images=[absorption.tif,moved]"
    assert all(high - low > 50 for low, high in box)

    drawn = "slices=[6,10,14,18,22,26,30,34,38,41,44,47]"
    run("segment", "mode=train", seen, "labels=made.zarr", drawn, "materials=solid_oxide_electrode",
        "train.epochs=3", "train.steps=25", "train.patch=64", "train.batch_size=8", "trainer.threads=1",
        "trainer.tensorboard=false", "output=run")  # fmt: skip
    run("segment", "mode=predict", seen, "checkpoint=run", "output=phases")
    found = json.loads((tmp_path / "phases" / "summary.json").read_text())
    assert 0 < found["not_shown"]["moved"] < 0.25
    assert any("moved shows nothing" in text for text in found["warnings"])

    mask = "mask=moved/moved.zarr:labels/mask"
    held = f"slices={list(range(51, box[0][1]))}"
    run("segment", "mode=evaluate", "prediction=phases", "labels=made.zarr", held, mask, "output=score")
    score = json.loads((tmp_path / "score" / "summary.json").read_text())
    assert score["mean_dice"] > 0.95
    report = (tmp_path / "score" / "report.html").read_text()
    assert "channel 1" in report
    assert "channel 2" in report

    figures = []
    for volume in ("phases", "made.zarr"):
        run("analyze", f"input={volume}", "materials=solid_oxide_electrode", f"roi={box}", "output=graph",
            "overwrite=true")  # fmt: skip
        figures.append(json.loads((tmp_path / "graph" / "summary.json").read_text()))
    got, true = figures
    assert got["junctions"][0]["density"] == pytest.approx(true["junctions"][0]["density"], rel=0.1)
    numbers = [sum(one["count"] for one in side["particles"].values()) for side in figures]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.1)
    for one, other in zip(got["interfaces"], true["interfaces"], strict=True):
        assert one["phases"] == other["phases"]
        assert one["specific_area"] == pytest.approx(other["specific_area"], rel=0.15)
