"""Sample: what it accepts, what it refuses, and in which words."""

import numpy as np
import pytest

from tripoint import DeviceError, InputError, MaterialsError, Sample

THREE = {"phases": {"pore": 0, "active": 128, "binder": 255}}


def volume(dtype=np.uint8):
    return np.array([[[0, 128], [255, 0]], [[128, 128], [255, 255]]], dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.uint32, np.int64, np.uint64])
def test_any_integer_type_becomes_uint8(dtype):
    sample = Sample(volume(dtype), (1, 2, 3), THREE)
    assert sample.phases.dtype == np.uint8
    np.testing.assert_array_equal(sample.phases, volume())
    assert sample.voxel_volume == 6
    assert sample.volume == 48
    assert sample.device == "cpu"


def test_booleans_are_two_phases():
    assert Sample(volume() > 0, 1, {"phases": {"a": 0, "b": 1}}).phases.dtype == np.uint8


@pytest.mark.parametrize(
    "spacing", [(1, 1), (1, 1, 1, 1), "abc", None, (0, 1, 1), (-1, 1, 1), (np.nan, 1, 1), (np.inf, 1, 1)]
)
def test_bad_spacing(spacing):
    with pytest.raises(InputError, match=r"spacing is .*for example spacing="):
        Sample(volume(), spacing, THREE)


def test_labels_that_do_not_fit_in_uint8_are_not_wrapped():
    with pytest.raises(MaterialsError, match="256"):
        Sample(np.full((2, 2, 2), 256, np.int32), 1, THREE)


def test_labels_that_the_materials_do_not_know():
    with pytest.raises(MaterialsError, match="of which 7 are not in the materials"):
        Sample(np.full((2, 2, 2), 7, np.uint8), 1, THREE)


def test_grey_values_are_not_phases():
    with pytest.raises(MaterialsError, match="in all"):
        Sample(np.arange(1000, dtype=np.uint16).reshape(10, 10, 10), 1, THREE)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 2, 2)), "integer phase labels"),
        (np.zeros((2, 2), np.uint8), "3D label volume"),
        (np.zeros((0, 2, 2), np.uint8), "empty"),
        (np.zeros((1, 2, 2), np.uint8), "single slice"),
    ],
)
def test_not_a_label_volume(array, words):
    with pytest.raises(InputError, match=words):
        Sample(array, 1, THREE)


def test_channels_share_the_grid():
    with pytest.raises(InputError, match="same grid"):
        Sample(volume(), 1, THREE, {"grey": np.zeros((3, 3, 3), np.float32)})


def test_devices():
    sample = Sample(volume(), 1, THREE)
    assert sample.to("cpu") is sample
    with pytest.raises(DeviceError, match="use cpu, cuda or auto"):
        sample.to("tpu")
