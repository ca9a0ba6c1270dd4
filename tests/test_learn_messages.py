"""Messages between neighbours and from afar: the same as tensor by tensor, gradients, devices."""

import pytest
import torch
from torch_geometric.utils import scatter

from tripoint.errors import InputError
from tripoint.learn.messages import Neighbours, _diffused, _diffused_gradient


def made(nodes=30, edges=80, width=7, dtype=torch.float32):
    random = torch.Generator().manual_seed(0)
    ends = torch.randint(0, nodes - 3, (2, edges), generator=random)
    hidden = torch.randn(nodes, width, generator=random, dtype=dtype).requires_grad_()
    edge = torch.randn(edges, width, generator=random, dtype=dtype).requires_grad_()
    return ends, hidden, edge


def test_they_are_those_of_pytorch_geometric():
    (source, target), hidden, edge = made()
    found = Neighbours.of(source, target, len(hidden)).mean_messages(hidden, edge)
    messages = torch.relu(hidden[source] + edge)
    expected = scatter(messages, target, dim_size=len(hidden), reduce="mean")
    torch.testing.assert_close(found, expected)
    assert not found[-3:].any()  # where no edge ends
    weight = torch.randn(expected.shape)
    for one, two in zip(
        torch.autograd.grad((found * weight).sum(), (hidden, edge)),
        torch.autograd.grad((expected * weight).sum(), (hidden, edge)),
        strict=True,
    ):
        torch.testing.assert_close(one, two)


def test_gradient_is_that_of_finite_differences():
    (source, target), hidden, edge = made(8, 12, 3, torch.float64)
    neighbours = Neighbours.of(source, target, len(hidden))
    assert torch.autograd.gradcheck(neighbours.mean_messages, (hidden, edge))


def test_reduced_precision_is_that_of_the_layers_around_them():
    (source, target), hidden, edge = made()
    neighbours = Neighbours.of(source, target, len(hidden))
    expected = neighbours.mean_messages(hidden, edge)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = neighbours.mean_messages(hidden.bfloat16(), edge.bfloat16())
        found.sum().backward()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)
    assert hidden.grad.isfinite().all()


def shares(target, nodes, width, dtype=torch.float64):
    """Return what nodes hold and edges carry, which add up to 1 at every node."""
    random = torch.Generator().manual_seed(1)
    hold = torch.rand(nodes, width, generator=random, dtype=dtype) + 0.1
    conductance = torch.rand(len(target), width, generator=random, dtype=dtype)
    total = hold.index_add(0, target, conductance)
    return (hold / total).requires_grad_(), (conductance / total[target]).requires_grad_()


def test_diffusion_ends_at_the_potentials_of_a_circuit():
    (source, target), start, _ = made(dtype=torch.float64)
    keep, weight = shares(target, len(start), 7)
    neighbours = Neighbours.of(source, target, len(start))
    found = neighbours.diffused(start, keep, weight, 2000)
    for channel in range(7):
        matrix = torch.eye(len(start), dtype=torch.float64)
        matrix.index_put_((target, source), -weight[:, channel], accumulate=True)
        expected = torch.linalg.solve(matrix, keep[:, channel] * start[:, channel])
        torch.testing.assert_close(found[:, channel], expected)
    assert torch.equal(neighbours.diffused(start, keep, weight, 0), start)


def test_diffusion_keeps_what_is_even_and_exceeds_nothing():
    (source, target), start, _ = made(dtype=torch.float64)
    keep, weight = shares(target, len(start), 7)
    neighbours = Neighbours.of(source, target, len(start))
    torch.testing.assert_close(
        neighbours.diffused(torch.ones_like(start), keep, weight, 9), torch.ones_like(start)
    )
    found = neighbours.diffused(start, keep, weight, 9)
    assert (found <= start.max(dim=0).values + 1e-12).all()
    assert (found >= start.min(dim=0).values - 1e-12).all()


def test_gradient_of_diffusion_is_that_of_finite_differences():
    (source, target), start, _ = made(8, 12, 3, torch.float64)
    keep, weight = shares(target, len(start), 3)
    neighbours = Neighbours.of(source, target, len(start))
    assert torch.autograd.gradcheck(lambda *given: neighbours.diffused(*given, 4), (start, keep, weight))


def test_diffusion_is_the_same_in_pytorch_as_in_numba():
    (source, target), start, _ = made(dtype=torch.float64)
    keep, weight = shares(target, len(start), 7)
    found = Neighbours.of(source, target, len(start)).diffused(start, keep, weight, 6)
    states = _diffused(start, keep, weight, source, target, 6)
    torch.testing.assert_close(found, states[-1])
    random = torch.randn(found.shape, dtype=found.dtype)
    for one, two in zip(
        torch.autograd.grad((found * random).sum(), (start, keep, weight)),
        _diffused_gradient(random, states, keep, weight, source, target),
        strict=True,
    ):
        torch.testing.assert_close(one, two)


def test_edges_to_nowhere_are_refused():
    ends = torch.tensor([0, 1, 5])
    with pytest.raises(InputError, match="join nodes 0 to 5 of a graph that has 5"):
        Neighbours.of(ends, ends, 5)
    none = torch.zeros(0, dtype=torch.int64)
    hidden = torch.ones(2, 3)
    assert not Neighbours.of(none, none, 2).mean_messages(hidden, torch.zeros(0, 3)).any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU for torch")
def test_they_are_the_same_on_cuda():
    (source, target), hidden, edge = made()
    expected = Neighbours.of(source, target, len(hidden)).mean_messages(hidden, edge)
    moved = Neighbours.of(source.cuda(), target.cuda(), len(hidden))
    torch.testing.assert_close(moved.mean_messages(hidden.cuda(), edge.cuda()).cpu(), expected)
    keep, weight = (one.float() for one in shares(target, len(hidden), 7))
    expected = Neighbours.of(source, target, len(hidden)).diffused(hidden, keep, weight, 5)
    found = moved.diffused(hidden.cuda(), keep.cuda(), weight.cuda(), 5)
    torch.testing.assert_close(found.cpu(), expected)
