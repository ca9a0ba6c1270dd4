"""Tables on either side: their columns, names and sums by row."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tripoint import tables

NAMES = {0: "pore", 128: "ceramic", 255: "métal"}


def columns():
    return {
        "node": np.array([1, 2, 3, 4], np.int32),
        "label": np.array([0, 255, 7, 128], np.uint8),
        "length": np.array([0.5, np.nan, np.inf, -0.0]),
        "active": np.array([True, False, True, True]),
        "centroid_z": np.arange(8.0).reshape(4, 2)[:, 1],
    }


def test_columns_come_back_as_they_went_in(backend):
    expected = columns()
    frame = tables.table({name: backend.put(values) for name, values in expected.items()})
    assert tables.on_gpu(frame) == (backend.name == "cuda")
    assert list(frame.columns) == list(expected)
    for name, values in expected.items():
        found = tables.column(frame, name)
        assert tables.namespace(found) is tables.namespace(backend.put(values))
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(backend.get(found), values)
    pd.testing.assert_frame_equal(tables.to_host(frame), pd.DataFrame(expected))


def test_a_column_can_be_had_in_another_type(backend):
    frame = tables.table({name: backend.put(values) for name, values in columns().items()})
    found = tables.column(frame, "node", np.float64)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(backend.get(found), [1.0, 2.0, 3.0, 4.0])


def test_nan_of_a_column_assigned_later_is_nan(backend):
    frame = tables.table({"node": backend.put(np.arange(3))})
    frame = frame.assign(ratio=backend.put(np.array([1.0, np.nan, 2.0])))
    np.testing.assert_array_equal(backend.get(tables.column(frame, "ratio")), [1.0, np.nan, 2.0])
    np.testing.assert_array_equal(tables.to_host(frame)["ratio"], [1.0, np.nan, 2.0])


@pytest.mark.parametrize("chosen", [[0, 1, 2, 3], [3, 3, 0], []])
def test_names_of_phases(backend, chosen):
    labels = columns()["label"][chosen]
    names = tables.named(backend.put(labels), NAMES)
    frame = tables.table({"label": backend.put(labels)}).assign(phase=names)
    expected = [{0: "pore", 128: "ceramic", 255: "métal", 7: "7"}[label] for label in labels.tolist()]
    assert tables.to_host(frame)["phase"].tolist() == expected
    table = tables.table({"label": backend.put(labels), "phase": names})
    pd.testing.assert_frame_equal(tables.to_host(table), tables.to_host(frame))


def test_an_empty_table(backend):
    frame = tables.table({name: backend.put(values[:0]) for name, values in columns().items()})
    assert len(frame) == 0
    assert tables.column(frame, "length").dtype == np.float64


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 90),
    size=st.integers(0, 5000),
    few=st.integers(1, 90),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.int32, np.int64]),
)
def test_sums_are_those_of_every_row(backend, count, size, few, seed, dtype):
    rng = np.random.default_rng(seed)
    size = size if count else 0
    rows = rng.integers(0, max(1, min(few, count)), size).astype(dtype)  # rows from `few` on stay empty
    values = rng.standard_normal(size) * 10.0 ** rng.integers(-8, 8, size)
    found = backend.get(tables.sums(backend.put(rows), backend.put(values), count))
    assert found.dtype == np.float64
    assert found.shape == (count,)
    size_of_row = np.bincount(rows, np.abs(values), count)
    np.testing.assert_array_less(
        np.abs(found - np.bincount(rows, values, count)), 1e-13 * size_of_row + 1e-300
    )


@pytest.mark.parametrize("sizes", [[1_000_000], [0, 1, 32, 33, 1024, 1025, 0, 100_000], [3] * 100_000])
def test_sums_of_long_and_of_short_rows(backend, sizes):
    rng = np.random.default_rng(len(sizes))
    rows = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    values = rng.random(rows.size)
    found = backend.get(tables.sums(backend.put(rows), backend.put(values), len(sizes)))
    np.testing.assert_allclose(found, np.bincount(rows, values, len(sizes)), rtol=1e-12)


def test_a_sum_does_not_depend_on_the_other_rows(backend):
    """Nor on where they stand: the order of additions is that of the row's own values."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 7, 20_000)
    values = rng.standard_normal(rows.size)
    together = backend.get(tables.sums(backend.put(rows), backend.put(values), 7))
    again = backend.get(tables.sums(backend.put(rows), backend.put(values), 7))
    np.testing.assert_array_equal(together, again)
    for row in range(7):
        own = values[rows == row]
        alone = backend.get(tables.sums(backend.put(np.zeros(own.size, np.int64)), backend.put(own), 1))
        assert alone[0] == together[row]


def test_whole_numbers_are_summed_exactly(backend):
    rows = np.array([2, 0, 2, 2], np.int32)
    values = np.array([5, 7, -1, 2**40], np.int64)
    found = backend.get(tables.sums(backend.put(rows), backend.put(values), 4))
    np.testing.assert_array_equal(found, [7.0, 0.0, 2.0**40 + 4, 0.0])
