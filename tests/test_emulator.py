"""The emulator runs CUDA as a GPU does, and refuses what goes wrong there."""

import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import emulator
from emulator import CompileError, EmulatorError, Module

FULL = "0xffffffff"


def launch(source, grid, block, *arguments, options=(), function="f"):
    """Build and run the kernel of a source."""
    Module(source, options, "test.cu").launch(function, grid, block, arguments)


def kernel(parameters, body, function="f"):
    return f'\nextern "C" __global__ void {function}({parameters}) {{ {body} }}'


def in_one_module(parameters, before, bodies):
    """Return one source with a kernel f0, f1, ... for each body: building takes longer than running."""
    return "".join(kernel(parameters, before + body, f"f{k}") for k, body in enumerate(bodies))


# ------------------------------------------------------------------------------------------------ threads


def test_every_thread_of_a_three_dimensional_grid_runs_once():
    source = kernel(
        "int* seen",
        """
        int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
        int z = blockIdx.z * blockDim.z + threadIdx.z;
        int nx = gridDim.x * blockDim.x, ny = gridDim.y * blockDim.y;
        atomicAdd(&seen[(z * ny + y) * nx + x], 1 + z * 10000 + y * 100 + x);
        """,
    )
    seen = np.zeros((4 * 2, 3 * 3, 2 * 5), np.int32)
    launch(source, (2, 3, 4), (5, 3, 2), seen)
    z, y, x = np.indices(seen.shape)
    assert np.array_equal(seen, 1 + z * 10000 + y * 100 + x)


def test_templates_headers_constants_and_defines(tmp_path):
    (tmp_path / "twice.cuh").write_text(
        "template <class T> __device__ __forceinline__ T twice(T x) { return 2 * x; }"
    )
    source = '#include "twice.cuh"\n__constant__ int table[] = {10, 20, 30};\n' + kernel(
        "long long* out", "out[threadIdx.x] = twice<long long>(table[threadIdx.x]) + SHIFT;"
    )
    out = np.zeros(3, np.int64)
    launch(source, (1,), (3,), out, options=("-std=c++17", "-DSHIFT=5", f"-I{tmp_path}"))
    assert out.tolist() == [25, 45, 65]


@pytest.mark.parametrize("order", ["forward", "reverse"])
@pytest.mark.parametrize("threads", [1, 32, 96, 1024])
def test_barriers_and_shared_memory_add_up_a_block(order, threads):
    source = kernel(
        "const int* values, unsigned long long* total",
        """
        __shared__ int part[1024];
        part[threadIdx.x] = values[blockIdx.x * blockDim.x + threadIdx.x];
        __syncthreads();
        for (int step = 1; step < blockDim.x; step *= 2) {
            int other = threadIdx.x + step < blockDim.x ? part[threadIdx.x + step] : 0;
            __syncthreads();
            part[threadIdx.x] += other;
            __syncthreads();
        }
        if (threadIdx.x == 0) atomicAdd(total, (unsigned long long)part[0]);
        """,
    )
    values = np.random.default_rng(0).integers(0, 1000, 3 * threads).astype(np.int32)
    total = np.zeros(1, np.uint64)
    with emulator.order(order):
        launch(source, (3,), (threads,), values, total)
    assert total[0] == values.sum()


def test_block_votes():
    source = kernel(
        "int* out",
        "out[3 * threadIdx.x] = __syncthreads_count(threadIdx.x % 3 == 0);"
        "out[3 * threadIdx.x + 1] = __syncthreads_or(threadIdx.x == 40);"
        "out[3 * threadIdx.x + 2] = __syncthreads_and(threadIdx.x != 40);",
    )
    out = np.zeros((48, 3), np.int32)
    launch(source, (1,), (48,), out)
    assert (out == [16, 1, 0]).all()


