"""Annotations, classical methods, islands and scores: what needs no network."""

import json

import numpy as np
import pytest
import tifffile
import zarr
from scipy import ndimage
from sklearn.metrics import f1_score, jaccard_score

from grey import MATERIALS, composite, photographed
from tripoint import films, uncertainty
from tripoint.errors import InputError, OutputError
from tripoint.io import read
from tripoint.islands import remove_islands
from tripoint.segment import scores, volumes
from tripoint.segment.annotation import UNLABELLED, read_annotation
from tripoint.segment.classical import KMeans, MultiOtsu, Watershed
from tripoint.segment.evaluation import evaluate, sentence
from tripoint.segment.prediction import Wanted, predict
from tripoint.segment.splitting import split


@pytest.fixture(autouse=True)
def _slabs(monkeypatch):
    monkeypatch.setattr("tripoint.segment.prediction.SLAB", 16)


@pytest.fixture(scope="module")
def phases():
    return composite()


@pytest.fixture(scope="module")
def grey(phases):
    return photographed(phases)


@pytest.fixture
def image(tmp_path, grey):
    tifffile.imwrite(tmp_path / "grey.tif", grey)
    return tmp_path / "grey.tif"


def slices(folder, array, numbers):
    folder.mkdir()
    for plane, number in zip(array, numbers, strict=True):
        tifffile.imwrite(folder / f"slice_{number:04d}.tif", plane)
    return folder


def annotated(image, path, **options):
    with volumes.opened(image) as volume:
        return read_annotation(volume, path, MATERIALS, **options)


# Reading


def test_blocks_give_each_run_with_its_neighbours_and_repeat_the_ends(image, grey):
    with volumes.opened([image, image]) as volume:
        found = list(volume.blocks([(0, 4), (4, 9), (15, 20)], halo=2))
    whole = np.pad(grey, ((2, 2), (0, 0), (0, 0)), mode="edge").astype(np.float32)
    for block, (start, stop) in zip(found, [(0, 4), (4, 9), (15, 20)], strict=True):
        assert block.shape[0] == 2
        np.testing.assert_array_equal(block[1], whole[start : stop + 4])


def test_slices_are_paired_by_the_numbers_in_their_names(tmp_path, phases, grey):
    images = slices(tmp_path / "grey", grey, range(101, 121))
    labels = slices(tmp_path / "labels", phases[[3, 4, 11]], (104, 105, 112))
    with volumes.opened(images) as volume:
        found = read_annotation(volume, labels, MATERIALS)
        assert found.numbers == (104, 105, 112)
        assert found.positions == (3, 4, 11)
        chosen = read_annotation(volume, labels, MATERIALS, slices=[112])
    np.testing.assert_array_equal(chosen.classes[0], phases[11])


@pytest.mark.parametrize("kind", ["folder from 0", "folder from 201", "one file"])
@pytest.mark.parametrize("named", [True, False])
def test_some_drawn_slices_are_paired_by_number_wherever_images_begin(tmp_path, phases, grey, kind, named):
    first = 201 if kind.endswith("201") else 0
    numbers = [first + z for z in (2, 5, 12, 19)]
    labels = slices(tmp_path / "labels", phases[[2, 5, 12, 19]], numbers)
    if kind == "one file":
        images = tmp_path / "grey.tif"
        tifffile.imwrite(images, grey)
    else:
        images = slices(tmp_path / "grey", grey, range(first, first + 20))
    chosen = numbers[1:3] if named else numbers
    found = annotated(images, labels, slices=chosen if named else None)
    assert found.numbers == tuple(chosen)
    np.testing.assert_array_equal(found.classes, phases[list(found.positions)])


@pytest.mark.parametrize(
    ("first", "numbers", "chosen", "words"),
    [
        (0, (0, 5, 10, 15), [1, 2, 3, 4], "no slice 1; the numbers in its files' names are 0, 5, 10, 15"),
        (0, (2, 9, 25), None, "has 0 to 19, so that 25 is unknown"),
        (201, (203, 230), None, "has 201 to 220, so that 230 is unknown"),
        (201, (1, 2, 3), None, "so that 1 is unknown; name the files by the numbers of the images' slices$"),
        (0, tuple(range(2, 22)), None, None),
        (201, tuple(range(211, 231)), None, "so that 221 is unknown"),
        (0, tuple(range(0, 40, 2)), None, "so that 20 is unknown"),
    ],
)
def test_drawn_slices_that_the_images_do_not_have_are_refused(
    tmp_path, phases, grey, first, numbers, chosen, words
):
    images = slices(tmp_path / "grey", grey, range(first, first + 20))
    labels = slices(tmp_path / "labels", phases[: len(numbers)], numbers)
    if words is None:
        assert len(annotated(images, labels)) == 20
        return
    with pytest.raises(InputError, match=words):
        annotated(images, labels, slices=chosen)


