"""Symmetric elimination of sparse systems with few entries per row, in numba.

The factors of a circuit of regions have some ten entries per row.  General solvers spend most of their time
on what does not depend on the conductances: here the order is given, and found once per circuit.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spilu

from tripoint._cpu.compiled import compiled


def elimination_order(source, target, count):
    """Return the order of minimum degree (Liu 1985, ACM Trans. Math. Softw. 11, 141), (count,) int64.

    SuperLU finds it while it factorises; an incomplete factorisation that drops everything stops there.
    """
    if not count:
        return np.zeros(0, np.int64)
    degree = np.bincount(source, minlength=count) + np.bincount(target, minlength=count) + 1.0
    rows, columns = (np.concatenate(ends) for ends in ((source, target), (target, source)))
    links = -1 / np.sqrt(degree[rows] * degree[columns])
    itself = np.arange(count)
    entries = np.append(links, np.ones(count)), (np.append(rows, itself), np.append(columns, itself))
    matrix = coo_matrix(entries, shape=(count, count)).tocsc()
    options = {"SymmetricMode": True}
    factors = spilu(
        matrix, 1.0, 1.0, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options
    )  # fmt: skip
    return np.argsort(factors.perm_c)


@compiled()
def columns(source, target, conductance, count):
    """Return the entries above the diagonal column by column: where each begins, rows, values."""
    first = np.zeros(count + 1, np.int64)
    for e in range(len(source)):
        first[max(source[e], target[e]) + 1] += 1
    for j in range(count):
        first[j + 1] += first[j]
    place = first[:-1].copy()
    row = np.empty(first[count], np.int64)
    value = np.empty(first[count])
    for e in range(len(source)):
        j = max(source[e], target[e])
        row[place[j]] = min(source[e], target[e])
        value[place[j]] = -conductance[e]
        place[j] += 1
    return first, row, value


@compiled()
def fill(first, row):
    """Return the elimination tree, where each column of the factors begins, and the work (Liu 1990).

    Parameters
    ----------
    first, row
        Of `columns`.

    Returns
    -------
    parent : (count,) int64
        The first row below the diagonal in each column of the factors, −1 where there is none.
    start : (count + 1,) int64
    work : float
        Multiplications of the factorisation.
    """
    count = len(first) - 1
    parent = np.full(count, -1, np.int64)
    seen = np.empty(count, np.int64)
    start = np.zeros(count + 1, np.int64)
    for k in range(count):
        seen[k] = k
        for p in range(first[k], first[k + 1]):
            i = row[p]
            while seen[i] != k:
                if parent[i] == -1:
                    parent[i] = k
                start[i + 1] += 1
                seen[i] = k
                i = parent[i]
    work = 0.0
    for j in range(count):
        work += float(start[j + 1]) ** 2
        start[j + 1] += start[j]
    return parent, start, work


@compiled()
def factorise(first, row, value, diagonal, parent, start):
    """Return the factors L D Lᵀ, row after row (Davis 2005, ACM Trans. Math. Softw. 31, 587).

    Returns
    -------
    below : (entries,) int32
        Row of every entry of L below its diagonal of ones, column by column.
    lower : (entries,) float64
    pivot : (count,) float64
        D; positive where the system is.
    """
    count = len(first) - 1
    below = np.empty(start[count], np.int32)
    lower = np.empty(start[count])
    pivot = np.empty(count)
    used = np.zeros(count, np.int64)
    seen = np.full(count, -1, np.int64)
    pattern = np.empty(count, np.int64)
    dense = np.zeros(count)
    for k in range(count):
        top = count
        seen[k] = k
        for p in range(first[k], first[k + 1]):  # what row k of L holds, each before those it depends on
            i = row[p]
            dense[i] += value[p]
            length = 0
            while seen[i] != k:
                pattern[length] = i
                length += 1
                seen[i] = k
                i = parent[i]
            while length > 0:
                top -= 1
                length -= 1
                pattern[top] = pattern[length]
        pivot[k] = diagonal[k]
        for q in range(top, count):
            i = pattern[q]
            value_i = dense[i]
            dense[i] = 0.0
            end = start[i] + used[i]
            for p in range(start[i], end):
                dense[below[p]] -= lower[p] * value_i
            entry = value_i / pivot[i]
            pivot[k] -= entry * value_i
            below[end] = k
            lower[end] = entry
            used[i] += 1
    return below, lower, pivot


@compiled()
def solve(start, below, lower, pivot, right):
    """Return the solution of L D Lᵀ x = right."""
    x = right.copy()
    for j in range(len(x)):
        for p in range(start[j], start[j + 1]):
            x[below[p]] -= lower[p] * x[j]
    for j in range(len(x) - 1, -1, -1):
        value = x[j] / pivot[j]
        for p in range(start[j], start[j + 1]):
            value -= lower[p] * x[below[p]]
        x[j] = value
    return x


@compiled()
def residual(first, row, value, diagonal, solution, right):
    """Return the norm of what a solution leaves of the right-hand side, both scaled by the diagonal."""
    left = right - diagonal * solution
    for j in range(len(right)):
        for p in range(first[j], first[j + 1]):
            left[j] -= value[p] * solution[row[p]]
            left[row[p]] -= value[p] * solution[j]
    remaining, whole = 0.0, 0.0
    for j in range(len(right)):
        remaining += left[j] ** 2 / diagonal[j]
        whole += right[j] ** 2 / diagonal[j]
    return np.sqrt(remaining / whole) if whole != 0 else 0.0