@pytest.mark.parametrize("order", ["forward", "reverse"])
@pytest.mark.parametrize("value", ["int", "unsigned", "float", "double", "long long", "unsigned long long"])
def test_shuffles(order, value):
    source = kernel(
        f"const {value}* values, {value}* out",
        f"""
        {value} v = values[threadIdx.x];
        out[threadIdx.x] = __shfl_sync({FULL}, v, 3);
        out[64 + threadIdx.x] = __shfl_up_sync({FULL}, v, 5);
        out[128 + threadIdx.x] = __shfl_down_sync({FULL}, v, 7);
        out[192 + threadIdx.x] = __shfl_xor_sync({FULL}, v, 9);
        out[256 + threadIdx.x] = __shfl_sync({FULL}, v, 1, 8);
        out[320 + threadIdx.x] = __shfl_down_sync({FULL}, v, 2, 4);
        """,
    )
    names = {"int": "i4", "unsigned": "u4", "float": "f4", "double": "f8", "long long": "i8"}
    values = np.arange(64).astype(names.get(value, "u8")) * 3
    out = np.zeros((6, 64), values.dtype)
    with emulator.order(order):
        launch(source, (1,), (64,), values, out)
    lane, first = np.arange(64) % 32, np.arange(64) // 32 * 32
    from_lanes = [
        np.full(64, 3),
        np.where(lane >= 5, lane - 5, lane),
        np.where(lane + 7 < 32, lane + 7, lane),
        lane ^ 9,
        lane // 8 * 8 + 1,
        np.where(lane % 4 < 2, lane + 2, lane),
    ]
    for row, source_lane in zip(out, from_lanes, strict=True):
        assert np.array_equal(row, values[first + source_lane])


def test_votes_of_a_warp():
    source = kernel(
        "unsigned* out",
        f"""
        unsigned odd = __ballot_sync({FULL}, threadIdx.x & 1);
        int any = __any_sync({FULL}, threadIdx.x == 33), all = __all_sync({FULL}, threadIdx.x < 32);
        __syncwarp();
        out[threadIdx.x] = odd ^ (any << 2) ^ (all << 4);
        """,
    )
    out = np.zeros(80, np.uint32)
    launch(source, (1,), (80,), out)
    assert (out[:32] == 0xAAAAAAAA ^ 16).all()
    assert (out[32:64] == 0xAAAAAAAA ^ 4).all()
    assert (out[64:] == 0xAAAA).all()


def test_atomics_return_what_was_there():
    calls = {
        "atomicAdd": (5, 12),
        "atomicSub": (5, 2),
        "atomicExch": (5, 5),
        "atomicMin": (5, 5),
        "atomicMax": (9, 9),
        "atomicAnd": (5, 5),
        "atomicOr": (8, 15),
        "atomicXor": (5, 2),
    }
    body = "".join(
        f"old[{k}] = {name}(&at[{k}], {value});" for k, (name, (value, _)) in enumerate(calls.items())
    )
    body += "old[8] = atomicCAS(&at[8], 7, 1); old[9] = atomicCAS(&at[9], 8, 1);"
    at, old = np.full(10, 7, np.int32), np.zeros(10, np.int32)
    launch(kernel("int* at, int* old", body), (1,), (1,), at, old)
    assert at.tolist() == [result for _, result in calls.values()] + [1, 7]
    assert (old == 7).all()


def test_there_are_no_atomics_on_floats():
    with pytest.raises(CompileError, match="atomicAdd"):
        launch(kernel("float* x", "atomicAdd(x, 1.0f);"), (1,), (1,), np.zeros(1, np.float32))


