"""Fixtures that every room's tests share.

A test that takes ``backend`` runs on the host and on the GPU, or on what stands in for one; a test whose
volumes are too large to emulate takes ``large_backend``; one that is of the GPU alone takes ``gpu``.  All of
them have ``put``, ``get``, ``name`` and ``emulated``.
"""

from pathlib import Path

import pytest

import kernel_sources
from backends import Backend, has_gpu, stand_in

GPU = has_gpu()
if not GPU:
    stand_in()

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_generate_tests(metafunc):
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", [Backend("cpu"), Backend("cuda", emulated=not GPU)], ids=str)
    if "gpu" in metafunc.fixturenames:
        metafunc.parametrize("gpu", [Backend("cuda", emulated=not GPU)], ids=str)
    if "large_backend" in metafunc.fixturenames:
        without = pytest.mark.skipif(not GPU, reason="no GPU, and too large to emulate")
        metafunc.parametrize(
            "large_backend", [Backend("cpu"), pytest.param(Backend("cuda"), marks=without)], ids=str
        )


@pytest.fixture(autouse=True)
def _device(request):
    """Switch the emulated GPU on for the tests that run on it; for all others there is no GPU."""
    callspec = getattr(request.node, "callspec", None)
    parameters = callspec.params if callspec else {}
    backend = parameters.get("backend") or parameters.get("gpu")
    if backend is None or not backend.emulated:
        yield
        return
    import cupy

    before = cupy.cuda.runtime.switch_on()
    yield
    cupy.cuda.runtime.switch_on(before)
    unlisted = kernel_sources.unlisted(cupy.built)
    assert not unlisted, f"no line '// build: ...' of kernels/ lists {', '.join(unlisted)}"


@pytest.fixture
def cp(gpu):
    """CuPy on a GPU, or what stands in for it."""
    import cupy

    return cupy


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real volumes beside the checkout; tests that need it skip visibly without it."""
    if not DATA.is_dir():
        pytest.skip(f"real volumes are not at {DATA}")
    return DATA


@pytest.fixture(scope="session")
def nmc_cathode(real_data):
    """Real lithium-ion cathode, 251×301×301: 0 pore, 1 active material, 2 carbon binder."""
    import tifffile

    return tifffile.imread(real_data / "nmc_cathode" / "nmc-1-cal_generatedCBD_bridge.tif")


@pytest.fixture(scope="session")
def soc_electrode(real_data):
    """Real solid-oxide electrode, 330×501×501: 0 pore, 128 YSZ, 255 Ni."""
    import numpy as np
    import tifffile

    files = sorted((real_data / "soc_electrode" / "labels").glob("slice__*.tif"))
    return np.stack([tifffile.imread(file) for file in files])
