"""Fixtures that every room's tests share."""

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


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