def test_bits_and_bytes():
    source = kernel(
        "unsigned* out",
        """
        out[0] = __popc(0xF0F0u); out[1] = __popcll(~0ull); out[2] = __ffs(8); out[3] = __ffsll(1ll << 40);
        out[4] = __clz(1); out[5] = __clzll(0); out[6] = __funnelshift_r(0x11223344u, 0x55667788u, 8);
        out[7] = __funnelshift_l(0x11223344u, 0x55667788u, 8);
        out[8] = __byte_perm(0x33221100u, 0x77665544u, 0x7250u); out[9] = __vcmpeq4(0x01020304u, 0x01FF0304u);
        out[10] = __brev(1u); out[11] = min(3u, 5u) + max(1u, 2u);
        uchar4 four = *reinterpret_cast<const uchar4*>(out); out[12] = four.x + warpSize;
        """,
    )
    out = np.zeros(13, np.uint32)
    launch(source, (1,), (1,), out)
    expected = [8, 64, 4, 41, 31, 64, 0x88112233, 0x66778811, 0x77225500, 0xFF00FFFF, 1 << 31, 5, 40]
    assert out.tolist() == expected


def test_products_are_rounded_before_they_are_added():
    a, b, c = np.float32(1 + 2**-12), np.float32(1 - 2**-12), np.float32(-1)
    out = np.zeros(2, np.float32)
    source = kernel(
        "float a, float b, float c, float* out", "out[0] = a * b + c; out[1] = __fadd_rn(__fmul_rn(a, b), c);"
    )
    launch(source, (1,), (1,), a, b, c, out)
    assert out.tolist() == [a * b + c] * 2


# ------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ((np.zeros(4, np.int64), np.int32(4)), "array of int64; the kernel takes pointer to int32"),
        ((np.zeros(4, np.float32), np.int32(4)), "array of float32"),
        ((np.zeros(4, np.int32), np.int64(4)), "scalar of int64; the kernel takes int32"),
        ((np.zeros(4, np.int32), np.float32(4)), "scalar of float32"),
        ((np.zeros(4, np.int32), np.uint32(4)), "scalar of uint32"),
        ((np.zeros(4, np.int32), 4), "is a int"),
        ((np.int32(4), np.zeros(4, np.int32)), "argument 0"),
        ((np.zeros(4, np.int32),), "takes 2 arguments, not 1"),
    ],
)
def test_arguments_are_checked_against_the_signature(wrong, words):
    with pytest.raises(TypeError, match=words):
        launch(kernel("int* x, int n", "x[0] = n;"), (1,), (1,), *wrong)


@pytest.mark.parametrize(
    ("grid", "block"),
    [((1,), (1025,)), ((1,), (1, 1, 65)), ((0,), (1,)), ((1, 65536), (1,)), ((1,), (33, 32)), ((1,), (128,))],
)
def test_launches_beyond_the_limits(grid, block):
    source = 'extern "C" __global__ void __launch_bounds__(THREADS) f(int* x) {}'
    with pytest.raises(EmulatorError, match=r"1 to|at most"):
        launch(source, grid, block, np.zeros(1, np.int32), options=("-DTHREADS=64",))


def test_grid_and_block_are_tuples():
    with pytest.raises(TypeError, match="tuples"):
        launch(kernel("int* x", ""), 1, 32, np.zeros(1, np.int32))


DIVERGING = {
    "if (threadIdx.x == 3) return; __syncthreads();": "1 have returned, 63 wait at a barrier",
    "if (threadIdx.x == 3) return; __syncwarp();": "31 wait for lanes of their warp",
    "if (threadIdx.x < 32) __syncthreads(); else __syncwarp();": "32 wait at a barrier",
    f"if (threadIdx.x & 1) __syncwarp(); else x[0] = __any_sync({FULL}, 1);": "while other lanes",
    "if (threadIdx.x < 8) __syncwarp(0xff);": "the mask 0x000000ff",
}


@pytest.mark.parametrize("body", DIVERGING)
def test_waiting_for_those_who_never_come_is_an_error(body):
    function = f"f{list(DIVERGING).index(body)}"
    with pytest.raises(EmulatorError, match=rf"(?s){function!r} of test.cu.*{DIVERGING[body]}"):
        launch(in_one_module("int* x", "", DIVERGING), (2,), (64,), np.zeros(1, np.int32), function=function)


