"""Networks: what they are trained on, how they are applied, and what becomes of bad input."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

import tripoint  # noqa: E402
from backends import has_gpu  # noqa: E402
from grey import MATERIALS, composite, photographed  # noqa: E402
from tripoint import cli  # noqa: E402
from tripoint.errors import DeviceError, InputError  # noqa: E402
from tripoint.io import read  # noqa: E402
from tripoint.segment import volumes  # noqa: E402
from tripoint.segment.annotation import UNLABELLED, read_annotation  # noqa: E402
from tripoint.segment.augmentation import Augmentation  # noqa: E402
from tripoint.segment.checkpoint import SCHEMA, Trained, make_network  # noqa: E402
from tripoint.segment.evaluation import evaluate  # noqa: E402
from tripoint.segment.module import SegmentationModule  # noqa: E402
from tripoint.segment.normalisation import Normalisation  # noqa: E402
from tripoint.segment.patches import Parts, Patches, boundary_weights, load_slices  # noqa: E402
from tripoint.segment.prediction import Wanted, predict  # noqa: E402
from tripoint.segment.resident import segmented  # noqa: E402
from tripoint.segment.tiles import Tiled, _fused  # noqa: E402
from tripoint.segment.training import train  # noqa: E402

NETWORK = {"_target_": "tripoint.segment.network.unet", "features": [6, 6, 8, 8, 8, 6]}
SMALL = {"epochs": 2, "steps": 2, "patch": 32, "batch_size": 4, "trainer": {"threads": 1}}
OTHER = {"_target_": "torch.nn.Conv2d", "kernel_size": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    phases = composite((20, 64, 64))
    tifffile.imwrite(folder / "labels.tif", phases)
    tifffile.imwrite(folder / "grey.tif", photographed(phases))
    return folder


@pytest.fixture(scope="module")
def learned(folder):
    """A network that has learned something, in a few seconds."""
    out = folder / "learned"
    record = train(
        folder / "grey.tif", folder / "labels.tif", out, materials=MATERIALS, network=NETWORK, context=1,
        slices=[1, 3, 5, 7, 9, 15], validation=[15], epochs=5, steps=24, patch=48, batch_size=8,
        optimiser={"rate": 1e-2}, trainer={"threads": 1},
    )  # fmt: skip
    return out, record


def small(folder, out, **changes):
    return train(
        changes.pop("images", folder / "grey.tif"), folder / "labels.tif", out,
        **{"materials": MATERIALS, "network": NETWORK, "context": 1, **SMALL, **changes},
    )  # fmt: skip


def loaded(path, context=1, emphasis=3.0, **options):
    with volumes.opened(path / "grey.tif") as grey:
        annotation = read_annotation(grey, path / "labels.tif", MATERIALS, **options)
        normalisation = Normalisation.of(grey.read(0, 20), grey.names)
        return load_slices(grey, annotation, normalisation, context, emphasis)


# Patches


def test_patches_are_the_same_for_a_seed_and_hold_each_phase_as_often(folder):
    slices = loaded(folder, slices=[2, 8])
    one, other, third = (Patches(slices, 16, 90, Augmentation(), seed) for seed in ((0, 1), (0, 1), (0, 2)))
    for a, b in zip(one[3], other[3], strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one[3][0], third[3][0])
    grey, classes, weights = one[0]
    assert grey.shape == (3, 16, 16)
    assert classes.shape == weights.shape == (16, 16)
    shares = np.bincount(np.concatenate([one[k][1].numpy().ravel() for k in range(90)]), minlength=3)
    assert shares.min() / shares.sum() > 0.2


def test_what_is_drawn_turns_with_the_grey_values():
    turning = Augmentation(gain=0, offset=0, noise=0, blur=0, rings=0, ends=0)
    drawn = np.arange(64).reshape(8, 8)
    grey = np.broadcast_to(drawn, (3, 1, 8, 8)).astype(np.float32)
    for seed in range(8):
        found, plane = turning(np.random.default_rng(seed), grey, drawn)
        np.testing.assert_array_equal(found[1, 0], plane)


def test_at_the_ends_of_a_volume_a_slice_stands_for_its_neighbours():
    ending = Augmentation(turns=False, gain=0, offset=0, noise=0, blur=0, rings=0, ends=1)
    grey = np.arange(5, dtype=np.float32)[:, None, None, None] * np.ones((5, 1, 4, 4), np.float32)
    found = {tuple(ending(np.random.default_rng(seed), grey)[0][:, 0, 0, 0]) for seed in range(20)}
    assert found == {(0, 1, 2, 2, 2), (2, 2, 2, 3, 4)}


def test_rings_lie_about_an_axis_and_differ_from_slice_to_slice():
    rings = Augmentation(turns=False, gain=0, offset=0, noise=0, blur=0, rings=0.5, ends=0)
    grey = np.zeros((3, 1, 32, 32), np.float32)
    found = [rings(np.random.default_rng(seed), grey)[0] for seed in range(12)]
    disturbed = [one for one in found if one.any()]
    assert 0 < len(disturbed) < 12
    assert all(np.std(one[0] - one[1]) > 0.1 for one in disturbed)


def test_weights_are_highest_where_phases_meet_and_nothing_without_labels():
    classes = np.zeros((20, 20), np.uint8)
    classes[:, 10:] = 1
    classes[15:] = UNLABELLED
    weights = boundary_weights(classes, 3.0).astype(float)
    assert (weights[15:] == 0).all()
    assert (weights[:10, 9:11] == 4.0).all()
    np.testing.assert_allclose(weights[5, :3], 1.0, atol=1e-2)


def test_parts_hold_each_labelled_pixel_once(folder, monkeypatch):
    monkeypatch.setattr("tripoint.segment.patches._WHOLE", 48)
    slices = loaded(folder, slices=[2, 8])
    parts = Parts(slices)
    known = sum(int((parts[k][1] != UNLABELLED).sum()) for k in range(len(parts)))
    assert known == slices.classes.size


def test_the_loss_sees_no_unlabelled_pixel():
    module = SegmentationModule(torch.nn.Conv2d(3, 3, 1))
    scores = torch.randn(2, 3, 8, 8)
    classes = torch.randint(0, 3, (2, 8, 8))
    classes[:, 4:] = UNLABELLED
    weights = (classes != UNLABELLED).float()
    changed = scores.clone()
    changed[:, :, 4:] = 100 * torch.randn(2, 3, 4, 8)
    one, other = (module._loss(values, classes, weights)[0] for values in (scores, changed))
    assert torch.isclose(one, other)
    expected = torch.nn.functional.cross_entropy(scores, classes, ignore_index=UNLABELLED)
    dice = module._loss(scores, classes, weights)[1]
    assert torch.isclose(one, expected + dice)


# Training


def test_a_network_learns_and_says_what_it_was_trained_on(learned):
    out, record = learned
    assert record["trained_on"] == [1, 3, 5, 7, 9]
    assert record["validated_on"] == [15]
    assert record["validation"][0]["validation_dice"] > 0.9
    assert len(pd.read_csv(out / "metrics.csv")) == 5
    trained = Trained.load(out / "model.pt")
    assert trained.materials == MATERIALS
    assert trained.dtypes == ("uint16",)


def test_it_finds_the_junctions_that_thresholds_lose(folder, learned, tmp_path):
    method = Tiled(Trained.load(learned[0] / "model.pt"))
    predict(folder / "grey.tif", method, tmp_path / "out", spacing=1.0)
    summary = evaluate(
        tmp_path / "out", folder / "labels.tif", tmp_path / "score", slices=list(range(11, 20))
    )
    errors = summary["structure"]["error"]
    assert summary["mean_dice"] > 0.9
    assert abs(errors["junctions"]["dark | middle | bright"]["edges"]) < 0.4
    assert not any("films" in text for text in summary["warnings"])


def test_the_same_seed_gives_the_same_weights_and_a_stopped_training_goes_on_to_them(folder, tmp_path):
    whole = small(folder, tmp_path / "whole", epochs=3)
    small(folder, tmp_path / "again", epochs=3)
    from tripoint.segment import training

    class StoppedError(Exception):
        pass

    def stop(step, done, total):
        if done == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        small(folder, tmp_path / "stopped", epochs=3, progress=stop)
    assert not (tmp_path / "stopped" / training.WEIGHTS).exists()
    small(folder, tmp_path / "stopped", epochs=3)
    first = Trained.load(tmp_path / "whole" / "model.pt").networks[0].state_dict()
    for name in ("again", "stopped"):
        other = Trained.load(tmp_path / name / "model.pt").networks[0].state_dict()
        assert all(torch.equal(values, other[key]) for key, values in first.items())
    assert whole["parameters"] > 1000


def test_class_weights_follow_shares_or_are_given(folder, tmp_path):
    record = small(folder, tmp_path / "a", class_weights="balanced", epochs=1)
    assert np.mean(record["settings"]["options"]["class_weights"]) == pytest.approx(1.0)
    with pytest.raises(InputError, match="class_weights"):
        small(folder, tmp_path / "b", class_weights={"dust": 2.0})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"ensemble": 1.5}, "ensemble is 1.5"),
        ({"network": OTHER}, "which is no network of tripoint"),
        ({"network": {**NETWORK, "features": [3]}}, "the network cannot be made"),
        (
            {"slices": [3], "unlabelled": None, "materials": {"phases": {"a": 0, "b": 1, "c": 2, "d": 3}}},
            "labelled d",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(folder, tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        small(folder, tmp_path / "out", **changes)


def test_a_constant_image_is_refused(folder, tmp_path):
    tifffile.imwrite(tmp_path / "flat.tif", np.full((20, 64, 64), 9, np.uint16))
    with pytest.raises(InputError, match="is constant"):
        small(folder, tmp_path / "out", images=tmp_path / "flat.tif")


# Applying


@pytest.fixture(scope="module")
def method(learned):
    return Tiled(Trained.load(learned[0] / "model.pt"), smooth=0.7)


def block(folder, halo=3):
    with volumes.opened(folder / "grey.tif") as grey:
        return next(iter(grey.blocks([(0, 6)], halo)))


def test_tiles_agree_with_a_whole_slice(folder, method):
    whole = method(block(folder), ("probabilities",))
    tiled = replace(method, tile=48, overlap=0.5)(block(folder), ("probabilities",))
    assert (whole.classes == tiled.classes).mean() > 0.97
    np.testing.assert_allclose(tiled.probabilities.sum(axis=0), 1.0, atol=1e-5)


def test_a_tile_larger_than_the_volume_is_the_volume(folder, method):
    larger = replace(method, tile=4096)(block(folder))
    np.testing.assert_array_equal(larger.classes, method(block(folder)).classes)
    odd = block(folder)[..., :37, :21]
    assert method(odd).classes.shape == (6, 37, 21)


def test_smoothing_is_a_gaussian_over_the_probabilities_also_along_z(folder, method):
    from scipy import ndimage

    plain = replace(method, smooth=0.0)
    assert (plain.halo, method.halo) == (1, 3)
    with volumes.opened(folder / "grey.tif") as grey:
        wide = plain(next(iter(grey.blocks([(4, 14)], 1))), ("probabilities",)).probabilities
        found = method(next(iter(grey.blocks([(6, 12)], 3))), ("probabilities",)).probabilities
    expected = ndimage.gaussian_filter(wide, (0, 0.7, 0.7, 0.7), mode="nearest", radius=2)[:, 2:-2]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_width_of_the_smoothing_is_what_held_out_slices_say(folder, method):
    dice = method.trained.about["smoothing"]
    assert set(dice) == {"0.7", "0.5", "0"}
    assert all(0.8 < value <= 1 for value in dice.values())
    assert dice[f"{Tiled(method.trained).width:g}"] == max(dice.values())
    assert Tiled(replace(method.trained, about={})).width == 0.7
    rough = replace(method.trained, about={"smoothing": {"0.7": 0.97, "0": 0.98}})
    assert (Tiled(rough).width, Tiled(rough, smooth=0.4).width) == (0.0, 0.4)


def test_normalisations_become_part_of_the_convolutions(method):
    network = method.trained.networks[0]
    fused = _fused(network)
    assert not any(isinstance(one, torch.nn.BatchNorm2d) for one in fused.modules())
    grey = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(fused(grey), network(grey), atol=1e-4, rtol=1e-4)


def test_probabilities_and_uncertainty_are_written(folder, method, tmp_path):
    wanted = Wanted("uint8", "entropy")
    predict(folder / "grey.tif", method, tmp_path / "out", spacing=1.0, wanted=wanted, smallest=0)
    import zarr

    group = zarr.open_group(str(tmp_path / "out" / "volume.zarr"), mode="r")
    shares = np.stack([group[f"channels/probability_{name}/0"][...] for name in ("dark", "middle", "bright")])
    assert abs(shares.astype(int).sum(axis=0) - 255).max() <= 2
    phases = read(tmp_path / "out", materials=MATERIALS).phases
    best = shares.argmax(axis=0)
    clear = np.sort(shares, axis=0)[-1].astype(int) - np.sort(shares, axis=0)[-2] > 2
    np.testing.assert_array_equal(best[clear], phases[clear])
    uncertain = group["channels/uncertainty/0"][...]
    assert uncertain[shares.max(axis=0) > 250].mean() < uncertain[shares.max(axis=0) < 180].mean()


def test_an_ensemble_tells_where_its_networks_disagree(folder, tmp_path):
    small(folder, tmp_path / "run", ensemble=2, epochs=1)
    assert (tmp_path / "run" / "network_1" / "last.ckpt").exists()
    trained = Trained.load(tmp_path / "run" / "model.pt")
    both = Tiled(trained)(block(folder), ("probabilities", "disagreement"))

    def of(*networks):
        return Tiled(replace(trained, networks=networks))

    each = [of(one)(block(folder), ("probabilities",)) for one in trained.networks]
    mean = (each[0].probabilities + each[1].probabilities) / 2
    np.testing.assert_allclose(both.probabilities, mean, atol=1e-5)
    assert 0 < both.uncertainty.max() <= 1
    single = of(trained.networks[0], trained.networks[0])
    assert single(block(folder), ("disagreement",)).uncertainty.max() < 1e-5


def test_half_precision_changes_little(folder, method):
    half = replace(method, half=True)(block(folder)).classes
    assert (half == method(block(folder)).classes).mean() > 0.98


def test_volumes_that_a_network_does_not_fit_are_refused(folder, method, tmp_path):
    eight = tmp_path / "eight.tif"
    tifffile.imwrite(eight, (tifffile.imread(folder / "grey.tif") // 256).astype(np.uint8))
    with (
        volumes.opened([folder / "grey.tif", eight]) as grey,
        pytest.raises(InputError, match="on 1 channels"),
    ):
        method.trained.check(grey)
    with volumes.opened(eight) as grey:
        with pytest.raises(InputError, match="holds uint8 values, and the network was trained on uint16"):
            method.trained.check(grey)
        method.trained.check(grey, own_scale=True)
        own = method.with_normalisation(Normalisation.of_volume(grey))
        found = own(next(iter(grey.blocks([(0, 6)], own.halo)))).classes
    assert (found == method(block(folder)).classes).mean() > 0.9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tile": 3}, "tile is 3"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"overlap": 1.0}, "overlap is 1.0"),
        ({"smooth": -1}, "smooth is -1"),
    ],
)
def test_tiles_that_make_no_sense_are_refused(method, options, words):
    with pytest.raises(InputError, match=words):
        Tiled(method.trained, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(method):
    with pytest.raises(DeviceError, match="sees no GPU"):
        Tiled(method.trained, device="cuda")


# Checkpoints


def test_checkpoints_of_other_kinds_are_refused(tmp_path, learned):
    content = torch.load(learned[0] / "model.pt", weights_only=True)
    with pytest.raises(InputError, match="there is no checkpoint"):
        Trained.load(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(InputError, match="is no checkpoint of tripoint"):
        Trained.load(tmp_path / "text.pt")
    torch.save({"schema": 2, "networks": []}, tmp_path / "graph.pt")
    with pytest.raises(InputError, match="no checkpoint of segment"):
        Trained.load(tmp_path / "graph.pt")
    torch.save({**content, "schema": SCHEMA + 1}, tmp_path / "later.pt")
    with pytest.raises(InputError, match=f"has the form {SCHEMA + 1}"):
        Trained.load(tmp_path / "later.pt")
    torch.save({**content, "configuration": OTHER}, tmp_path / "foreign.pt")
    with pytest.raises(InputError, match="do not trust it"):
        Trained.load(tmp_path / "foreign.pt")


def test_targets_outside_the_room_are_not_called():
    with pytest.raises(InputError, match="do not trust it"):
        make_network({"_target_": "os.system"}, 1, 0, 3)


# Command line


def test_a_part_is_segmented_as_the_whole(folder, learned, tmp_path):
    words = [
        f"images={folder / 'grey.tif'}",
        f"checkpoint={learned[0]}",
        "spacing=1",
        "smallest=0",
        "smooth=0",
    ]
    assert cli.main(["segment", "mode=predict", *words, f"output={tmp_path / 'whole'}"]) == 0
    part = ["roi=[[5,12],null,[16,64]]", f"output={tmp_path / 'part'}"]
    assert cli.main(["segment", "mode=predict", *words, *part]) == 0
    whole, found = (read(tmp_path / name, materials=MATERIALS).phases for name in ("whole", "part"))
    assert found.shape == (7, 64, 48)
    assert (found[1:-1, :, 16:] == whole[6:11, :, 32:]).mean() > 0.99
    summary = json.loads((tmp_path / "part" / "summary.json").read_text())
    assert summary["slices"] == {"first": 5, "last": 11}
    how = ["spacing=1", f"segment.checkpoint={learned[0]}", "segment.smallest=0", "segment.smooth=0"]
    asked = ["analyze", f"input={folder / 'grey.tif'}", *how, part[0], "subvolumes=0"]
    assert cli.main([*asked, f"output={tmp_path / 'graph'}"]) == 0
    np.testing.assert_array_equal(read(tmp_path / "graph" / "volume.zarr", materials=MATERIALS).phases, found)


def test_constant_grey_values_are_refused_and_others_than_those_of_the_training_are_told(
    folder, learned, tmp_path, capsys
):
    grey = tifffile.imread(folder / "grey.tif")
    tifffile.imwrite(tmp_path / "flat.tif", np.full_like(grey, 7))
    tifffile.imwrite(tmp_path / "dim.tif", grey // 2)
    words = ["segment", "mode=predict", f"checkpoint={learned[0]}", "spacing=1"]
    assert cli.main([*words, f"images={tmp_path / 'flat.tif'}", f"output={tmp_path / 'flat'}"]) == 1
    assert "flat.tif is constant (7)" in capsys.readouterr().err
    assert not (tmp_path / "flat").exists()
    for name, told in (("dim.tif", True), (folder / "grey.tif", False)):
        output = f"output={tmp_path / str(told)}"
        assert cli.main([*words, f"images={tmp_path / name}", output]) == 0
        assert ("set normalise=volume" in capsys.readouterr().err) == told


def test_slices_that_are_no_squares_are_trained_on(tmp_path):
    phases = composite((6, 40, 150))
    tifffile.imwrite(tmp_path / "labels.tif", phases)
    tifffile.imwrite(tmp_path / "grey.tif", photographed(phases))
    small(tmp_path, tmp_path / "out", validation=0, patch=128)
    assert (tmp_path / "out" / "model.pt").is_file()
    for changes, words in (
        ({"patch": 8}, "patch is 8; expected at least 16 pixels"),
        ({"patch": 16, "batch_size": 1}, "train.batch_size=2"),
    ):
        with pytest.raises(InputError, match=words):
            small(tmp_path, tmp_path / "other", **changes)
    tifffile.imwrite(tmp_path / "grey.tif", photographed(phases)[:, :12, :12])
    tifffile.imwrite(tmp_path / "labels.tif", phases[:, :12, :12])
    with pytest.raises(InputError, match="12 × 12 pixels; expected at least 16"):
        small(tmp_path, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_training_is_replaced_only_once_all_has_been_checked(folder, tmp_path):
    small(folder, tmp_path / "out", ensemble=2)
    before = (tmp_path / "out" / "model.pt").stat().st_mtime_ns
    with pytest.raises(InputError):
        small(folder, tmp_path / "out", overwrite=True, slices=[99])
    assert (tmp_path / "out" / "model.pt").stat().st_mtime_ns == before
    record = small(folder, tmp_path / "out", overwrite=True, seed=5, spacing=[500, 100, 100], units="nm")
    assert record["spacing"] == [0.5, 0.1, 0.1]
    assert not list((tmp_path / "out").glob("network_*"))


def test_a_hot_pixel_changes_little(folder, tmp_path, method):
    grey = tifffile.imread(folder / "grey.tif").astype(np.float32)
    grey[3, 5, 5] = 1e9
    scaled = method.trained.normalisation(grey[None])
    assert scaled.max() == 10
    assert np.isfinite(scaled.astype(np.float16)).all()


def test_a_run_whose_grey_values_are_refused_leaves_nothing(folder, tmp_path, method, monkeypatch):
    monkeypatch.setattr("tripoint.segment.prediction.SLAB", 4)
    grey = tifffile.imread(folder / "grey.tif").astype(np.float32)
    tifffile.imwrite(tmp_path / "grey.tif", np.where(np.arange(20)[:, None, None] == 15, np.nan, grey))
    with pytest.raises(InputError, match="first in slice 15"):
        predict(tmp_path / "grey.tif", method, tmp_path / "out", spacing=1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["grey.tif"]
    tifffile.imwrite(tmp_path / "grey.tif", grey)
    summary = predict(tmp_path / "grey.tif", method, tmp_path / "out", spacing=1.0)
    assert summary["least_voxels"] == 8


def test_channels_in_another_order_are_refused(folder, learned, tmp_path, capsys):
    for name in ("one", "two"):
        tifffile.imwrite(tmp_path / f"{name}.tif", tifffile.imread(folder / "grey.tif"))
    images = [tmp_path / "one.tif", tmp_path / "two.tif"]
    small(folder, tmp_path / "run", images=images)
    given = f"images=[{images[1]},{images[0]}]"
    words = ["segment", "mode=predict", given, f"checkpoint={tmp_path / 'run'}", "spacing=1"]
    assert cli.main([*words, f"output={tmp_path / 'out'}"]) == 1
    assert "trained on the channels one, two, and images gives two, one" in capsys.readouterr().err


def test_terminals_that_are_not_named_stay(folder, learned, tmp_path):
    trained = Trained.load(learned[0] / "model.pt")
    named = trained.materials.to_mapping()
    named["terminals"] = {"ion": "z-", "electron": "z+"}
    replace(trained, materials=type(trained.materials).from_mapping(named)).save(tmp_path / "model.pt")
    words = [f"segment.checkpoint={tmp_path / 'model.pt'}", "spacing=0.5", "subvolumes=0"]
    out = f"output={tmp_path / 'out'}"
    assert (
        cli.main(["analyze", f"input={folder / 'grey.tif'}", "materials.terminals.ion=x-", *words, out]) == 0
    )
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["materials"]["terminals"] == {"ion": "x-", "electron": "z+"}


def test_train_predict_evaluate_analyze_by_commands(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    materials = f"materials={json.dumps(MATERIALS.to_mapping())}"

    def run(*words):
        code = cli.main([str(word) for word in words])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out.split()[-1]

    images, labels = f"images={folder / 'grey.tif'}", f"labels={folder / 'labels.tif'}"
    assert run(
        "segment", "mode=train", images, labels, materials, "slices=[1,4,7,12]", "train.validation=[12]",
        "algorithm.network.features=[6,6,8,8,8,6]", "train.epochs=2", "train.steps=4", "train.patch=32",
        "trainer.threads=1", "trainer.tensorboard=false", "output=run",
    ) == "run/model.pt"  # fmt: skip
    found = run(
        "segment", "mode=predict", images, "checkpoint=run", "spacing=[1,1,1]", "probabilities=float16",
        "uncertainty=entropy", "smallest=5", "output=out",
    )  # fmt: skip
    assert found == "out/summary.json"
    run("segment", "mode=evaluate", "prediction=out", labels, "slices=[14,15,16]", "output=score")
    assert (tmp_path / "score" / "report.html").is_file()
    run("analyze", "input=out", materials, "output=graph", "subvolumes=0")
    assert (tmp_path / "graph" / "summary.json").is_file()


def test_an_analysis_of_grey_values_is_that_of_their_segmentation(folder, learned, tmp_path, capsys):
    checkpoint, grey = learned[0], folder / "grey.tif"
    predict(grey, Tiled(Trained.load(checkpoint / "model.pt")), tmp_path / "phases", spacing=0.5)
    expected = read(tmp_path / "phases", materials=MATERIALS).phases
    words = [f"segment.checkpoint={checkpoint}", "spacing=0.5", "subvolumes=0", f"output={tmp_path / 'out'}"]
    assert cli.main(["analyze", f"input={grey}", "materials.terminals.ion=z-", *words]) == 0
    found = read(tmp_path / "out" / "volume.zarr", materials=MATERIALS)
    np.testing.assert_array_equal(found.phases, expected)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["sample"]["name"] == "grey"
    assert summary["materials"]["terminals"] == {"ion": "z-"}
    told = summary["run"]["configuration"]["input"]
    assert told["checkpoint"] == str((checkpoint / "model.pt").resolve())
    for words, said in (
        (["channel=0"], "channel is given, which only volumes of phases have"),
        (["roi=[[0,99],null,null]"], "roi along z is [0, 99], but the volume has 20 voxels there"),
        (["materials=solid_oxide_electrode"], "the network was trained on three with the phases"),
        (["segment.smooth=9"], "smooth is 9"),
    ):
        given = ["spacing=0.5", f"segment.checkpoint={checkpoint}", f"output={tmp_path / 'other'}", *words]
        assert cli.main(["analyze", f"input={grey}", *given]) == 1
        assert said in capsys.readouterr().err
        assert not (tmp_path / "other").exists()


@pytest.mark.skipif(not (torch.cuda.is_available() and has_gpu()), reason="no GPU")
@pytest.mark.parametrize("half", [False, True])
def test_phases_stay_on_the_gpu(folder, learned, half):
    trained = Trained.load(learned[0] / "model.pt")
    there = segmented(folder / "grey.tif", Tiled(trained, device="cuda", half=half), spacing=1.0)
    here = segmented(folder / "grey.tif", Tiled(trained), spacing=1.0)
    assert (there.device, here.device) == ("cuda", "cpu")
    assert (there.to("cpu").phases == here.phases).mean() > (0.99 if half else 0.999)
    assert tripoint.analyze(there, device="cuda").regions.device is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mode=learn"], "mode is 'learn'"),
        (["mode=train"], "images"),
        (["mode=evaluate", "roi=[[0,9],null,null]"], "roi is given, and mode=evaluate has none"),
        (["mode=train", "images=a.tif", "labels=b.tif"], "the materials are missing"),
        (["mode=predict", "images=a.tif", "output=o"], "the checkpoint is missing"),
        (["mode=predict", "images=a.tif", "output=o", "checkpoint=none"], "there is no checkpoint none"),
        (["mode=train", "images=a.tif", "labels=b.tif", "algorithm=kmeans"], "needs no training"),
        (["mode=train", "images=a.tif", "labels=b.tif", "slices=5", "output=o"], "slices"),
    ],
)
def test_one_sentence_for_what_is_missing(tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    materials = [] if "materials" in said else ["materials=solid_oxide_electrode"]
    assert cli.main(["segment", *words, *materials]) == 1
    captured = capsys.readouterr().err.strip().splitlines()
    assert said in captured[-1]
    assert "not foreseen" not in captured[-1]
    assert not (tmp_path / "o").exists()