@pytest.mark.parametrize(("first", "drawn"), [(0, 1), (201, 1), (201, 0), (1, 201)])
def test_as_many_drawn_slices_as_images_come_in_order_where_one_is_a_mere_count(
    tmp_path, phases, grey, first, drawn
):
    images = slices(tmp_path / "grey", grey, range(first, first + 20))
    labels = slices(tmp_path / "labels", phases, range(drawn, drawn + 20))
    found = annotated(images, labels, slices=[first + 4, first + 7])
    assert found.numbers == (first + 4, first + 7)
    np.testing.assert_array_equal(found.classes, phases[[4, 7]])


def test_images_may_be_a_part_of_a_scan_of_which_all_is_drawn(tmp_path, phases, grey):
    labels = slices(tmp_path / "labels", phases, range(201, 221))
    images = slices(tmp_path / "grey", grey[5:9], range(206, 210))
    found = annotated(images, labels)
    assert found.numbers == (206, 207, 208, 209)
    np.testing.assert_array_equal(found.classes, phases[5:9])
    renumbered = slices(tmp_path / "first", grey[:4], range(4))
    with pytest.raises(InputError, match="so that 201 is unknown"):
        annotated(renumbered, labels)


def test_a_version_behind_the_number_of_a_slice_is_not_taken_for_it(tmp_path, phases, grey):
    images = slices(tmp_path / "grey", grey, range(20))
    labels = slices(tmp_path / "labels", phases[[3, 9]], (3, 9))
    for file in list(labels.iterdir()):
        file.rename(file.with_name(f"{file.stem}_v2.tif"))
    assert annotated(images, labels).numbers == (3, 9)
    with pytest.raises(InputError, match="has no slice 5"):
        annotated(images, labels, slices=[5, 15])


def test_a_mask_is_paired_by_number_too(tmp_path, image, phases):
    np.save(tmp_path / "drawn.npy", phases)
    mask = np.ones((2, *phases.shape[1:]), np.uint8)
    mask[1, :, 20:] = 0
    folder = slices(tmp_path / "mask", mask, (4, 9))
    found = annotated(image, tmp_path / "drawn.npy", mask=folder, slices=[9])
    assert (found.classes[0, :, 20:] == UNLABELLED).all()
    with pytest.raises(InputError, match="has no slice 5"):
        annotated(image, tmp_path / "drawn.npy", mask=folder, slices=[4, 5])


def test_slices_out_of_order_are_refused_where_labels_hold_nothing_else(tmp_path, image, phases):
    np.save(tmp_path / "drawn.npy", phases[[9, 2]])
    with pytest.raises(InputError, match="expected them ascending"):
        annotated(image, tmp_path / "drawn.npy", slices=[9, 2])


@pytest.mark.parametrize(("blank", "dtype"), [(65535, np.uint16), (-1, np.int16), (77, np.uint8)])
def test_any_integer_may_mark_what_is_not_labelled(tmp_path, image, phases, blank, dtype):
    drawn = phases.astype(dtype)
    drawn[:, :9] = blank
    np.save(tmp_path / "drawn.npy", drawn)
    found = annotated(image, tmp_path / "drawn.npy", unlabelled=blank)
    assert (found.classes[:, :9] == UNLABELLED).all()
    np.testing.assert_array_equal(found.classes[:, 9:], phases[:, 9:])
    with pytest.raises(InputError, match=f"unlabelled={blank} if it marks"):
        annotated(image, tmp_path / "drawn.npy")


def test_labels_may_hold_nothing_but_the_annotated_slices(tmp_path, image, phases):
    np.save(tmp_path / "drawn.npy", phases[[2, 9]])
    found = annotated(image, tmp_path / "drawn.npy", slices=[2, 9])
    assert found.positions == (2, 9)
    np.testing.assert_array_equal(found.classes, phases[[2, 9]])


