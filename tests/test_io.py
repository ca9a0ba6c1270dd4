"""Reading volumes: the same voxels and voxel size from every format, and one clear sentence otherwise."""

import struct
import sys
import tempfile
import tracemalloc
from itertools import pairwise
from pathlib import Path

import h5py
import nrrd
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import tripoint
from tripoint.errors import InputError, MaterialsError, OutputError
from tripoint.io import check_output, read, write
from tripoint.io.slices import natural_order
from tripoint.io.units import to_micrometres

MATERIALS = {"phases": {"pore": 0, "grain": 1, "shell": 128, "metal": 255}}
AXES = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]


def labels(shape=(5, 6, 7), dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).choice([0, 1, 128, 255], shape).astype(dtype)


def write_tiff_folder(folder, volume):
    folder.mkdir()
    for k, plane in enumerate(volume):
        tifffile.imwrite(folder / f"slice{k}.tif", plane)  # without leading zeros: 10 sorts before 2


def write_png_folder(folder, volume):
    folder.mkdir()
    for k, plane in enumerate(volume):
        Image.fromarray(plane).save(folder / f"slice{k}.png")


def write_ngff(folder, volume, version="0.5", spacing=(1.0, 1.0, 1.0), axes=AXES):
    group = zarr.create_group(folder, zarr_format=3 if version == "0.5" else 2)
    array = group.create_array(
        "0", shape=volume.shape, dtype=volume.dtype, chunks=(1, 2, 4, 4)[-volume.ndim :]
    )
    array[...] = volume
    image = {
        "version": version,
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": list(spacing)}]}],
    }
    group.attrs.update(
        {"ome": {"multiscales": [image], "version": "0.5"}} if version == "0.5" else {"multiscales": [image]}
    )
    return group


def write_hdf5(path, volume):
    with h5py.File(path, "w") as file:
        file.create_dataset("exported/labels", data=volume, chunks=True, compression="gzip")
        file["notes"] = np.arange(3)


def write_zarr(zarr_format):
    def write_array(path, volume):
        array = zarr.create_array(
            path, shape=volume.shape, dtype=volume.dtype, chunks=(2, 3, 4), zarr_format=zarr_format
        )
        array[...] = volume

    return write_array


def write_nrrd(encoding):
    return lambda path, volume: nrrd.write(str(path), volume, {"encoding": encoding}, index_order="C")


FORMATS = {
    "plain.tif": lambda path, v: tifffile.imwrite(path, v, photometric="minisblack"),
    "pages.tif": lambda path, v: tifffile.imwrite(
        path, v, metadata=None, photometric="minisblack", rowsperstrip=2
    ),
    "packed.tif": lambda path, v: tifffile.imwrite(path, v, compression="packbits", photometric="minisblack"),
    "big-endian.tif": lambda path, v: tifffile.imwrite(path, v, byteorder=">", photometric="minisblack"),
    "tiled.tif": lambda path, v: tifffile.imwrite(
        path, v, tile=(16, 16), compression="zlib", photometric="minisblack"
    ),
    "volumetric.tif": lambda path, v: tifffile.imwrite(
        path, v, volumetric=True, tile=(16, 16, 16), compression="zlib", photometric="minisblack"
    ),
    "big.tif": lambda path, v: tifffile.imwrite(path, v, bigtiff=True, photometric="minisblack"),
    "volume.npy": np.save,
    "fortran.npy": lambda path, v: np.save(path, np.asfortranarray(v)),
    "volume.npz": lambda path, v: np.savez_compressed(path, phases=v, other=np.arange(3)),
    "fortran.npz": lambda path, v: np.savez(path, np.asfortranarray(v)),
    "raw.nrrd": write_nrrd("raw"),
    "gzip.nrrd": write_nrrd("gzip"),
    "bzip2.nrrd": write_nrrd("bzip2"),
    "ascii.nrrd": write_nrrd("ascii"),
    "detached.nhdr": write_nrrd("gzip"),
    "volume.h5": write_hdf5,
    "v2.zarr": write_zarr(2),
    "v3.zarr": write_zarr(3),
    "ome04.zarr": lambda path, v: write_ngff(path, v, "0.4"),
    "ome05.zarr": write_ngff,
    "tiffs": write_tiff_folder,
}
BYTES_ONLY = {"pngs": write_png_folder}


