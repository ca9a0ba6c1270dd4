"""The speed of learning: views, training, inference, the learned circuit; made samples of 96³, one of 256³.

    python benchmarks/bench_learn.py [--output benchmarks/results] [--work FOLDER] [--samples 8]
                                     [--parts data,training,inference,circuit,large] [--real NAME=FOLDER …]

Samples are made in the folder ``--work`` unless they are there.  Times are of this process's threads alone,
one of them where nothing else is said: ``cpu_seconds`` of the processor, ``seconds`` of the clock.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

import tripoint as tp
from measuring import argument_parser, machine, write
from tripoint.learn.benchmark.samples import SampleSet, make_sample
from tripoint.learn.circuit import ReactionCircuit, reaction_circuit
from tripoint.learn.features import active_rows
from tripoint.learn.fitting import fit
from tripoint.learn.module import ActivityModule
from tripoint.learn.multigrid import IteratedSolution
from tripoint.learn.solution import CircuitSolution, elimination_order
from tripoint.learn.splitting import Split

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = ("gine", "gatv2", "hetero", "kirchhoff")
MODELS = ("gradient_boosting", *NETWORKS, "known")
PARTICLES = 100_000
BATCH = 4
VARY = OmegaConf.to_container(
    OmegaConf.load(ROOT / "conf" / "experiment" / "activity_benchmark.yaml").benchmark.common.vary
)

_shared: dict[str, Any] = {}  # what forked processes find


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "bench_learn")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--parts", default="data,training,inference,circuit,large")
    parser.add_argument("--real", nargs="*", default=[], metavar="NAME=FOLDER")
    arguments = parser.parse_args()
    path = arguments.output / "learn_cpu.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    samples = SampleSet("learn", 0, arguments.samples, VARY)
    graphs = made(samples, arguments.work)
    results["machine"] = machine()
    _, reading = best(lambda: made(samples, arguments.work), 3)
    results["samples"] = {
        **sizes(list(graphs.values())),
        "read_ms_per_sample": round(1e3 * reading / len(graphs), 1),
    }
    torch.set_num_threads(1)
    for part in arguments.parts.split(","):
        before = os.getloadavg()[0]
        if part == "large":
            large = SampleSet("large", 0, 1, VARY, shape=(256, 256, 256))
            found = {"made_256": one_large(graphs, next(iter(made(large, arguments.work).values())))}
            for entry in arguments.real:
                name, folder = entry.split("=", 1)
                found[name] = one_large({}, tp.load(folder).graph)
        else:
            measure = {"data": data, "training": training, "inference": inference, "circuit": circuits}[part]
            found = measure(graphs)
        results[part] = {"load": [round(before, 1), round(os.getloadavg()[0], 1)], **found}
        print(part, json.dumps(results[part], indent=1), flush=True)
        write(results, arguments.output, path.name)


def made(samples: SampleSet, folder: Path) -> dict[str, tp.Graph]:
    for seed in range(samples.first, samples.first + samples.count):
        make_sample(samples, seed, str(folder))
    database = tp.GraphDatabase(samples.database(str(folder)))
    return {name: database[name] for name in samples.samples}


def sizes(graphs: list[tp.Graph]) -> dict[str, Any]:
    tables = {"regions": "nodes", "contacts": "contacts", "junctions": "junctions"}
    means = {
        name: round(np.mean([len(getattr(graph, table)) for graph in graphs]))
        for name, table in tables.items()
    }
    return {"count": len(graphs), "particles": round(np.mean([*map(particles, graphs)])), **means}


def particles(graph: tp.Graph) -> int:
    return len(active_rows(graph))


def model(name: str) -> Any:
    return OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "model" / f"{name}.yaml"))


def begun(name: str, graphs: dict[str, tp.Graph]) -> Any:
    """Return a model of these samples, hardly trained."""
    chosen = model(name)
    training = {} if "fit" in chosen else {"epochs": 1, "trainer": {"threads": 1}}
    return fit(graphs, chosen, Split(tuple(graphs), (), ()), **training)


def best(action: Callable[[], Any], repeats: int = 5) -> tuple[float, float]:
    """Return the least seconds of the clock, and of the processor."""
    times = []
    for _ in range(repeats):
        clock, processor = time.perf_counter(), time.process_time()
        action()
        times.append((time.perf_counter() - clock, time.process_time() - processor))
    return min(one for one, _ in times), min(two for _, two in times)


def seconds(action: Callable[[], Any], repeats: int = 5, digits: int = 3) -> dict[str, float]:
    clock, processor = best(action, repeats)
    return {"seconds": round(clock, digits), "cpu_seconds": round(processor, digits)}


def data(graphs: dict[str, tp.Graph]) -> dict[str, Any]:
    """Make what networks take: milliseconds per sample, and what a batch takes to be put together."""
    found = {}
    for name in NETWORKS:
        trained = begun(name, graphs)
        _, processor = best(lambda view=trained.view: [view.build(graph) for graph in graphs.values()])
        parts = prepared(trained, graphs)
        held = sum(bytes_of(part) for part in parts)
        _, together = best(lambda parts=parts: Batch.from_data_list(parts))
        found[name] = {
            "view_ms_per_sample": round(1e3 * processor / len(graphs), 2),
            "collate_ms_per_sample": round(1e3 * together / len(graphs), 2),
            "held_bytes_per_particle": round(held / sum(map(particles, graphs.values()))),
        }
    return found


def prepared(trained: Any, graphs: dict[str, tp.Graph]) -> list[Any]:
    from tripoint.learn.data import GraphDataset

    dataset = GraphDataset(graphs, tuple(graphs), trained.view, trained.names, trained.scalings)
    return [dataset[number] for number in range(len(dataset))]


def bytes_of(part: Any) -> int:
    stores = part.stores
    return sum(
        value.nbytes for store in stores for value in store.values() if isinstance(value, torch.Tensor)
    )


def training(graphs: dict[str, tp.Graph]) -> dict[str, Any]:
    """Train: particles per second of one thread, the loader's share, memory; trees are fitted beside it."""
    count = sum(map(particles, graphs.values()))
    found: dict[str, Any] = {"batch_size": BATCH}
    table = seconds(lambda: begun("gradient_boosting", graphs), 1)
    found["gradient_boosting"] = {"fit": table, "particles": count}
    for name in NETWORKS:
        trained = begun(name, graphs)
        parts = prepared(trained, graphs)
        network = trained.network.train()
        optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
        learner = ActivityModule(network)
        learner.log = lambda *_, **__: None  # there is no trainer
        loader = DataLoader(parts, BATCH, shuffle=True)
        spent = np.zeros(2)

        def epoch(learner=learner, optimizer=optimizer, loader=loader, spent=spent) -> None:
            batches = iter(loader)
            for _ in range(len(loader)):
                begin = time.process_time()
                batch = next(batches)
                middle = time.process_time()
                loss = learner.training_step(batch, 0)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                spent += middle - begin, time.process_time() - middle

        epoch()
        spent[:] = 0
        clock, processor = best(epoch, 5)
        largest = Batch.from_data_list(parts[:BATCH])
        held = sum(particles(graph) for graph in islice(graphs.values(), BATCH))
        kept = saved_bytes(lambda learner=learner, batch=largest: learner.training_step(batch, 0))
        found[name] = {
            "particles_per_second": round(count / clock),
            "particles_per_cpu_second": round(count / processor),
            "loader_share": round(float(spent[0] / spent.sum()), 4),
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "kept_for_gradients_bytes_per_particle": round(kept / held),
        }
    return found