def test_what_is_not_labelled_is_left_out(tmp_path, image, phases):
    drawn = phases.copy()
    drawn[:5] = 255
    drawn[7, 10:] = 255
    np.save(tmp_path / "drawn.npy", drawn)
    found = annotated(image, tmp_path / "drawn.npy")
    assert found.positions == tuple(range(5, 20))
    assert (found.classes[2, 10:] == UNLABELLED).all()
    mask = np.ones(phases.shape, np.uint8)
    mask[:, :, 30:] = 0
    np.save(tmp_path / "mask.npy", mask)
    masked = annotated(image, tmp_path / "drawn.npy", mask=tmp_path / "mask.npy")
    assert (masked.classes[:, :, 30:] == UNLABELLED).all()


def change_shape(phases):
    return phases[:, :-1]


def change_label(phases):
    return np.where(phases == 2, 7, phases)


def change_depth(phases):
    return phases[:-1]


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (change_shape, {}, "expected images and labels of the same shape"),
        (change_depth, {}, "expected labels of the same shape, or of nothing but the annotated slices"),
        (change_label, {}, "holds the label 7, which the materials do not name"),
        (np.zeros_like, {}, "only dark is labelled"),
        (lambda phases: np.full_like(phases, 255), {}, "nothing is labelled"),
        (lambda phases: phases.astype(np.float32), {}, "expected integer labels"),
        (None, {"slices": [3, 99]}, "expected different numbers from 0 to 19"),
        (None, {"slices": []}, "expected different numbers"),
        (None, {"unlabelled": 1}, "expected a label that is no phase's"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(tmp_path, image, phases, change, options, words):
    np.save(tmp_path / "drawn.npy", change(phases) if change else phases)
    with pytest.raises(InputError, match=words):
        annotated(image, tmp_path / "drawn.npy", **options)


def test_channels_of_different_shapes_are_refused(tmp_path, image, grey):
    tifffile.imwrite(tmp_path / "other.tif", grey[:, :-2])
    with (
        pytest.raises(InputError, match="tripoint register"),
        volumes.opened([image, tmp_path / "other.tif"]),
    ):
        pass


def test_nan_is_refused_with_its_slice(tmp_path, grey):
    broken = grey.astype(np.float32)
    broken[6, 3, 3] = np.nan
    np.save(tmp_path / "broken.npy", broken)
    with volumes.opened(tmp_path / "broken.npy") as volume, pytest.raises(InputError, match="in slice 6"):
        volume.read(0, 20)


# Splitting


def test_the_end_is_held_out_and_what_is_near_it_left_out(tmp_path, image, phases):
    np.save(tmp_path / "drawn.npy", phases)
    whole = annotated(image, tmp_path / "drawn.npy")
    training, held = split(whole, 0.2, context=2)
    assert held.numbers == (16, 17, 18, 19)
    assert training.numbers == tuple(range(14))
    training, held = split(whole, [4, 5], context=1)
    assert held.numbers == (4, 5)
    assert not {3, 6} & set(training.numbers)
    assert split(whole, 0, context=2)[1] is None


def test_rows_of_a_single_slice_are_held_out(tmp_path, image, phases):
    np.save(tmp_path / "drawn.npy", phases)
    training, held = split(annotated(image, tmp_path / "drawn.npy", slices=[7]), 0.2, context=2)
    known = [(side.classes[0] != UNLABELLED).any(axis=1) for side in (training, held)]
    assert known[0].any()
    assert known[1].any()
    assert not (known[0] & known[1]).any()


def test_slices_named_for_the_validation_are_those_held_out_or_refused(tmp_path, image, phases):
    np.save(tmp_path / "drawn.npy", phases)
    three = annotated(image, tmp_path / "drawn.npy", slices=[5, 6, 7])
    training, held = split(three, [6], context=0)
    assert (training.numbers, held.numbers) == ((5, 7), (6,))
    with pytest.raises(InputError, match=r"within train\.context=2 of it, .* set train\.context=0"):
        split(three, [6], context=2)
    apart = annotated(image, tmp_path / "drawn.npy", slices=[2, 5, 6])
    training, held = split(apart, [6], context=2)
    assert (training.numbers, held.numbers) == ((2,), (6,))
    np.testing.assert_array_equal(training.classes[0], phases[2])
    np.testing.assert_array_equal(held.classes[0], phases[6])


def test_a_slice_too_small_to_hold_rows_out_is_told(tmp_path, image, phases, caplog):
    drawn = phases[:, :30]
    tifffile.imwrite(tmp_path / "grey.tif", tifffile.imread(image)[:, :30])
    np.save(tmp_path / "drawn.npy", drawn)
    with caplog.at_level("INFO", logger="tripoint"):
        training, held = split(annotated(image, tmp_path / "drawn.npy", slices=[7]), 0.2, context=2)
    assert held is None
    np.testing.assert_array_equal(training.classes[0], drawn[7])
    assert "nothing is held out" in caplog.text
    assert "one annotated slice of 30 rows" in caplog.text


@pytest.mark.parametrize("given", [1.5, [3, 50], [3, 3], list(range(20)), True])
def test_a_split_that_makes_no_sense_is_refused(tmp_path, image, phases, given):
    np.save(tmp_path / "drawn.npy", phases)
    with pytest.raises(InputError, match="validation is"):
        split(annotated(image, tmp_path / "drawn.npy"), given, context=2)


# Classical methods


@pytest.mark.parametrize("method", [MultiOtsu(), KMeans(), Watershed()])
def test_classical_methods_find_most_voxels_in_slabs_as_in_a_whole(
    tmp_path, image, phases, method, monkeypatch
):
    with volumes.opened(image) as volume:
        fitted = method.fit(volume, MATERIALS)
        whole = fitted(next(iter(volume.blocks([(0, 20)], fitted.halo)))).classes
    assert (whole == phases).mean() > 0.85
    predict(image, fitted, tmp_path / "out", spacing=1.0, smallest=0)
    found = read(tmp_path / "out", materials=MATERIALS).phases
    assert (found == whole).mean() > (0.995 if method.name == "watershed" else 0.99999)


def test_thresholds_say_that_they_make_films_and_watershed_makes_fewer(tmp_path, image):
    shares = {}
    for method in (MultiOtsu(sigma=0.5), Watershed(sigma=0.5)):
        with volumes.opened(image) as volume:
            fitted = method.fit(volume, MATERIALS)
        summary = predict(image, fitted, tmp_path / method.name, spacing=1.0)
        shares[method.name] = summary["phases"]["middle"]["in_films"]
        if method.name == "multi_otsu":
            assert any("middle forms films" in text for text in summary["warnings"])
    assert shares["watershed"] < shares["multi_otsu"] / 3


def test_clusters_of_two_channels_part_what_one_cannot(tmp_path, image, phases):
    second = photographed(np.array([0, 2, 0], np.uint8)[phases], seed=1)
    tifffile.imwrite(tmp_path / "second.tif", second)
    agreement = {}
    for images in ([image], [image, tmp_path / "second.tif"]):
        with volumes.opened(images) as volume:
            found = KMeans().fit(volume, MATERIALS)
            classes = found(next(iter(volume.blocks([(0, 20)], found.halo)))).classes
        agreement[len(images)] = (classes == phases).mean()
    assert agreement[2] > agreement[1] + 0.02


def test_phases_may_come_in_any_order_of_brightness(image, phases):
    with volumes.opened(image) as volume:
        forwards = MultiOtsu().fit(volume, MATERIALS)
        backwards = MultiOtsu(order=["bright", "middle", "dark"]).fit(volume, MATERIALS)
        block = next(iter(volume.blocks([(0, 4)], forwards.halo)))
        np.testing.assert_array_equal(forwards(block).classes, 2 - backwards(block).classes)
        with pytest.raises(InputError, match="from dark to bright"):
            MultiOtsu(order=["bright", "dark"]).fit(volume, MATERIALS)


def test_a_constant_image_and_too_many_channels_are_refused(tmp_path, image):
    tifffile.imwrite(tmp_path / "flat.tif", np.full((5, 20, 20), 7, np.uint16))
    with volumes.opened(tmp_path / "flat.tif") as volume, pytest.raises(InputError, match="is constant"):
        MultiOtsu().fit(volume, MATERIALS)
    with volumes.opened([image, image]) as volume, pytest.raises(InputError, match="looks at one channel"):
        Watershed().fit(volume, MATERIALS)


# Prediction into files


def otsu(image):
    with volumes.opened(image) as volume:
        return MultiOtsu().fit(volume, MATERIALS)


def test_a_run_that_is_stopped_goes_on_and_nothing_half_written_is_seen(tmp_path, image):
    class Stopping:
        def __init__(self, inner, after):
            self.inner, self.left, self.seen = inner, after, 0

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def __call__(self, block, wanted=()):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            self.seen += 1
            return self.inner(block, wanted)

    whole = predict(image, otsu(image), tmp_path / "whole", spacing=1.0)
    with pytest.raises(KeyboardInterrupt):
        predict(image, Stopping(otsu(image), 1), tmp_path / "out", spacing=1.0)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="unfinished run with other settings"):
        predict(image, otsu(image), tmp_path / "out", spacing=2.0)
    rest = Stopping(otsu(image), -1)
    summary = predict(image, rest, tmp_path / "out", spacing=1.0)
    assert rest.seen == 1
    assert summary["phases"] == whole["phases"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grey.tif", "out", "whole"]
    one, other = (read(tmp_path / name, materials=MATERIALS).phases for name in ("whole", "out"))
    np.testing.assert_array_equal(one, other)


def test_a_full_disk_is_told_and_the_run_goes_on_later(tmp_path, image, monkeypatch):
    from tripoint.segment import prediction

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(prediction, "_store", full)
        with pytest.raises(OutputError, match="no space left"):
            predict(image, otsu(image), tmp_path / "out", spacing=1.0)
    assert not (tmp_path / "out").exists()
    predict(image, otsu(image), tmp_path / "out", spacing=1.0)


def test_no_voxel_size_and_probabilities_that_nobody_knows_are_refused(tmp_path, image):
    with pytest.raises(InputError, match="does not state its voxel size"):
        predict(image, otsu(image), tmp_path / "out")
    with pytest.raises(InputError, match="tells nothing but phases"):
        predict(image, otsu(image), tmp_path / "out", spacing=1.0, wanted=Wanted("uint8"))
    with pytest.raises(InputError, match="expected uint8, float16"):
        predict(image, otsu(image), tmp_path / "out", spacing=1.0, wanted=Wanted("int4"))


# Islands


@pytest.mark.parametrize("depth", [3, 32])
def test_islands_go_to_what_surrounds_them_also_across_slabs(depth):
    phases = np.zeros((12, 12, 12), np.uint8)
    phases[:, :, 6:] = 1
    clean = phases.copy()
    phases[2:4, 3, 3] = 2  # across a border of slabs of 3
    phases[9, 9, 9] = 0
    assert remove_islands(phases, 3, depth=depth) == 3
    np.testing.assert_array_equal(phases, clean)
    phases[1:5, 3, 3] = 2
    kept = phases.copy()
    assert remove_islands(phases, 4, depth=depth) == 0
    np.testing.assert_array_equal(phases, kept)


def test_what_takes_an_island_is_nearest_to_it(backend):
    phases = np.random.default_rng(0).integers(0, 3, (9, 14, 15), np.uint8)
    phases[2:7, 3:9, 3:10] = 1
    pieces = np.zeros(phases.shape, int)
    for label in range(3):
        found, count = ndimage.label(phases == label)
        pieces[found > 0] = found[found > 0] + pieces.max()
        assert count
    gone = (np.bincount(pieces.ravel()) < 12)[pieces]
    cleaned = backend.put(phases.copy())
    assert remove_islands(cleaned, 12) == gone.sum() > 0
    cleaned = backend.get(cleaned)
    np.testing.assert_array_equal(cleaned[~gone], phases[~gone])
    nearest = ndimage.distance_transform_edt(gone)
    for label in range(3):
        of_label = ndimage.distance_transform_edt(gone | (phases != label))
        taken = gone & (cleaned == label)
        np.testing.assert_allclose(of_label[taken], nearest[taken])


def test_islands_below_a_physical_size_go(tmp_path, image):
    method = otsu(image)
    summary = predict(image, method, tmp_path / "out", spacing=0.5, smallest=20 * 0.125)
    assert summary["cleaned_voxels"] > 0
    assert uncertainty.least_voxels(tmp_path / "out") == 20  # draws are cleaned alike
    found = read(tmp_path / "out", materials=MATERIALS).phases
    for label in range(3):
        pieces, _ = ndimage.label(found == label)
        assert np.bincount(pieces.ravel())[1:].min() >= 20


# Scores


def test_overlap_agrees_with_scikit_learn(phases):
    found = np.roll(phases, 1, axis=2)
    truth = phases.copy()
    truth[:, :5] = UNLABELLED
    known = truth != UNLABELLED
    counts = scores.confusion(found, truth, 3)
    assert counts.sum() == known.sum()
    result = scores.overlap(counts)
    np.testing.assert_allclose(result["dice"], f1_score(truth[known], found[known], average=None))
    np.testing.assert_allclose(result["iou"], jaccard_score(truth[known], found[known], average=None))


def test_boundaries_that_are_off_by_one_are_met_within_one():
    truth = np.zeros((8, 10, 10), np.uint8)
    truth[:, :, 5:] = 1
    for off, expected in ((0, 1.0), (1, 1.0), (2, 0.0)):
        found = np.zeros_like(truth)
        found[:, :, 5 + off :] = 1
        counts = scores.boundary_counts(found, truth, 3, (1, 2))
        assert scores.f1(counts[1.0]) == [expected, expected, None]
        assert scores.f1(counts[2.0])[:2] == [1.0, 1.0]


def test_boundaries_of_unlabelled_voxels_do_not_count():
    truth = np.zeros((4, 10, 10), np.uint8)
    truth[:, :, 5:] = 1
    found = truth.copy()
    found[:, 6:, 2] = 1
    truth[:, 4:] = UNLABELLED
    assert scores.f1(scores.boundary_counts(found, truth, 2, (0,))[0.0]) == [1.0, 1.0]


# Evaluation


def test_a_perfect_segmentation_has_no_error(tmp_path, phases):
    np.save(tmp_path / "found.npy", phases)
    summary = evaluate(
        tmp_path / "found.npy", tmp_path / "found.npy", tmp_path / "out", materials=MATERIALS, spacing=1.0
    )
    assert summary["mean_dice"] == summary["accuracy"] == 1.0
    errors = summary["structure"]["error"]
    assert set(errors["areas"].values()) == {0.0}
    assert errors["junctions"]["dark | middle | bright"]["density"] == 0.0
    assert set(errors["spanning_fractions"].values()) == {0.0}
    assert summary["warnings"] == []


def test_lost_junctions_are_told_though_most_voxels_agree(tmp_path, image, phases):
    np.save(tmp_path / "truth.npy", phases)
    predict(image, otsu(image), tmp_path / "found", spacing=1.0)
    summary = evaluate(tmp_path / "found", tmp_path / "truth.npy", tmp_path / "out", slices=[0, 5, 6, 7, 8])
    assert summary["mean_dice"] > 0.8
    assert summary["structure"]["slices"] == [5, 8]
    assert summary["structure"]["error"]["junctions"]["dark | middle | bright"]["edges"] < -0.5
    assert any("middle forms films" in text for text in summary["warnings"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<img") == 3 * 4  # grey values too, of the images that the prediction names
    assert "http" not in page.replace("http://www.w3.org", "")
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary


def compared(tmp_path, found, truth, **options):
    np.save(tmp_path / "found.npy", found)
    np.save(tmp_path / "truth.npy", truth)
    return evaluate(
        tmp_path / "found.npy", tmp_path / "truth.npy", tmp_path / "out", materials=MATERIALS, spacing=1.0,
        **options,
    )  # fmt: skip


def test_figures_are_those_of_what_is_annotated(tmp_path, phases):
    found = np.where((phases == 2) & (np.arange(64) < 32), 1, phases).astype(np.uint8)
    whole = compared(tmp_path, found[:, :40, 8:50], phases[:, :40, 8:50])["structure"]
    drawn = np.full_like(phases, 255)
    drawn[:, :40, 8:50] = phases[:, :40, 8:50]
    summary = compared(tmp_path, found, drawn, overwrite=True)
    assert summary["structure"] == {**whole, "box": [[0, 40], [8, 50]]}
    assert whole["annotated_share"] == 1.0
    assert not any("annotated" in text for text in summary["warnings"])


def test_a_mask_that_cuts_phases_apart_is_told_and_dilutes_nothing(tmp_path, phases):
    found = np.where((phases == 2) & (np.arange(64) < 32), 1, phases).astype(np.uint8)
    mask = np.zeros(phases.shape, np.uint8)
    mask[:, ::8] = mask[:, 63] = 1
    np.save(tmp_path / "mask.npy", mask)
    summary = compared(tmp_path, found, phases, mask=tmp_path / "mask.npy")
    structure = summary["structure"]
    assert structure["annotated_share"] == pytest.approx(9 / 64)
    known = mask > 0
    for k, name in enumerate(("dark", "middle", "bright")):
        assert structure["annotated"]["fractions"][name] == pytest.approx((phases[known] == k).mean())
        assert structure["predicted"]["fractions"][name] == pytest.approx((found[known] == k).mean())
    assert any("only 14.1% of the box that is measured is annotated" in text for text in summary["warnings"])
    assert "14.1" in (tmp_path / "out" / "report.html").read_text()


def test_structure_is_measured_where_most_is_annotated(tmp_path, phases):
    drawn = np.full_like(phases, 255)
    drawn[:9, :12] = phases[:9, :12]
    drawn[11:14] = phases[11:14]
    drawn[16] = phases[16]
    assert compared(tmp_path, phases, drawn)["structure"]["slices"] == [11, 13]


def test_what_nobody_has_drawn_is_told_in_the_sentence(tmp_path, phases):
    drawn = np.full(phases.shape, 0, np.uint8)
    drawn[:, :, 20:40] = 1
    drawn[:, :, 40:] = 2
    found = drawn.copy()
    found[5:9, 10:30, 15:50] = 0
    summary = compared(tmp_path, found, drawn)
    assert summary["structure"]["error"]["junctions"]["dark | middle | bright"]["density"] is None
    said = sentence(summary)
    assert "Nobody has drawn what the prediction has: TPB of dark | middle | bright (" in said
    assert "the interface dark | bright (" in said
    assert said in (tmp_path / "out" / "report.html").read_text()


def test_a_predicted_volume_knows_its_slices_by_what_lies_beside_it(tmp_path, phases, grey):
    images = slices(tmp_path / "grey", grey, range(201, 221))
    labels = slices(tmp_path / "labels", phases[[4, 5, 11]], (205, 206, 212))
    predict(images, otsu(images), tmp_path / "found", spacing=1.0)
    told = [
        evaluate(place, labels, tmp_path / "out", overwrite=True)
        for place in (tmp_path / "found", tmp_path / "found" / "volume.zarr")
    ]
    assert told[0]["slices"] == told[1]["slices"] == [205, 206, 212]
    assert told[0]["dice"] == told[1]["dice"]


@pytest.mark.parametrize("same", [True, False])
def test_slices_of_another_sample_were_not_trained_on_for_having_the_same_numbers(
    tmp_path, phases, image, same
):
    np.save(tmp_path / "truth.npy", phases)
    run = tmp_path / "run"
    run.mkdir()
    trained = image if same else tmp_path / "elsewhere" / image.name
    (run / "run.json").write_text(json.dumps({"images": [str(trained.resolve())]}))
    origin = {"checkpoint": str(run / "model.pt"), "trained_on": [3, 4]}
    predict(image, otsu(image), tmp_path / "found", spacing=1.0, origin=origin)
    summary = evaluate(tmp_path / "found", tmp_path / "truth.npy", tmp_path / "out")
    assert any("trained on slice 3, 4" in text for text in summary["warnings"]) == same


def test_single_slices_have_no_structure(tmp_path, phases):
    np.save(tmp_path / "found.npy", phases)
    summary = evaluate(
        tmp_path / "found.npy", tmp_path / "found.npy", tmp_path / "out", materials=MATERIALS, spacing=1.0,
        slices=[1, 4],
    )  # fmt: skip
    assert summary["structure"] is None


def test_evaluations_that_do_not_fit_are_refused(tmp_path, phases):
    np.save(tmp_path / "found.npy", phases + 3)
    np.save(tmp_path / "truth.npy", phases)
    both = (tmp_path / "found.npy", tmp_path / "truth.npy", tmp_path / "out")
    with pytest.raises(InputError, match="give materials=NAME"):
        evaluate(*both, spacing=1.0)
    with pytest.raises(InputError, match="does not state its voxel size"):
        evaluate(*both, materials=MATERIALS)
    with pytest.raises(InputError, match="which the materials do not name"):
        evaluate(*both, materials=MATERIALS, spacing=1.0)
    with pytest.raises(InputError, match="expected distances"):
        evaluate(*both, materials=MATERIALS, spacing=1.0, tolerances=[])


def test_films_are_looked_for_in_volumes_that_lie_in_files(tmp_path, phases):
    stored = zarr.create_array(str(tmp_path / "phases.zarr"), data=phases, chunks=(8, 32, 32))
    assert films.scan(stored) == films.scan(phases)