def test_a_module_works_on_after_an_error():
    source = kernel(
        "int* x, int late", "if (threadIdx.x < late) return; __syncthreads(); x[threadIdx.x] = 1;"
    )
    module, x = Module(source), np.zeros(64, np.int32)
    with pytest.raises(EmulatorError):
        module.launch("f", (1,), (64,), (x, np.int32(5)))
    module.launch("f", (1,), (64,), (x, np.int32(0)))
    assert x.all()


UNDEFINED = {
    "x[n] = 0;": "writes 4 bytes at offset 16 of the 16 bytes behind argument 0",
    "y[0] = x[-1];": "reads 4 bytes at offset -4 of the 16 bytes behind argument 0",
    "y[0] = *(const int*)(16LL * n);": "none of the arguments",
    "y[0] = *(const int*)((const char*)x + 1);": "not aligned .* line 5 of test.cu",
    "__shared__ int s[4]; s[n] = 0;": "index beyond its array",
    "int s[4]; for (int k = 0; k <= n; ++k) s[k] = x[k % 4]; y[0] = s[n / 2];": "index beyond its array",
    "y[0] = 2147483647 - 4 + n + 1;": "overflows",
    "y[0] = 1 / (n - 4);": "zero",
    "y[0] = 1 << (n + 28);": "shifts",
    "atomicAdd(x + n, 1);": "offset 16",
}


@pytest.mark.parametrize("body", UNDEFINED)
def test_undefined_behaviour(body):
    source = in_one_module("int* x, int* y, int n", "", UNDEFINED)
    arrays = np.zeros(4, np.int32), np.zeros(4, np.int32)
    with pytest.raises(EmulatorError, match=UNDEFINED[body]):
        launch(source, (1,), (1,), *arrays, np.int32(4), function=f"f{list(UNDEFINED).index(body)}")


RACES = [
    "s[t] = t; x[t] = s[t ^ 32];",  # another warp's, read without a barrier
    "s[t] = t; x[t] = s[t ^ 1];",  # another lane's
    "s[t ^ 1] = t; __syncwarp(); x[t] = s[t ^ 32];",  # another warp's after a barrier of the warp only
    "s[t] = t; __syncthreads(); x[t] = s[t ^ 1]; s[t] = -t;",  # overwritten while others still read
    "s[0] = t; __syncthreads(); x[t] = s[0];",  # everybody writes something else
    "atomicAdd(&s[0], 1); x[t] = s[0];",
]
NO_RACES = [
    "s[t] = t; __syncthreads(); x[t] = s[t ^ 32];",
    "s[t] = t; __syncwarp(); x[t] = s[t ^ 1];",
    "s[t] = t; __syncthreads(); int v = s[t ^ 1]; __syncthreads(); s[t] = -v; x[t] = s[t];",
    "s[0] = 7; __syncthreads(); x[t] = s[0];",  # everybody writes the same
    "if (t == 0) s[0] = 0; __syncthreads(); atomicAdd(&s[0], 1); __syncthreads(); x[t] = s[0];",
    "if (t == 0) s[0] = 0; __syncthreads(); atomicAdd(&s[0], 1); x[t] = *(volatile int*)&s[0];",
]
SHARED = "__shared__ int s[64]; int t = threadIdx.x; "


@pytest.mark.parametrize("order", ["forward", "reverse"])
@pytest.mark.parametrize("body", RACES)
def test_races_for_shared_memory(order, body):
    source, function = in_one_module("int* x", SHARED, RACES), f"f{RACES.index(body)}"
    with emulator.order(order), pytest.raises(EmulatorError, match="no barrier in between"):
        launch(source, (1,), (64,), np.zeros(64, np.int32), function=function)


@pytest.mark.parametrize("order", ["forward", "reverse"])
@pytest.mark.parametrize("body", NO_RACES)
def test_what_is_no_race_for_shared_memory(order, body):
    source, function = in_one_module("int* x", SHARED, NO_RACES), f"f{NO_RACES.index(body)}"
    with emulator.order(order):
        launch(source, (2,), (64,), np.zeros(64, np.int32), function=function)


