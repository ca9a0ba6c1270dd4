"""Messages between neighbours: the same as tensor by tensor, their gradients, their devices."""

import pytest
import torch
from torch_geometric.utils import scatter

from tripoint.errors import InputError
from tripoint.learn.messages import Neighbours


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
