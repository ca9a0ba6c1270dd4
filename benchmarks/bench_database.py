"""The graph database at 10,000 samples of 1,000 particles: adding, packing, asking, memory.

    python benchmarks/bench_database.py [--output benchmarks/results] [--samples 10000] [--folder DIR]

A real analysis gives the columns; numbers are scaled at random per sample, so that no two are alike.  It
takes about 15 GB of disk and some minutes.  With ``--writers`` processes, each adds an equal share.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import tripoint as tp
from measuring import argument_parser, machine, peak, reset_peak, write
from tripoint import synth
from tripoint.database.checking import Checks
from tripoint.database.layout import TABLES
from tripoint.graph import Graph

NODES = 1000
CONTACTS, JUNCTIONS = 4300, 2600  # per 1000 regions in composites of three phases and void

QUERIES = {
    "filtered_aggregate": (
        "select phase, count(*), avg(activity), stddev(activity) from nodes "
        "where not fragment and equivalent_diameter > 1 group by phase"
    ),
    "aggregate_per_sample": "select sample, sum(volume) from nodes where phase = 'active' group by sample",
    "join": (
        "select corr(n.activity, c.area) from nodes n join (select sample, source as node, sum(area) as area "
        "from contacts group by all) c using (sample, node) where n.phase = 'active'"
    ),
    "one_sample": "select count(*) from nodes where sample = 'sample_00042'",
    "samples_filtered": "select count(*), avg(tpb_density) from samples where tpb_density > 0",
}


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--writers", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None, help="where to make the database")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tripoint-bench-", dir=arguments.folder))
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # what is known of files goes with them
    try:
        results = measure(folder / "db", arguments.samples, arguments.writers)
    finally:
        shutil.rmtree(folder)
    write(results, arguments.output, "database_cpu.json")


def measure(path: Path, samples: int, writers: int) -> dict[str, Any]:
    template, summary = base()
    results: dict[str, Any] = {
        "machine": {**machine(), "load_before": [round(load, 1) for load in os.getloadavg()]},
        "samples": samples,
        "nodes_per_sample": NODES,
        "writers": writers,
    }
    tell(results, "adding", adding(path, template, summary, samples, writers))
    results["load_after_adding"] = [round(load, 1) for load in os.getloadavg()]
    database = tp.GraphDatabase(path)
    assert len(database) == samples
    tell(results, "small_files_checked", checking(database))
    tell(results, "small_files", asking(database))
    tell(results, "packing", packing(database))
    tell(results, "packed_checked", checking(database))
    tell(results, "packed", asking(database))
    tell(results, "streaming", streaming(database))
    begin = time.perf_counter()
    findings = database.verify()
    tell(results, "verify", {"seconds": round(time.perf_counter() - begin, 1), "findings": len(findings)})
    results["load_after"] = [round(load, 1) for load in os.getloadavg()]
    return results


def base() -> tuple[Graph, dict[str, Any]]:
    """Return tables of 1,000 regions with all columns of an analysis with transport and activity."""
    sample = synth.solid_state_cathode((48, 48, 48), (0.7, 0.7, 0.7), seed=1)
    result = tp.analyze(sample, transport=True, activity="simulate", device="cpu")
    graph = result.graph
    tables = [
        pd.concat([table] * (rows // len(table) + 1), ignore_index=True)[:rows]
        for table, rows in ((graph.nodes, NODES), (graph.contacts, CONTACTS), (graph.junctions, JUNCTIONS))
    ]
    return Graph(*tables, metadata=graph.metadata), result.summary


def vary(template: Graph, number: int) -> Graph:
    rng = np.random.default_rng(number)
    tables = {}
    for name in ("nodes", "contacts", "junctions"):
        table = getattr(template, name).copy()
        floats = table.select_dtypes("float").columns
        table[floats] = table[floats].to_numpy() * rng.uniform(0.5, 1.5, (len(table), len(floats)))
        tables[name] = table
    return replace(template, **tables, metadata={**template.metadata, "name": f"sample_{number:05d}"})


def adding(
    path: Path, template: Graph, summary: dict[str, Any], samples: int, writers: int
) -> dict[str, Any]:
    """Add samples; making up their numbers does not count."""
    shares = [range(start, samples, writers) for start in range(writers)]
    if writers == 1:
        seconds, more = add(path, template, summary, shares[0])
        return {"samples_per_second": round(samples / seconds, 1), "seconds": round(seconds, 1), **more}
    begin = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(writers) as pool:
        found = pool.starmap(add, [(path, template, summary, share) for share in shares])
    return {
        "samples_per_second": round(sum(len(s) / t for s, (t, _) in zip(shares, found, strict=True)), 1),
        "seconds_with_making_up": round(time.perf_counter() - begin, 1),
    }


def add(path: Path, template: Graph, summary: dict[str, Any], numbers: range) -> tuple[float, dict[str, Any]]:
    database = tp.GraphDatabase(path)
    result = tp.Result.__new__(tp.Result)  # tables and figures without a volume
    seconds, busy, before, rates = 0.0, 0.0, 0, []
    part = max(1, len(numbers) // 10)
    for count, number in enumerate(numbers):
        if count == 1:
            before = reset_peak()
        result.graph, result.summary = vary(template, number), summary
        begin, work = time.perf_counter(), time.process_time()
        database.add(result, input_hash="made up")
        took = time.perf_counter() - begin
        seconds, busy = seconds + took, busy + time.process_time() - work
        if count % part == 0:
            rates.append([0, 0.0])
        rates[-1][0] += 1
        rates[-1][1] += took
    slowest = min(n / t for n, t in rates)
    return seconds, {
        "slowest_of_10_parts": round(slowest, 1),
        "samples_per_processor_second": round(len(numbers) / busy, 1),
        "memory_growth_mib": round((peak() - before) / 2**20),
    }


def checking(database: tp.GraphDatabase) -> dict[str, Any]:
    """Compare the files of each table with their hashes: the first time, in another process, and again."""
    found: dict[str, Any] = {}
    for table in TABLES:
        checks, seconds = Checks(database.store), []
        for turn in (checks, Checks(database.store), checks):
            snapshot = database.snapshot()
            begin, work = time.perf_counter(), time.process_time()
            assert not turn.damaged(snapshot, (table,))
            seconds.append(round(time.perf_counter() - begin, 3))
            if not found.get(table):
                found[table] = {"processor_seconds": round(time.process_time() - work, 2)}
        size = sum(file.size for file in database.store.files(table))
        found[table] |= {"gib": round(size / 2**30, 2), "seconds": seconds}
    return found


def asking(database: tp.GraphDatabase) -> dict[str, Any]:
    """Ask each query twice, as a fresh process would, and again; the files were checked before."""
    found: dict[str, Any] = {}
    for name, query in QUERIES.items():
        seconds = []
        for _ in range(2):
            opened = tp.GraphDatabase(database.store.root)
            begin = time.perf_counter()
            opened.sql(query)
            seconds.append(round(time.perf_counter() - begin, 2))
        found[name] = seconds
    begin = time.perf_counter()
    _ = tp.GraphDatabase(database.store.root)["sample_00007"]
    found["graph_of_one_sample"] = round(time.perf_counter() - begin, 3)
    files = [file for table in TABLES for file in database.store.files(table)]
    found["files"] = len(files)
    found["gib"] = round(sum(file.size for file in files) / 2**30, 2)
    return found


def packing(database: tp.GraphDatabase) -> dict[str, Any]:
    before = reset_peak()
    begin, work = time.perf_counter(), time.process_time()
    done = database.compact(grace=0)
    return {
        "seconds": round(time.perf_counter() - begin, 1),
        "processor_seconds": round(time.process_time() - work, 1),
        "packs": done.packs,
        "memory_growth_mib": round((peak() - before) / 2**20),
    }


def streaming(database: tp.GraphDatabase) -> dict[str, Any]:
    """Go through all nodes in batches, with and without a limit of memory."""
    found = {}
    for limit in (None, "1GB"):
        opened = tp.GraphDatabase(database.store.root, memory=limit)
        before = reset_peak()
        begin = time.perf_counter()
        total = 0
        for batch in opened.stream("select sample, node, phase, volume, activity from nodes"):
            total += batch.num_rows
        found[str(limit)] = {
            "rows": total,
            "seconds": round(time.perf_counter() - begin, 1),
            "memory_growth_mib": round((peak() - before) / 2**20),
        }
    return found


def tell(results: dict[str, Any], name: str, found: dict[str, Any]) -> None:
    results[name] = found
    print(name, found, flush=True)


if __name__ == "__main__":
    main()
