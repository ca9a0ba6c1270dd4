"""The network that solves Kirchhoff's equations: its gradient, its conservation, what it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from learning import graph_of, graphs, mirrored, turned
from tripoint.errors import ConvergenceError, InputError
from tripoint.learn import kirchhoff, multigrid
from tripoint.learn.circuit import REACTION, reaction_circuit
from tripoint.learn.data import GraphDataModule
from tripoint.learn.features import log_activity
from tripoint.learn.kirchhoff import CircuitView, EliminatedSolution, Kirchhoff, KnownCircuit, Potentials
from tripoint.learn.multigrid import IteratedSolution
from tripoint.learn.readout import relative_activity
from tripoint.learn.splitting import Split


def module(count=4, **settings):
    known = graphs(count)
    names = tuple(known)
    return GraphDataModule(known, CircuitView(), Split(names[:-1], (), names[-1:]), batch_size=2, **settings)


def test_gradient_is_that_of_finite_differences():
    random = np.random.default_rng(0)
    chain = np.arange(9)
    source = np.append(chain, random.integers(0, 10, 14))
    target = np.append(chain + 1, random.integers(0, 10, 14))
    ends = torch.from_numpy(np.stack([source, target])[:, source != target])
    conductance = torch.from_numpy(10 ** random.uniform(-1, 1, ends.shape[1])).requires_grad_()
    fixed = torch.zeros(10, dtype=torch.float64)
    fixed[0] = 1
    free = torch.ones(10, dtype=torch.bool)
    free[[0, 9]] = False
    assert torch.autograd.gradcheck(lambda g: Potentials.apply(g, ends, fixed, free), (conductance,))


def test_gradient_by_iteration_is_that_of_finite_differences(monkeypatch):
    """As on a GPU, here on tensors of the host."""
    monkeypatch.setattr(kirchhoff, "EliminatedSolution", IteratedSolution)
    monkeypatch.setattr(multigrid, "COARSEST", 3)
    test_gradient_is_that_of_finite_differences()


def test_gradient_through_a_sample_is_that_of_finite_differences():
    data, _ = CircuitView("size").build(graph_of())
    labelled = data.labelled
    start = data.log_known.clone()

    def loss(values):
        current = kirchhoff.reaction_currents(values, data)
        sample = torch.zeros(len(current), dtype=torch.int64)
        return relative_activity(current, data.volume, sample)[labelled].square().mean()

    values = start.clone().requires_grad_()
    loss(values).backward()
    for link in torch.argsort(values.grad.abs(), descending=True)[:3].tolist():
        step = torch.zeros_like(start)
        step[link] = 1e-4
        difference = (loss(start + step) - loss(start - step)).item() / 2e-4
        assert values.grad[link].item() == pytest.approx(difference, rel=1e-4)


def test_known_circuit_is_that_without_torch():
    parts = [CircuitView("size").build(graph_of(seed))[0] for seed in (0, 1)]
    found = KnownCircuit()(Batch.from_data_list(parts)).numpy()
    expected = np.concatenate([reaction_circuit(graph_of(seed)).known_activity() for seed in (0, 1)])
    np.testing.assert_allclose(found, log_activity(expected), atol=1e-6)


def test_currents_are_conserved_whatever_the_conductances():
    data, _ = CircuitView("size").build(graph_of())
    random = torch.Generator().manual_seed(0)
    values = data.log_geometric + torch.randn(len(data.kind), generator=random, dtype=torch.float64)
    current = kirchhoff.reaction_currents(values, data)
    potential = Potentials.apply(values.exp(), data.link_index, data.fixed, data.free)
    source, target = data.link_index
    flow = values.exp() * (potential[target] - potential[source])
    entering = flow[target == data.num_nodes - 2].sum()
    leaving = -flow[target == data.num_nodes - 1].sum()
    assert entering.item() == pytest.approx(leaving.item(), rel=1e-9)
    assert entering.item() == pytest.approx(current.sum().item(), rel=1e-9)
    # and neither potential leaves the terminals'
    assert 0 <= potential.min() <= potential.max() <= 1


def test_network_begins_at_unit_conductivities_and_is_small():
    data = module()
    batch = next(iter(data.train_dataloader()))
    network = Kirchhoff.for_names(data.names)
    assert sum(parameter.numel() for parameter in network.parameters()) < 10_000
    torch.testing.assert_close(network.log_conductance(batch), batch.log_geometric)
    predicted = 10 ** network(batch).detach() - 0.03
    assert predicted.dtype == torch.float64
    sample = batch.batch[batch.particle_index]
    for number in range(batch.num_graphs):
        mine = sample == number
        whole = (predicted * batch.volume)[mine].sum() / batch.volume[mine].sum()
        assert whole.item() >= 1 - 1e-6  # negative ones are shown as 0


def test_particles_without_a_circuit_are_predicted_inactive():
    data = module()
    torch.manual_seed(0)
    network = Kirchhoff.for_names(data.names)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    batch = next(iter(data.train_dataloader()))
    predicted = network(batch)
    apart = ~batch.free[batch.particle_index]
    assert apart.any()
    np.testing.assert_allclose(predicted[apart].detach(), np.log10(0.03))


def trained(data, steps=30):
    torch.manual_seed(0)
    network = Kirchhoff.for_names(data.names, hidden=16)
    rates = [{"params": [network.constants], "lr": 0.2}, {"params": network.conductance.parameters()}]
    optimizer = torch.optim.Adam([*rates, {"params": network.head.parameters()}], lr=4e-3)
    losses = []
    while len(losses) < steps:
        for batch in data.train_dataloader():
            loss = (network(batch) - batch.y)[batch.labelled].abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return network.eval(), losses


@pytest.fixture(scope="module")
def learned():
    """Return a network that was trained on three small samples, and its data."""
    data = module()
    network, losses = trained(data)
    return network, data, losses


def held_out_error(network, data):
    batch = next(iter(data.test_dataloader()))
    return (network(batch) - batch.y)[batch.labelled].abs().mean().item()


def test_it_learns_conductivities_from_wrong_ones(learned):
    network, data, losses = learned
    assert np.mean(losses[-4:]) < 0.4 * losses[0]
    assert held_out_error(network, data) < 0.5 * held_out_error(Kirchhoff.for_names(data.names), data)
    # carbon is the better conductor of electrons by far
    constants = network.constants.detach().numpy()
    assert constants[3] > constants[1] + 1


def test_training_is_the_same_for_a_seed():
    one, two = (trained(module(), steps=4)[1] for _ in range(2))
    assert one == two


@pytest.mark.parametrize("change", [lambda g: mirrored(g, "y"), turned])
def test_predictions_do_not_change_when_the_volume_is_mirrored_or_turned(learned, change):
    network, data, _ = learned
    graph = graph_of()
    found = []
    for sample in (graph, change(graph)):
        other = GraphDataModule({"a": sample}, CircuitView(), Split((), (), ("a",)))
        other._datasets = {
            "test": data["test"].__class__({"a": sample}, ("a",), CircuitView(), None, data.scalings)
        }
        found.append(network(next(iter(other.test_dataloader()))).detach().numpy())
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)


def test_cutting_the_only_electron_path_lowers_the_prediction(learned):
    """Of every particle that has one electron contact alone, and reacts."""
    network, data, _ = learned
    graph = graph_of()
    dataset = data["train"]
    batch = dataset[list(dataset.samples).index("made_0")]
    before = network(batch).detach()
    electron = (batch.kind >= 1) & (batch.kind <= 3) | (batch.kind >= 6)
    touching = torch.zeros(batch.num_nodes, dtype=torch.int64)
    for end in batch.link_index:
        touching.index_add_(0, end, electron.long())
    reacting = batch.activity > 0.3
    single = torch.nonzero((touching[batch.particle_index] == 1) & batch.labelled & reacting).flatten()
    assert len(single)
    for particle in single.tolist():
        node = batch.particle_index[particle]
        cut = electron & (batch.link_index == node).any(dim=0)
        changed = batch.clone()
        changed.log_geometric = torch.where(cut, batch.log_geometric - 30, batch.log_geometric)
        after = network(changed).detach()
        assert after[particle] < before[particle] - 0.3
    assert len(graph.nodes) + 2 == batch.num_nodes


def test_a_corrected_circuit_starts_at_the_known_one():
    data = module(3)
    network = Kirchhoff.for_names(data.names, start="known")
    batch = Batch.from_data_list([data["train"][0], data["train"][1]])
    torch.testing.assert_close(network(batch), KnownCircuit()(batch))
    batch.log_known[torch.nonzero(batch.kind == REACTION)[::2]] = -torch.inf
    wanted, labelled = network.readout.truth(batch)
    (network(batch) - wanted)[labelled].abs().mean().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)
    batch.log_known[0] = torch.nan
    with pytest.raises(InputError, match="no conductivities or no kinetics"):
        network(batch)
    with pytest.raises(InputError, match="cannot start from 'best'"):
        Kirchhoff.for_names(data.names, start="best")


def test_conductances_that_are_not_known_are_no_hindrance():
    graph = graph_of()
    materials = {**graph.metadata["materials"], "kinetics": None}
    data, _ = CircuitView().build(replace(graph, metadata={**graph.metadata, "materials": materials}))
    assert data.log_known.isnan().all()
    assert data.log_geometric.isfinite().all()


def circuit_of(data, log_conductance):
    return log_conductance.exp(), data.link_index, data.fixed, data.free


def test_a_batch_solved_by_iteration_has_the_potentials_of_elimination(monkeypatch):
    monkeypatch.setattr(multigrid, "COARSEST", 50)
    parts = [CircuitView("size").build(graph_of(seed))[0] for seed in range(3)]
    batch = Batch.from_data_list(parts)
    wanted = torch.randn(batch.num_nodes, dtype=torch.float64)
    for values in (batch.log_geometric, batch.log_known):
        given = circuit_of(batch, values)
        one, two = EliminatedSolution.of(*given, batch.elimination_index), IteratedSolution.of(*given)
        torch.testing.assert_close(two.potential, one.potential, rtol=0, atol=1e-9)
        expected = one.adjoint(wanted)
        torch.testing.assert_close(
            two.adjoint(wanted) / expected.abs().max(), expected / expected.abs().max()
        )
        assert len(two.levels) > 1
        _, iterations, residual = two._iterated(wanted[two.nodes])
        assert iterations < 60
        assert residual < 1e-11
        assert torch.equal(two.potential, IteratedSolution.of(*given).potential)
    alone = IteratedSolution.of(*circuit_of(parts[0], parts[0].log_known)).potential
    torch.testing.assert_close(two.potential[: len(alone)], alone, rtol=0, atol=1e-9)


def test_iteration_stands_contrasts_of_conductances():
    """A network of 4000 nodes with clusters that conduct a million times better than the rest."""
    random = np.random.default_rng(0)
    ends = random.integers(0, 4000, (2, 14000))
    ends = np.concatenate([np.stack([np.arange(3999), np.arange(1, 4000)]), ends], axis=1)
    good = (random.random(4000) < 0.3)[ends].all(axis=0)
    conductance = torch.from_numpy(np.where(good, 1e6, 1.0) * 10 ** random.uniform(-1, 1, ends.shape[1]))
    fixed = torch.zeros(4000, dtype=torch.float64)
    fixed[0] = 1
    free = torch.ones(4000, dtype=torch.bool)
    free[[0, -1]] = False
    given = conductance, torch.from_numpy(ends), fixed, free
    one, two = EliminatedSolution.of(*given), IteratedSolution.of(*given)
    torch.testing.assert_close(two.potential, one.potential, rtol=0, atol=1e-6)
    _, iterations, residual = two._iterated(torch.randn(len(two.nodes), dtype=torch.float64))
    assert iterations < 100
    assert residual < 1e-10


def test_what_iteration_cannot_solve_is_said(monkeypatch):
    data, _ = CircuitView("size").build(graph_of())
    given = circuit_of(data, data.log_known)
    with pytest.raises(ConvergenceError, match="not finite"):
        IteratedSolution.of(given[0] * torch.nan, *given[1:])
    monkeypatch.setattr(multigrid, "LIMIT", 1)
    monkeypatch.setattr(multigrid, "COARSEST", 10)
    with pytest.raises(ConvergenceError, match="did not converge in 1 iterations"):
        IteratedSolution.of(*given)
    nothing = torch.zeros_like(data.free)
    assert torch.equal(IteratedSolution.of(*given[:3], nothing).potential, data.fixed)


def test_links_that_conduct_nothing_and_loops_are_no_links():
    ends = torch.tensor([[0, 1, 1, 2], [1, 2, 1, 0]])
    conductance = torch.tensor([1.0, 2, 5, 0], dtype=torch.float64)
    fixed = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    free = torch.tensor([False, True, False])
    for side in (EliminatedSolution, IteratedSolution):
        found = side.of(conductance, ends, fixed, free).potential
        torch.testing.assert_close(found, torch.tensor([1, 1 / 3, 0], dtype=torch.float64))


def test_the_circuit_keeps_its_precision_in_mixed_precision():
    data = module()
    batch = next(iter(data.train_dataloader()))
    torch.manual_seed(0)
    network = Kirchhoff.for_names(data.names)
    expected = network(batch)
    known = KnownCircuit()(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(batch)
        found[batch.labelled].mean().backward()
        assert torch.equal(KnownCircuit()(batch), known)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05)
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    # at the beginning the perceptrons give 0, so that the circuit is the same to the last bit
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU for torch")
def test_it_is_the_same_on_cuda():
    data = module()
    batch = next(iter(data.train_dataloader()))
    network = Kirchhoff.for_names(data.names)
    results = []
    for device in ("cpu", "cuda"):
        moved, there = network.to(device), batch.clone().to(device)
        moved.zero_grad()
        predicted = moved(there)
        assert predicted.device.type == device
        (predicted - there.y)[there.labelled].abs().mean().backward()
        results.append([predicted.detach().cpu(), *(p.grad.detach().cpu() for p in moved.parameters())])
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