@pytest.mark.parametrize("name", [*FORMATS, *BYTES_ONLY])
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_round_trip(name, data):
    """Voxels and regions of interest are the same from every format, type and shape."""
    shape = data.draw(st.tuples(*[st.integers(2, 12)] * 3))
    types = [np.uint8] if name in BYTES_ONLY else [np.uint8, np.int16, np.uint16, np.uint32, np.int32]
    types += [] if name.endswith(".tif") or name in BYTES_ONLY else [np.int64]
    volume = labels(shape, data.draw(st.sampled_from(types)), data.draw(st.integers(0, 99)))
    bounds = [sorted(data.draw(st.tuples(st.integers(0, n - 2), st.integers(2, n)))) for n in shape]
    roi = [[a, max(b, a + 2)] for a, b in bounds]
    spacing = data.draw(st.tuples(*[st.floats(1e-4, 1e4)] * 3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        (FORMATS | BYTES_ONLY)[name](path, volume)
        sample = read(path, spacing=spacing, materials=MATERIALS)
        part = read(path, spacing=spacing, materials=MATERIALS, roi=roi)
    assert sample.phases.dtype == np.uint8
    np.testing.assert_array_equal(sample.phases, volume)
    np.testing.assert_array_equal(part.phases, volume[tuple(slice(*b) for b in roi)])
    assert sample.spacing == spacing
    assert sample.name == name.removesuffix(Path(name).suffix)


@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_raw(tmp_path, byte_order):
    volume = labels(dtype=np.uint16)
    volume.astype(volume.dtype.newbyteorder("<" if byte_order == "little" else ">")).tofile(
        tmp_path / "v.raw"
    )
    sample = read(
        tmp_path / "v.raw",
        spacing=1,
        materials=MATERIALS,
        shape=[5, 6, 7],
        dtype="uint16",
        byte_order=byte_order,
    )
    np.testing.assert_array_equal(sample.phases, volume)


def test_imagej_stack_of_one_page(tmp_path):
    """A stack beyond 4 GB has one page and a number of images; here one is made by cutting the chain."""
    volume = labels((4, 6, 7))
    metadata = {"unit": "nm", "spacing": 20}
    tifffile.imwrite(tmp_path / "v.tif", volume, imagej=True, metadata=metadata, resolution=(0.1, 0.1))
    with tifffile.TiffFile(tmp_path / "v.tif") as file:
        first = file.pages.first
        pointer = first.offset + 2 + 12 * len(first.tags)
        end = first.dataoffsets[0] + volume.nbytes
    data = bytearray((tmp_path / "v.tif").read_bytes())
    data[pointer : pointer + 4] = bytes(4)
    (tmp_path / "v.tif").write_bytes(data[:end])
    sample = read(tmp_path / "v.tif", materials=MATERIALS)
    np.testing.assert_array_equal(sample.phases, volume)
    assert sample.spacing == pytest.approx((0.02, 0.01, 0.01))
    (tmp_path / "v.tif").write_bytes(data[: end - 1])
    refused(tmp_path / "v.tif", "truncated")


def test_boolean_volume(tmp_path):
    volume = labels() > 0
    np.save(tmp_path / "v.npy", volume)
    np.testing.assert_array_equal(read(tmp_path / "v.npy", spacing=1, materials=MATERIALS).phases, volume)


def test_palette_png_holds_labels(tmp_path):
    """Colours of a palette are decoration; the indices are the labels."""
    for k in range(2):
        image = Image.fromarray(np.full((3, 4), k, np.uint8), mode="P")
        image.putpalette([200, 0, 0, 0, 200, 0])
        image.save(tmp_path / f"{k}.png")
    assert read(tmp_path, spacing=1, materials=MATERIALS).phases[:, 0, 0].tolist() == [0, 1]


def test_natural_order():
    names = ["s10.tif", "s2.tif", "S1.tif", "a.tif", "s02b.tif"]
    assert sorted(names, key=natural_order) == ["a.tif", "S1.tif", "s2.tif", "s02b.tif", "s10.tif"]


# --- voxel size -----------------------------------------------------------------------------------------


def test_spacing_of_ome_tiff(tmp_path):
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 200, "PhysicalSizeYUnit": "nm"}
    metadata |= {"PhysicalSizeZ": 3e-4, "PhysicalSizeZUnit": "mm"}
    tifffile.imwrite(tmp_path / "cells.ome.tif", labels(), metadata=metadata)
    sample = read(tmp_path / "cells.ome.tif", materials=MATERIALS)
    assert sample.spacing == pytest.approx((0.3, 0.2, 0.1))
    assert sample.name == "cells"


@pytest.mark.parametrize(("unit", "factor"), [("micron", 1), ("\\u00B5m", 1), ("um", 1), ("mm", 1000)])
def test_spacing_of_imagej(tmp_path, unit, factor):
    metadata = {"axes": "ZYX", "spacing": 0.5, "unit": unit}
    tifffile.imwrite(tmp_path / "v.tif", labels(), imagej=True, resolution=(4, 2), metadata=metadata)
    spacing = read(tmp_path / "v.tif", materials=MATERIALS).spacing
    assert spacing == pytest.approx((0.5 * factor, 0.5 * factor, 0.25 * factor))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_spacing_of_ome_zarr(tmp_path, version):
    write_ngff(tmp_path / "v.zarr", labels(), version, (400, 300, 200))
    assert read(tmp_path / "v.zarr", materials=MATERIALS).spacing == pytest.approx((0.4, 0.3, 0.2))


def test_spacing_of_nrrd(tmp_path):
    header = {
        "space directions": np.diag([1e-3, 2e-3, 3e-3]),
        "space dimension": 3,
        "space units": ["mm"] * 3,
    }
    nrrd.write(str(tmp_path / "v.nrrd"), labels(), header, index_order="C")
    assert read(tmp_path / "v.nrrd", materials=MATERIALS).spacing == pytest.approx(
        (3, 2, 1)
    )  # x is first there


def test_spacing_without_unit(tmp_path):
    nrrd.write(str(tmp_path / "v.nrrd"), labels(), {"spacings": [1.0, 2.0, 3.0]}, index_order="C")
    with pytest.raises(InputError, match=r"3 without a unit along z.*spacing=\[z,y,x\] in µm.*units="):
        read(tmp_path / "v.nrrd", materials=MATERIALS)
    assert read(tmp_path / "v.nrrd", materials=MATERIALS, units="nm").spacing == pytest.approx(
        (3e-3, 2e-3, 1e-3)
    )


def test_spacing_of_hdf5_and_zarr_arrays(tmp_path):
    write_hdf5(tmp_path / "v.h5", labels())
    with h5py.File(tmp_path / "v.h5", "a") as file:
        file["exported/labels"].attrs["element_size_um"] = (0.3, 0.2, 0.1)
    assert read(tmp_path / "v.h5", materials=MATERIALS).spacing == (0.3, 0.2, 0.1)
    write_zarr(3)(tmp_path / "v.zarr", labels())
    zarr.open_array(tmp_path / "v.zarr").attrs.update(spacing=[30, 20, 10], units="nm")
    assert read(tmp_path / "v.zarr", materials=MATERIALS).spacing == pytest.approx((0.03, 0.02, 0.01))


def test_explicit_spacing_wins(tmp_path):
    write_ngff(tmp_path / "v.zarr", labels(), axes=[{**axis, "unit": "parsec"} for axis in AXES])
    with pytest.raises(InputError, match=r"parsec.*not known.*spacing="):
        read(tmp_path / "v.zarr", materials=MATERIALS)
    assert read(tmp_path / "v.zarr", spacing=[400, 300, 200], units="nm", materials=MATERIALS).spacing == (
        0.4,
        0.3,
        0.2,
    )


def test_dots_per_inch_are_no_voxel_size(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", labels(), resolution=(72, 72), resolutionunit="INCH", metadata=None)
    with pytest.raises(InputError, match=r"does not state its voxel size.*spacing=\[z,y,x\] in µm"):
        read(tmp_path / "v.tif", materials=MATERIALS)


def test_imagej_without_slice_distance(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", labels(), imagej=True, resolution=(4, 2), metadata={"unit": "um"})
    with pytest.raises(InputError, match=r"only 0\.5 um along y, 0\.25 um along x"):
        read(tmp_path / "v.tif", materials=MATERIALS)


@pytest.mark.parametrize(
    ("unit", "expected"),
    {
        **{
            "pm": 1e-6,
            "nm": 1e-3,
            "Å": 1e-4,
            "\u212b": 1e-4,
            "µm": 1,
            "\u03bcm": 1,
            "microns": 1,
            "Micrometers": 1,
        },
        **{"millimeter": 1e3, "mm": 1e3, "m": 1e6, "cm": 1e4, "inch": 25400, "inches": 25400},
    }.items(),
)
def test_units(unit, expected):
    assert to_micrometres([1.0, 2.0], unit) == pytest.approx((expected, 2 * expected))


# --- what is chosen inside a file -----------------------------------------------------------------------


def test_dataset_of_hdf5(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["a"], file["deep/b"] = labels(seed=1), labels(seed=2)[None, ..., None]
    sample = read(f"{tmp_path}/v.h5:/deep/b", spacing=1, materials=MATERIALS, roi=[[1, 4], None, [2, None]])
    np.testing.assert_array_equal(sample.phases, labels(seed=2)[1:4, :, 2:])
    with pytest.raises(InputError, match=r"2 3D datasets \(/a \(5, 6, 7\), /deep/b"):
        read(tmp_path / "v.h5", spacing=1, materials=MATERIALS)
    with pytest.raises(InputError, match=r"no dataset '/c'; its 3D datasets are: /a"):
        read(f"{tmp_path}/v.h5:/c", spacing=1, materials=MATERIALS)


def test_array_of_npz_and_zarr_group(tmp_path):
    np.savez(tmp_path / "v.npz", a=labels(seed=1), b=labels(seed=2))
    np.testing.assert_array_equal(
        read(f"{tmp_path}/v.npz:b", spacing=1, materials=MATERIALS).phases, labels(seed=2)
    )
    with pytest.raises(InputError, match="2 3D arrays among a"):
        read(tmp_path / "v.npz", spacing=1, materials=MATERIALS)
    with pytest.raises(InputError, match="no array 'c'"):
        read(f"{tmp_path}/v.npz:c", spacing=1, materials=MATERIALS)
    group = zarr.create_group(tmp_path / "v.zarr")
    group.create_array("a/b", data=labels(seed=3))
    np.testing.assert_array_equal(
        read(tmp_path / "v.zarr", spacing=1, materials=MATERIALS).phases, labels(seed=3)
    )
    group.create_array("c", data=labels(seed=4))
    with pytest.raises(InputError, match=r"2 3D arrays \(a/b"):
        read(tmp_path / "v.zarr", spacing=1, materials=MATERIALS)
    np.testing.assert_array_equal(
        read(f"{tmp_path}/v.zarr:c", spacing=1, materials=MATERIALS).phases, labels(seed=4)
    )
    with pytest.raises(InputError, match="has no 'd'; its arrays are: a/b"):
        read(f"{tmp_path}/v.zarr:d", spacing=1, materials=MATERIALS)


@pytest.mark.parametrize("kind", ["zarr", "tif"])
def test_channel(tmp_path, kind):
    volume = np.stack([labels(seed=1), labels(seed=2)])  # c, z, y, x
    path = tmp_path / f"v.{kind}"
    if kind == "zarr":
        write_ngff(path, volume, spacing=(1, 1, 1, 1), axes=[{"name": "c", "type": "channel"}, *AXES])
    else:
        tifffile.imwrite(path, volume, metadata={"axes": "CZYX"}, photometric="minisblack")
    with pytest.raises(InputError, match=r"channel=0"):
        read(path, spacing=1, materials=MATERIALS)
    with pytest.raises(InputError, match=r"channel=0 to 1"):
        read(path, spacing=1, materials=MATERIALS, channel=2)
    sample = read(path, spacing=1, materials=MATERIALS, channel=1, roi=[None, [1, 4], None])
    np.testing.assert_array_equal(sample.phases, labels(seed=2)[:, 1:4])


def test_grey_image_with_labels_names_them(tmp_path):
    group = write_ngff(tmp_path / "v.zarr", labels().astype(np.float32))
    group.create_group("labels").attrs["ome"] = {"version": "0.5", "labels": ["phases"]}
    write_ngff(tmp_path / "v.zarr/labels/phases", labels())
    with pytest.raises(InputError, match=r"float32.*v\.zarr:labels/phases.*segment"):
        read(tmp_path / "v.zarr", materials=MATERIALS)
    assert read(f"{tmp_path}/v.zarr:labels/phases", materials=MATERIALS).spacing == pytest.approx((1e-3,) * 3)


# --- Zeiss ----------------------------------------------------------------------------------------------


def compound_file(storages):
    """Return the bytes of an OLE compound file, [MS-CFB] version 3, from {storage: {name: bytes}}."""
    end, free = 0xFFFFFFFE, 0xFFFFFFFF
    fat, sectors, mini_fat, mini = [0xFFFFFFFD], [b""], [], b""  # the first sector is for the table itself

    def chain(data):
        count, first = max(1, -(-len(data) // 512)), len(fat)
        fat.extend([*range(first + 1, first + count), end])
        sectors.extend(data[k * 512 : (k + 1) * 512].ljust(512, b"\0") for k in range(count))
        return first

    entries = []  # name, kind (1 storage, 2 stream, 5 root), right sibling, child, start, size

    def add(name, kind, start=0, size=0):
        entries.append([name, kind, free, free, start, size])
        return len(entries) - 1

    def link(parent, children):
        entries[parent][3] = children[0]
        for a, b in pairwise(children):
            entries[a][2] = b

    add("Root Entry", 5)
    tops = []
    for storage, streams in storages.items():
        inner = []
        parent = add(storage, 1) if storage else 0
        for name, data in streams.items():
            if len(data) >= 4096:
                start = chain(data)
            else:
                count, start = -(-len(data) // 64), len(mini_fat)
                mini_fat.extend([*range(start + 1, start + count), end])
                mini += data.ljust(count * 64, b"\0")
            inner.append(add(name, 2, start, len(data)))
        tops += [parent] if storage else inner
        if storage:
            link(parent, inner)
    link(0, tops)
    entries[0][4:] = [chain(mini), len(mini)]
    table = chain(struct.pack(f"<{len(mini_fat)}I", *mini_fat).ljust(512, b"\xff"))
    directory = b""
    for name, kind, right, child, start, size in entries:
        text = name.encode("utf-16-le") + b"\0\0"
        directory += text.ljust(64, b"\0") + struct.pack("<HBB3I", len(text), kind, 1, free, right, child)
        directory += bytes(36) + struct.pack("<IQ", start, size)
    directory_start = chain(directory)
    sectors[0] = struct.pack(f"<{len(fat)}I", *fat).ljust(512, b"\xff")
    assert len(fat) <= 128
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += struct.pack("<5H6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<9I", 0, 1, directory_start, 0, 4096, table, 1, end, 0) + struct.pack("<I", 0)
    return header.ljust(512, b"\xff") + b"".join(sectors)


def test_zeiss(tmp_path):
    pytest.importorskip("txrm2tiff")
    volume = labels((3, 50, 60), np.uint16)
    numbers = {"ImageWidth": 60, "ImageHeight": 50, "ImagesTaken": 3, "NoOfImages": 3, "DataType": 5}
    numbers |= {"MosiacColumns": 0, "MosiacRows": 0}
    info = {name: struct.pack("<i", value) for name, value in numbers.items()}
    info["PixelSize"] = struct.pack("<f", 0.25)
    images = {f"Image{k + 1}": plane.tobytes() for k, plane in enumerate(volume)}
    data = compound_file({"": {"Version": struct.pack("<f", 5.0)}, "ImageInfo": info, "ImageData1": images})
    (tmp_path / "v.txm").write_bytes(data)
    sample = read(tmp_path / "v.txm", materials=MATERIALS, roi=[[1, 3], [0, 20], [5, 60]])
    np.testing.assert_array_equal(sample.phases, volume[1:3, ::-1][:, 0:20, 5:60])
    assert sample.spacing == (0.25, 0.25, 0.25)
    (tmp_path / "v.txm").write_bytes(data[: len(data) // 2])
    refused(tmp_path / "v.txm", "cannot be read as Zeiss XRM")


def test_zeiss_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "txrm2tiff.txrm", None)
    (tmp_path / "v.txrm").touch()
    refused(tmp_path / "v.txrm", r"pip install 'tripoint\[zeiss\]'")


# --- only what is needed is read ------------------------------------------------------------------------


def test_slices_outside_the_region_are_not_opened(tmp_path):
    write_tiff_folder(tmp_path / "slices", labels((12, 6, 7)))
    (tmp_path / "slices" / "slice3.tif").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"slice3\.tif is not a TIFF"):
        read(tmp_path / "slices", spacing=1, materials=MATERIALS)
    part = read(tmp_path / "slices", spacing=1, materials=MATERIALS, roi=[[4, 12], None, None])
    np.testing.assert_array_equal(part.phases, labels((12, 6, 7))[4:])


def test_pages_outside_the_region_are_not_decoded(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", labels((12, 6, 7)), compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "v.tif") as file:
        offset = file.pages[3].dataoffsets[0]
    with (tmp_path / "v.tif").open("r+b") as file:
        file.seek(offset)
        file.write(bytes(8))
    refused(tmp_path / "v.tif", "cannot be read as TIFF")
    part = read(tmp_path / "v.tif", spacing=1, materials=MATERIALS, roi=[[4, 12], None, None])
    np.testing.assert_array_equal(part.phases, labels((12, 6, 7))[4:])


@pytest.mark.parametrize("name", ["packed.tif", "tiffs"])
def test_a_corner_of_large_pages(tmp_path, name):
    """Pages are decoded whole, so they must not all be in memory although the region is small."""
    volume = np.zeros((160, 1000, 1000), np.uint8)
    FORMATS[name](tmp_path / name, volume)
    tracemalloc.start()
    try:
        read(tmp_path / name, spacing=1, materials=MATERIALS, roi=[None, [0, 9], [3, 9]])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.4 * volume.size


def test_wide_types_never_stand_in_memory_whole(tmp_path):
    volume = np.zeros((256, 256, 256), np.int64)
    volume[::3] = 1
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("v", data=volume, chunks=(16, 64, 64), compression="lzf")
    tracemalloc.start()
    try:
        read(tmp_path / "v.h5", spacing=1, materials=MATERIALS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < volume.size + 1.5 * (1 << 25)  # of 8 bytes per voxel in the file


def test_progress_counts_slices(tmp_path):
    np.save(tmp_path / "v.npy", labels())
    told = []
    read(
        tmp_path / "v.npy",
        spacing=1,
        materials=MATERIALS,
        roi=[[1, 4], None, None],
        progress=lambda *a: told.append(a),
    )
    assert told[-1] == ("read", 3, 3)


# --- what cannot be read --------------------------------------------------------------------------------


def refused(path, match, error=InputError, **options):
    with pytest.raises(error, match=match) as caught:
        read(path, **{"spacing": 1, "materials": MATERIALS, **options})
    message = str(caught.value)
    assert Path(path).name.split(":")[0] in message
    assert "\n" not in message
    assert len(message) < 600


def test_missing_file_suggests_near_names(tmp_path):
    np.save(tmp_path / "cathode_1.npy", labels())
    refused(tmp_path / "cathode1.npy", r"no file or folder .*did you mean cathode_1\.npy\?")
    refused(tmp_path / "nowhere" / "v.tif", "no file or folder .*check the path")


def test_unknown_ending_lists_what_is_supported(tmp_path):
    (tmp_path / "v.xyz").write_text("?")
    refused(tmp_path / "v.xyz", r"'\.xyz'.*supported are TIFF.*\.zarr.*folders of")
    (tmp_path / "v.am").write_text("# AmiraMesh BINARY-LITTLE-ENDIAN 2.1")
    refused(tmp_path / "v.am", "Amira.*export it as 3D TIFF or NRRD")
    Image.fromarray(labels()[0]).save(tmp_path / "v.png")
    refused(tmp_path / "v.png", "single slice; give the folder")


@pytest.mark.parametrize("name", ["v.tif", "v.npy", "v.npz", "v.h5", "v.nrrd", "v.txrm"])
def test_text_with_the_ending_of_an_image(tmp_path, name):
    (tmp_path / name).write_text("this is not an image\n" * 50)
    refused(tmp_path / name, "is not a TIFF image|cannot be read as")


@pytest.mark.parametrize("name", ["v.tif", "v.npy", "v.npz", "v.h5", "v.nrrd", "v.txrm"])
def test_file_without_a_byte(tmp_path, name):
    (tmp_path / name).touch()
    refused(tmp_path / name, "is not a TIFF image|cannot be read as")


@pytest.mark.parametrize("name", [name for name in FORMATS if name.endswith(".tif")])
@given(share=st.floats(0.02, 0.99))
@settings(max_examples=25, deadline=None)
def test_truncated_tiff(name, share):
    """Wherever the file is cut, something is said; never are fewer pages taken for the whole."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        FORMATS[name](path, labels((9, 20, 30)))
        data = path.read_bytes()
        path.write_bytes(data[: max(8, int(len(data) * share))])
        refused(path, "truncated|is not a TIFF")


def test_truncated_imagej_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", labels((9, 20, 30)), imagej=True)
    data = (tmp_path / "v.tif").read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "v.tif").write_bytes(data[: int(len(data) * share)])
        refused(tmp_path / "v.tif", "truncated")


@pytest.mark.parametrize("name", ["volume.npy", "volume.npz", "raw.nrrd", "gzip.nrrd", "volume.h5"])
def test_other_truncated_files(tmp_path, name):
    FORMATS[name](tmp_path / name, labels((9, 20, 30)))
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    refused(tmp_path / name, "cannot be read as .*truncated")


def test_slices_that_differ(tmp_path):
    write_tiff_folder(tmp_path / "sizes", labels())
    tifffile.imwrite(tmp_path / "sizes" / "slice3.tif", labels()[0, :4])
    refused(tmp_path / "sizes", r"slice3\.tif is 4 × 7 uint8, but slice0\.tif is 6 × 7 uint8")
    write_tiff_folder(tmp_path / "types", labels())
    tifffile.imwrite(tmp_path / "types" / "slice3.tif", labels()[0].astype(np.uint16))
    refused(tmp_path / "types", r"slice3\.tif is 6 × 7 uint16, but slice0\.tif is 6 × 7 uint8")
    write_tiff_folder(tmp_path / "kinds", labels())
    Image.fromarray(labels()[0]).save(tmp_path / "kinds" / "slice9.png")
    refused(tmp_path / "kinds", "mixes 5 TIFF and 1 PNG")
    write_tiff_folder(tmp_path / "pages", labels())
    tifffile.imwrite(tmp_path / "pages" / "slice0.tif", labels())
    refused(tmp_path / "pages", "one page per file")


def test_pages_that_differ(tmp_path):
    for name, other in (("size", labels()[0, :4]), ("type", labels()[0].astype(np.uint16))):
        with tifffile.TiffWriter(tmp_path / f"{name}.tif") as file:
            for plane in (labels()[0], labels()[1], other):
                file.write(plane, metadata=None)
        refused(tmp_path / f"{name}.tif", "page 3 of .* is .* and page 1 is 6 × 7 uint8")


def test_pages_that_differ_in_compression_are_one_volume(tmp_path):
    with tifffile.TiffWriter(tmp_path / "v.tif") as file:
        for k, plane in enumerate(labels()):
            file.write(plane, metadata=None, compression="zlib" if k % 2 else None)
    np.testing.assert_array_equal(read(tmp_path / "v.tif", spacing=1, materials=MATERIALS).phases, labels())


def test_two_volumes_in_one_file(tmp_path):
    with tifffile.TiffWriter(tmp_path / "v.ome.tif") as file:
        file.write(labels((4, 6, 7)), photometric="minisblack")
        file.write(labels((5, 6, 7)), photometric="minisblack")
    refused(tmp_path / "v.ome.tif", r"holds 2 volumes")


def test_folder_without_slices(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    refused(tmp_path / "empty", "holds no slices")
    (tmp_path / "empty.zarr").mkdir()
    refused(tmp_path / "empty.zarr", "not a Zarr array or group")


def test_damaged_png(tmp_path):
    write_png_folder(tmp_path / "slices", labels((3, 60, 70)))
    data = (tmp_path / "slices" / "slice1.png").read_bytes()
    (tmp_path / "slices" / "slice1.png").write_bytes(data[: len(data) // 2])
    refused(tmp_path / "slices", r"slice1\.png cannot be read")


@pytest.mark.parametrize("name", ["v.npy", "v.npz", "v.h5", "v.zarr"])
def test_empty_volume(tmp_path, name):
    volume = np.zeros((0, 5, 5), np.uint8)
    if name == "v.h5":
        with h5py.File(tmp_path / name, "w") as file:
            file["v"] = volume
    elif name == "v.zarr":
        zarr.create_array(tmp_path / name, shape=volume.shape, dtype=volume.dtype, chunks=(1, 5, 5))
    else:
        (np.save if name == "v.npy" else np.savez)(tmp_path / name, volume)
    refused(tmp_path / name, "empty")


@pytest.mark.parametrize("name", ["v.tif", "v.npy", "v.zarr", "slices"])
def test_one_slice(tmp_path, name):
    plane = labels((6, 7))
    {"v.tif": tifffile.imwrite, "v.npy": np.save, "v.zarr": write_zarr_plane, "slices": write_one}[name](
        tmp_path / name, plane
    )
    refused(tmp_path / name, "single slice")


def write_zarr_plane(path, plane):
    zarr.create_array(path, data=plane)


def write_one(path, plane):
    write_tiff_folder(path, plane[None])


def test_region_of_one_slice(tmp_path):
    np.save(tmp_path / "v.npy", labels())
    refused(tmp_path / "v.npy", "single slice", roi=[[1, 2], None, None])


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ("ascii.nrrd",)])
def test_float_phases(tmp_path, name):
    FORMATS[name](tmp_path / name, labels(dtype=np.float32))
    refused(tmp_path / name, "float32 values; expected integer phase labels, segment")


@pytest.mark.parametrize(
    ("dtype", "label"), [(np.uint16, 256), (np.int16, -1), (np.int64, 2**40), (np.uint8, 7)]
)
def test_labels_not_in_the_materials(tmp_path, dtype, label):
    """256 must not become 0, nor -1 become 255."""
    volume = labels(dtype=dtype)
    volume[2, 3, 4] = label
    np.save(tmp_path / "v.npy", volume)
    refused(tmp_path / "v.npy", rf"of which {label} are not in the materials", MaterialsError)


def test_grey_values_are_called_so(tmp_path):
    np.save(tmp_path / "v.npy", np.arange(1000, dtype=np.uint16).reshape(10, 10, 10))
    refused(tmp_path / "v.npy", "look like grey values, segment", MaterialsError)


def test_colour_images(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", np.zeros((5, 6, 7, 3), np.uint8), photometric="rgb")
    refused(tmp_path / "v.tif", "colour image")
    (tmp_path / "slices").mkdir()
    Image.fromarray(np.zeros((6, 7, 3), np.uint8)).save(tmp_path / "slices" / "a.png")
    refused(tmp_path / "slices", r"a\.png is not a single grey slice")
    np.save(tmp_path / "v.npy", np.zeros((5, 6, 7, 3), np.uint8))
    refused(tmp_path / "v.npy", "4 axes of shape")
    nrrd.write(str(tmp_path / "v.nrrd"), np.zeros((3, 5, 6, 7), np.uint8))
    refused(tmp_path / "v.nrrd", "4 axes of sizes")


def test_raw_needs_and_checks_its_shape(tmp_path):
    labels().tofile(tmp_path / "v.raw")
    refused(tmp_path / "v.raw", r"give their shape and type, for example shape=")
    refused(tmp_path / "v.raw", "has 210 bytes, but shape .* needs 420", shape=(5, 6, 7), dtype="uint16")
    refused(tmp_path / "v.raw", "three positive numbers", shape=(5, 42), dtype="uint8")
    refused(tmp_path / "v.raw", "dtype='uint9' is not known", shape=(5, 6, 7), dtype="uint9")
    refused(tmp_path / "v.raw", "little", shape=(5, 6, 7), dtype="uint8", byte_order="middle")
    np.save(tmp_path / "v.npy", labels())
    with pytest.raises(InputError, match="for raw files"):
        read(tmp_path / "v.npy", spacing=1, materials=MATERIALS, shape=(5, 6, 7))


@pytest.mark.parametrize(
    ("roi", "match"),
    [
        ([[0, 6], None, None], r"roi along z is \[0, 6\], but the volume has 5"),
        ([None, [3, 3], None], r"roi along y is \[3, 3\]"),
        ([None, None, [-1, 3]], r"roi along x is \[-1, 3\]"),
        ([[0, 2], [0, 2]], "roi has 2 ranges"),
        ([[0, 2.5], None, None], r"expected \[start, stop\]"),
        ([5, None, None], r"expected \[start, stop\]"),
        ([slice(0, 4, 2), None, None], "step of 2"),
    ],
)
def test_region_outside(tmp_path, roi, match):
    np.save(tmp_path / "v.npy", labels())
    refused(tmp_path / "v.npy", match, roi=roi)


@pytest.mark.parametrize("spacing", [0, -1, float("nan"), [1, 2], "x"])
def test_bad_spacing(tmp_path, spacing):
    np.save(tmp_path / "v.npy", labels())
    with pytest.raises(InputError, match="spacing"):
        read(tmp_path / "v.npy", spacing=spacing, materials=MATERIALS)


# --- writing a sample -----------------------------------------------------------------------------------


def test_written_sample_reads_back(tmp_path):
    sample = tripoint.Sample(labels(), (0.3, 0.2, 0.1), tripoint.Materials.load(MATERIALS), name="made")
    assert write(sample, tmp_path / "made.zarr") == tmp_path / "made.zarr"
    again = read(tmp_path / "made.zarr", materials=MATERIALS)
    np.testing.assert_array_equal(again.phases, sample.phases)
    assert (again.spacing, again.name) == (sample.spacing, "made")
    with pytest.raises(OutputError, match="exists"):
        write(sample, tmp_path / "made.zarr")
    write(sample, tmp_path / "made.zarr", overwrite=True)
    write_zarr(3)(tmp_path / "foreign.zarr", labels())
    with pytest.raises(OutputError, match="not a result of tripoint"):
        check_output(tmp_path / "foreign.zarr", overwrite=True)


# --- real volumes ---------------------------------------------------------------------------------------


def test_real_tiff(real_data, nmc_cathode):
    path = real_data / "nmc_cathode" / "nmc-1-cal_generatedCBD_bridge.tif"
    sample = read(path, spacing=0.398, materials="lithium_ion_cathode", roi=[[5, 105], [1, 300], None])
    np.testing.assert_array_equal(sample.phases, nmc_cathode[5:105, 1:300])
    with pytest.raises(InputError, match="does not state its voxel size"):  # 72 dpi are in it
        read(path, materials="lithium_ion_cathode")


def test_real_slices(real_data, soc_electrode):
    path = real_data / "soc_electrode" / "labels"
    sample = read(path, spacing=1, materials="solid_oxide_electrode", roi=[[95, 105], None, [100, 400]])
    np.testing.assert_array_equal(sample.phases, soc_electrode[95:105, :, 100:400])
    with pytest.raises(MaterialsError, match="grey values"):
        read(real_data / "soc_electrode" / "grey_201-260", spacing=1, materials="solid_oxide_electrode")


def test_a_missing_slice_is_noticed(tmp_path):
    for number in (1, 2, 3, 5, 6, 10):
        tifffile.imwrite(tmp_path / f"scan07_slice{number}.tif", np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match=r"between scan07_slice3.tif and scan07_slice5.tif"):
        read(tmp_path, spacing=1, materials={"phases": {"pore": 0}})
    for number in (5, 6, 10):
        (tmp_path / f"scan07_slice{number}.tif").unlink()
    assert read(tmp_path, spacing=1, materials={"phases": {"pore": 0}}).shape == (3, 4, 4)
    (tmp_path / "scan07_slice2.tif").rename(tmp_path / "scan07_slice11.tif")
    (tmp_path / "scan07_slice3.tif").rename(tmp_path / "scan07_slice21.tif")
    assert read(tmp_path, spacing=1, materials={"phases": {"pore": 0}}).shape == (3, 4, 4)
