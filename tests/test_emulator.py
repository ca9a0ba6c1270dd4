"""The emulator runs CUDA as CUDA runs it, and refuses what would go wrong."""

import numpy as np


def test_backend_moves_values_there_and_back(backend):
    values = np.arange(5)
    moved = backend.put(values)
    assert (moved is values) == (backend.name == "cpu")
    back = backend.get({"a": (moved, 3), "b": [moved * 2]})
    assert np.array_equal(back["a"][0], values)
    assert back["a"][1] == 3
    assert np.array_equal(back["b"][0], values * 2)