def test_shared_memory_begins_undefined_in_every_block():
    source = kernel("unsigned* x", "__shared__ unsigned s[1]; x[blockIdx.x] = s[0]; s[0] = 1;")
    x = np.zeros(3, np.uint32)
    launch(source, (3,), (1,), x)
    assert (x == 0xCBCBCBCB).all()


def test_order_of_threads_shows_races_for_global_memory():
    source = kernel("int* x", "x[0] = blockIdx.x * blockDim.x + threadIdx.x;")
    x = np.zeros(1, np.int32)
    launch(source, (2,), (4,), x)
    assert x[0] == 7
    with emulator.order("reverse"):
        launch(source, (2,), (4,), x)
    assert x[0] == 0


GLOBAL_RACES = [
    "x[0] = i;",
    "x[i] = y[i]; y[i ^ 1] = 7;",  # another lane's
    "x[i] = y[i ^ 64]; y[i] = 7;",  # another block's
    "__syncthreads(); x[i] = y[i ^ 64]; __syncthreads(); y[i] = 7;",  # which no barrier orders
    "atomicAdd(&x[0], 1); y[i] = x[0];",
]
NO_GLOBAL_RACES = [
    "x[i] = y[i]; y[i] = 7;",
    "x[0] = 7;",
    "x[i] = y[i ^ 1]; __syncthreads(); y[i] = 7;",
    "x[i] = y[i ^ 1]; __syncwarp(); y[i] = 7;",
    "atomicAdd(&x[0], 1); y[i] = *(volatile int*)x;",
    "x[i] = y[0]; if (i == 0) x[0] = y[1];",
]


@pytest.mark.parametrize("order", ["forward", "reverse"])
@pytest.mark.parametrize("body", GLOBAL_RACES + NO_GLOBAL_RACES)
def test_races_for_the_arguments_memory(order, body):
    bodies = GLOBAL_RACES + NO_GLOBAL_RACES
    source = in_one_module("int* x, int* y", "int i = blockIdx.x * blockDim.x + threadIdx.x; ", bodies)
    arguments = np.zeros(128, np.int32), np.arange(128, dtype=np.int32)
    run = functools.partial(launch, source, (2,), (64,), *arguments, function=f"f{bodies.index(body)}")
    with emulator.order(order), emulator.races():
        if body in NO_GLOBAL_RACES:
            run()
            return
        with pytest.raises(EmulatorError, match=r"behind argument \d with nothing in between"):
            run()


def test_compiler_errors_name_the_line():
    with pytest.raises(CompileError, match=r"test.cu:2:.*error"):
        Module(kernel("int* x", "x[0] = y;"), name="test.cu")
    with pytest.raises(CompileError, match="no kernel"):
        Module("__device__ int f() { return 1; }")


def test_library_is_built_once_by_whoever_comes_first(tmp_path, monkeypatch):
    script = tmp_path / "build.py"
    source = kernel("int* x", "x[0] = 3;")
    tests = str(Path(__file__).parent)
    script.write_text(
        f"import sys; sys.path.insert(0, {tests!r}); import emulator; emulator.Module({source!r})"
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    racing = [subprocess.Popen([sys.executable, script]) for _ in range(3)]
    assert [process.wait() for process in racing] == [0, 0, 0]
    assert len(list(tmp_path.glob("tripoint-emulator/*-kernel.so"))) == 1
    assert len(list(tmp_path.glob("tripoint-emulator/*"))) == 2


# --------------------------------------------------------------------------------------------- stand-ins


def test_backend_moves_values_there_and_back(backend):
    values = np.arange(5)
    moved = backend.put(values)
    assert (moved is values) == (backend.name == "cpu")
    back = backend.get({"a": (moved, 3), "b": [moved * 2]})
    assert np.array_equal(back["a"][0], values)
    assert back["a"][1] == 3
    assert np.array_equal(back["b"][0], values * 2)
