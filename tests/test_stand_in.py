"""CuPy behaves as tripoint's code expects: CuPy itself where there is a GPU, else what stands in for it.

So the stand-in is held to CuPy by the same tests whenever a GPU is at hand.
"""

import array_api_compat
import numpy as np
import pytest

from emulator import EmulatorError

WRITE_PAST = 'extern "C" __global__ void f(int* x, long long place) { x[place] = 1; }'


@pytest.fixture
def stand_in(cp):
    if not hasattr(cp, "transfers"):
        pytest.skip("CuPy itself records nothing")
    cp.transfers.clear()
    return cp


def test_host_arrays_are_refused(cp):
    x = cp.arange(3)
    for operation in (
        lambda: x + np.arange(3),
        lambda: np.arange(3) + x,
        lambda: cp.add(x, np.arange(3)),
        lambda: cp.where(x > 1, x, np.arange(3)),
        lambda: np.asarray(x),
        lambda: cp.cumsum(np.arange(3)),
    ):
        with pytest.raises((TypeError, AttributeError)):
            operation()
    with pytest.raises(ValueError, match="cannot be used for fill"):
        x[:] = np.arange(3)


def test_scalars_mix_with_device_arrays_and_keep_their_types(cp):
    x = cp.arange(3, dtype=cp.float32)
    assert (x * 2.0).dtype == np.float32
    assert (x * np.float64(2)).dtype == np.float64
    assert (np.float64(2) * x).dtype == np.float64
    assert (cp.arange(3, dtype=cp.uint8) + 1).dtype == np.uint8
    assert (cp.arange(3, dtype=cp.int32) / 2).dtype == np.float64
    with pytest.raises(TypeError):
        x += np.complex128(1j)


def test_results_stay_on_the_device(cp):
    x = cp.arange(6).reshape(2, 3)
    for result in (x.sum(), x.max(), cp.any(x), x[0, 0], cp.count_nonzero(x), x.mean()):
        assert isinstance(result, cp.ndarray)
        assert result.shape == ()
    assert x.sum(axis=0).get().tolist() == [3, 5, 7]
    values, counts = cp.unique(cp.asarray([3, 1, 3]), return_counts=True)
    assert values.get().tolist() == [1, 3]
    assert counts.get().tolist() == [1, 2]


def test_views_share_memory_and_copies_do_not(cp):
    x = cp.zeros((4, 4), cp.int32)
    x[1:3, ::2] = 5
    crop = x[1:, 1:]
    crop[...] = 7
    assert x.get()[1].tolist() == [5, 7, 7, 7]
    assert not crop.flags.c_contiguous
    assert crop.copy().flags.c_contiguous
    assert cp.ascontiguousarray(x) is x
    assert cp.asarray(x) is x


def test_indices_and_masks(cp):
    x = cp.arange(10)
    assert x[x > 6].get().tolist() == [7, 8, 9]
    assert x[cp.asarray([3, 1])].get().tolist() == [3, 1]
    x[x > 6] = 0
    x[cp.asarray([0, 1])] = cp.asarray([5, 6])
    assert x.get().tolist() == [5, 6, 2, 3, 4, 5, 6, 0, 0, 0]
    assert cp.flatnonzero(x == 0).get().tolist() == [7, 8, 9]


def test_sorting_is_stable_and_takes_rows_of_keys(cp):
    x = cp.asarray([2, 1, 2, 1])
    assert cp.argsort(x).get().tolist() == [1, 3, 0, 2]
    keys = cp.asarray([[0, 1, 0, 1], [1, 0, 1, 1]])
    assert cp.lexsort(keys).get().tolist() == [1, 0, 2, 3]
    assert cp.searchsorted(cp.asarray([1, 3, 5]), cp.asarray([3, 4]), side="right").get().tolist() == [2, 2]


def test_array_api_namespace(cp):
    x = cp.arange(4)
    assert array_api_compat.is_cupy_array(x)
    assert not array_api_compat.is_cupy_array(x.get())
    xp = array_api_compat.array_namespace(x)
    assert array_api_compat.is_cupy_namespace(xp)
    assert xp.concat([x, x]).shape == (8,)
    assert xp.unique_values(x % 2).get().tolist() == [0, 1]


def test_kernels_run_and_what_does_not_fit_is_refused(cp):
    add = cp.RawModule(
        code='extern "C" __global__ void add(const int* a, int n, float f, float* b)'
        "{ int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) b[i] = a[i] + f; }",
        options=("-std=c++17", "--fmad=false"),
    ).get_function("add")
    a, b = cp.arange(100, dtype=cp.int32), cp.zeros(100, cp.float32)
    add((4,), (32,), (a, np.int32(100), np.float32(0.5), b))
    assert np.array_equal(b.get(), np.arange(100) + np.float32(0.5))
    with pytest.raises(cp.cuda.compiler.CompileException):
        cp.RawModule(code='extern "C" __global__ void f() { unknown(); }').get_function("f")
    with pytest.raises(cp.cuda.driver.CUDADriverError):
        cp.RawModule(code='extern "C" __global__ void f() {}').get_function("g")