def saved_bytes(step: Callable[[], Any]) -> int:
    """Return the bytes of all that a step keeps for its gradients, each piece of memory once."""
    pieces: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        pieces[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        kept = step()  # holds them, so that none is given away meanwhile
    del kept
    return sum(pieces.values())


def inference(graphs: dict[str, tp.Graph]) -> dict[str, Any]:
    """Predict 100,000 particles: the network alone, and from tables of graphs to tables of predictions."""
    count = sum(map(particles, graphs.values()))
    times = -(-PARTICLES // count)
    cores = len(os.sched_getaffinity(0))
    found: dict[str, Any] = {"particles": times * count, "samples": times * len(graphs), "processes": cores}
    for name in MODELS:
        fitted = begun(name, graphs)
        every = [graph for _ in range(times) for graph in graphs.values()]
        fitted.predict(every[0])
        entry: dict[str, Any] = {}
        if name != "gradient_boosting":
            parts = prepared(fitted, graphs)
            with torch.no_grad():
                one = seconds(lambda parts=parts, fitted=fitted: [fitted.network(part) for part in parts], 3)
            entry["network_alone"] = {key: round(value * times, 2) for key, value in one.items()}
        one = seconds(lambda fitted=fitted: [fitted.predict(graph) for graph in graphs.values()], 3)
        entry["from_tables"] = {key: round(value * times, 2) for key, value in one.items()}
        _shared.update(fitted=fitted, graphs=every)
        with multiprocessing.get_context("fork").Pool(
            cores, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            pool.map(predicted, range(4 * cores), chunksize=1)  # every process has begun
            begin = time.perf_counter()
            pool.map(predicted, range(len(every)), chunksize=8)
            entry["from_tables_all_cores"] = {"seconds": round(time.perf_counter() - begin, 2)}
        found[name] = entry
        print(name, entry, flush=True)
    return found


def predicted(number: int) -> int:
    return len(_shared["fitted"].predict(_shared["graphs"][number]))


def circuits(graphs: dict[str, tp.Graph]) -> dict[str, Any]:
    return circuit_speed([reaction_circuit(graph) for graph in graphs.values()])


def circuit_speed(circuits: list[ReactionCircuit], repeats: int = 5) -> dict[str, Any]:
    """Solve with the constants of the simulation: by elimination, by SuperLU, by conjugate gradients."""
    orders = [elimination_order(c.source, c.target, c.free) for c in circuits]
    systems = [system(c) for c in circuits]
    tensors = [
        tuple(map(torch.from_numpy, (c.known, np.stack([c.source, c.target]), c.fixed_potential, c.free)))
        for c in circuits
    ]
    conductances = [c.known[c.known > 0] for c in circuits]

    def eliminate() -> list[CircuitSolution]:
        return [
            CircuitSolution.of(c.known, c.source, c.target, c.fixed_potential, c.free, order=order)
            for c, order in zip(circuits, orders, strict=True)
        ]

    options = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
    solved = eliminate()
    wanted = np.random.default_rng(0).normal(size=max(c.count for c in circuits))
    iterated = [IteratedSolution.of(*given) for given in tensors]
    steps = [one._iterated(torch.from_numpy(wanted[: len(one.nodes)])) for one in iterated]
    pairs = list(zip(solved, iterated, strict=True))
    apart = max(np.abs(one.potential - two.potential.numpy()).max() for one, two in pairs)
    spans = [np.log10(values.max() / values.min()) for values in conductances]
    return {
        "circuits": len(circuits),
        "nodes": round(np.mean([c.free.sum() for c in circuits])),
        "links": round(np.mean([len(c.source) for c in circuits])),
        "contrast_log10": round(max(spans), 1),
        "order_once": seconds(
            lambda: [elimination_order(c.source, c.target, c.free) for c in circuits], repeats
        ),
        "elimination": seconds(eliminate, repeats),
        "adjoint": seconds(lambda: [one.adjoint(wanted[: len(one.potential)]) for one in solved], repeats),
        "superlu_factors_alone": seconds(lambda: [splu(matrix, **options) for matrix in systems], repeats),
        "iteration_in_torch": seconds(lambda: [IteratedSolution.of(*given) for given in tensors], repeats),
        "iterations": [int(one[1]) for one in steps],
        "worst_residual": float(f"{max(one[2] for one in steps):.1e}"),
        "largest_difference_of_potentials": float(f"{apart:.1e}"),
    }


def system(circuit: ReactionCircuit) -> Any:
    """Return the matrix of the free nodes, with ones on its diagonal."""
    number, count = np.cumsum(circuit.free) - 1, int(circuit.free.sum())
    diagonal = sum(
        np.bincount(end, circuit.known, circuit.count) for end in (circuit.source, circuit.target)
    )[circuit.free]
    inner = circuit.free[circuit.source] & circuit.free[circuit.target]
    ends = number[circuit.source[inner]], number[circuit.target[inner]]
    links = -circuit.known[inner] / np.sqrt(diagonal[ends[0]] * diagonal[ends[1]])
    matrix = coo_matrix((links, ends), shape=(count, count)).tocsr()
    return (matrix + matrix.T + coo_matrix((np.ones(count), (np.arange(count),) * 2))).tocsc()


def one_large(graphs: dict[str, tp.Graph], graph: tp.Graph) -> dict[str, Any]:
    """Predict the particles of one large graph, each model hardly trained on small ones or on itself."""
    graphs = graphs or {"itself": replace(graph)}
    found: dict[str, Any] = {**sizes([graph]), "models": {}}
    for name in MODELS:
        if "itself" in graphs and name == "hetero":
            continue  # a step of training on the whole of it
        fitted = begun(name, graphs)
        fitted.predict(graph)
        found["models"][name] = seconds(lambda fitted=fitted: fitted.predict(graph), 2)
        print(name, found["models"][name], flush=True)
    circuit = reaction_circuit(graph)
    if not np.isnan(circuit.known).any():
        found["circuit"] = circuit_speed([circuit], 2)
    return found


if __name__ == "__main__":
    main()