def test_pool_counts_live_arrays_and_keeps_to_its_limit(cp):
    pool = cp.get_default_memory_pool()
    pool.free_all_blocks()
    used = pool.used_bytes()
    x = cp.zeros(1 << 20, cp.uint8)
    y = x + x
    assert pool.used_bytes() - used == 2 << 20
    del y
    assert pool.used_bytes() - used == 1 << 20
    assert pool.total_bytes() - used >= 2 << 20
    limit = pool.get_limit()
    pool.free_all_blocks()
    pool.set_limit(pool.total_bytes() + (1 << 20))
    try:
        with pytest.raises(cp.cuda.memory.OutOfMemoryError):
            cp.zeros(64 << 20, cp.uint8)
    finally:
        pool.set_limit(limit)


# ----------------------------------------------------------------------------- what only the stand-in does


def test_copies_are_recorded_with_their_callers(stand_in):
    x = stand_in.asarray(np.zeros(100, np.float32))
    x.get()
    float(x[3])
    stand_in.asnumpy(x[:10])
    x.tolist()
    moved = [(transfer.direction, transfer.nbytes) for transfer in stand_in.transfers]
    assert moved == [("to_device", 400), ("to_host", 400), ("to_host", 4), ("to_host", 40), ("to_host", 400)]
    assert all("test_stand_in.py:" in transfer.caller for transfer in stand_in.transfers)
    assert sum(stand_in.bytes_by_caller("to_host").values()) == 844


def test_new_memory_is_not_zero(stand_in):
    assert (stand_in.empty(5, stand_in.uint8).get() == 0xCB).all()


def test_kernels_may_not_write_beside_their_arguments(stand_in):
    write = stand_in.RawKernel(WRITE_PAST, "f")
    x = stand_in.zeros(4, stand_in.int32)
    for place in (-1, 4):
        with pytest.raises(EmulatorError, match="writes 4 bytes at offset"):
            write((1,), (1,), (x, np.int64(place)))


def test_values_that_race_for_an_element_are_refused(stand_in):
    x = stand_in.zeros(4)
    x[stand_in.asarray([1, 1])] = stand_in.asarray([2.0, 2.0])
    with pytest.raises(ValueError, match="more than once"):
        x[stand_in.asarray([1, 1])] = stand_in.asarray([2.0, 3.0])


def test_sums_of_floats_by_atomics_are_refused(stand_in):
    x = stand_in.arange(3)
    with pytest.raises(NotImplementedError):
        stand_in.bincount(x, weights=stand_in.ones(3) / 3)
    with pytest.raises(NotImplementedError):
        stand_in.add.reduceat(stand_in.ones(3), stand_in.asarray([0, 1]))


def test_sums_of_whole_weights_are_exact(cp):
    sums = cp.bincount(cp.asarray([0, 2, 0]), weights=cp.asarray([3.0, 2.0, 2.0**40]), minlength=4)
    assert sums.dtype == np.float64
    assert sums.get().tolist() == [3 + 2.0**40, 0, 2, 0]


def test_interpolation_transforms_and_shifts(cp):
    from cucim.skimage.registration import phase_cross_correlation
    from cupyx.scipy import ndimage

    x = cp.asarray(np.random.default_rng(0).random((6, 7, 8)), dtype=cp.float32)
    moved = ndimage.affine_transform(x, cp.eye(3), [0.5, 0.0, 0.0], (5, 7, 8), order=1, mode="nearest")
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved.get(), ((x[:-1] + x[1:]) / 2).get(), atol=1e-6)
    with pytest.raises((TypeError, AttributeError)):
        ndimage.affine_transform(x, np.eye(3), [0.5, 0.0, 0.0])
    spectrum = cp.fft.rfftn(x, [8, 8, 8])
    assert (spectrum.shape, spectrum.dtype) == ((8, 8, 5), np.complex64)
    np.testing.assert_allclose(cp.fft.irfftn(spectrum, [8, 8, 8])[:6, :7].get(), x.get(), atol=1e-5)
    slopes = cp.gradient(cp.asarray([[1.0, 2.0, 4.0]]), axis=(1,))
    np.testing.assert_allclose((slopes[0] if isinstance(slopes, list) else slopes).get(), [[1, 1.5, 2]])
    shift, _, _ = phase_cross_correlation(cp.roll(x, 2, axis=1), x, upsample_factor=10)
    np.testing.assert_allclose(np.asarray(shift, float), [0, 2, 0], atol=0.1)


def test_other_names_are_missing_and_say_so(stand_in):
    with pytest.raises(AttributeError, match="add it to tests/stand_in/cupy"):
        _ = stand_in.fromfunction


def test_there_is_no_device_unless_it_is_switched_on():
    cupy = pytest.importorskip("cupy")
    if not hasattr(cupy, "transfers"):
        pytest.skip("CuPy itself is here")
    assert not cupy.cuda.is_available()
    with pytest.raises(RuntimeError, match="driver"):
        cupy.cuda.runtime.getDeviceCount()
