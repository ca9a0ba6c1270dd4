"""What the neighbours of every node say to it: the step that message passing spends its time in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from tripoint import _cpu
from tripoint.errors import InputError


@dataclass(frozen=True)
class Neighbours:
    """The edges of a graph, along which its nodes are told something many times.

    Parameters
    ----------
    source, target : (edges,) int64
    share : (nodes,)
        One by the number of edges that end at a node.
    """

    source: torch.Tensor
    target: torch.Tensor
    share: torch.Tensor

    @classmethod
    def of(cls, source: torch.Tensor, target: torch.Tensor, nodes: int) -> Neighbours:
        """Take the edges of a graph of so many nodes.

        Raises
        ------
        InputError
            An edge that begins or ends nowhere.
        """
        ends = torch.stack([source, target])
        if ends.numel() and not 0 <= int(ends.min()) <= int(ends.max()) < nodes:
            message = (
                f"edges join nodes {int(ends.min())} to {int(ends.max())} of a graph that has {nodes}; give "
                "nodes and edges of the same sample"
            )
            raise InputError(message)
        return cls(source, target, torch.bincount(target, minlength=nodes).clamp(min=1).reciprocal())

    def mean_messages(self, hidden: torch.Tensor, edge: torch.Tensor) -> torch.Tensor:
        r"""Return the mean of the messages that come to every node.

        .. math:: m_i = \frac{1}{|N_i|} \sum_{j \in N_i} \mathrm{ReLU}(h_j + e_{ij})

        Parameters
        ----------
        hidden : (nodes, width)
        edge : (edges, width)

        Returns
        -------
        (nodes, width)
            0 where no edge ends.

        Notes
        -----
        On the host no message is kept, and sums are taken in the order of the edges: two runs give the same
        bits.
        """
        if hidden.is_cuda:
            messages = torch.relu(hidden.index_select(0, self.source) + edge)
            received = torch.zeros_like(hidden).index_add(0, self.target, messages.to(hidden))
            return received * self.share.to(received)[:, None]
        found: torch.Tensor = _OnHost.apply(hidden, edge, self.source, self.target, self.share)
        return found

    def diffused(
        self, start: torch.Tensor, keep: torch.Tensor, weight: torch.Tensor, steps: int
    ) -> torch.Tensor:
        r"""Let what the nodes start with travel along the edges, so many steps far.

        .. math:: u^0 = z, \qquad u_i^{k+1} = s_i\, z_i + \sum_{j \in N_i} w_{ij}\, u_j^k

        Parameters
        ----------
        start : (nodes, width)
            z.
        keep : (nodes, width)
            s; with the weights of all edges that end at a node it should add up to 1.
        weight : (edges, width)
            w, of each channel its own.
        steps : int

        Returns
        -------
        (nodes, width)
            u after the last step.

        Notes
        -----
        Where s and w add up to 1, and w_ij is a conductance over the sum of all at node i, these are steps of
        Jacobi's iteration for the potentials of a circuit whose node i is grounded at z_i through s_i. Kept
        for gradients are the states after each step, and no messages.
        """
        found: torch.Tensor = _Diffused.apply(start.to(keep), keep, weight, self.source, self.target, steps)
        return found


class _OnHost(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        edge: torch.Tensor,
        source: torch.Tensor,
        target: torch.Tensor,
        share: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(hidden.contiguous(), edge.contiguous(), source, target, share.to(hidden))
        return torch.from_numpy(_cpu.messages.mean_messages(*map(_array, ctx.to_save)))

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        given = map(_array, (gradients[0].contiguous(), *ctx.saved_tensors))
        of_hidden, of_edge = _cpu.messages.mean_messages_gradient(*given)
        return torch.from_numpy(of_hidden), torch.from_numpy(of_edge), None, None, None


class _Diffused(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(
        ctx: Any,
        start: torch.Tensor,
        keep: torch.Tensor,
        weight: torch.Tensor,
        source: torch.Tensor,
        target: torch.Tensor,
        steps: int,
    ) -> torch.Tensor:
        given = (start.contiguous(), keep.contiguous(), weight.contiguous(), source, target)
        if start.is_cuda:
            states = _diffused(*given, steps)
        else:
            every = any(ctx.needs_input_grad)
            states = torch.from_numpy(_cpu.messages.diffused(*map(_array, given), steps, every))
        ctx.save_for_backward(states, *given[1:])
        return states[steps % len(states)].clone()

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        given = (gradients[0].contiguous(), *ctx.saved_tensors)
        if given[0].is_cuda:
            found = _diffused_gradient(*given)
        else:
            found = tuple(map(torch.from_numpy, _cpu.messages.diffused_gradient(*map(_array, given))))
        return *found, None, None, None


def _diffused(
    start: torch.Tensor,
    keep: torch.Tensor,
    weight: torch.Tensor,
    source: torch.Tensor,
    target: torch.Tensor,
    steps: int,
) -> torch.Tensor:
    """As ``_cpu.messages.diffused``, on any device."""
    states = [start]
    for _ in range(steps):
        arriving = weight * states[-1].index_select(0, source)
        states.append((keep * start).index_add_(0, target, arriving))
    return torch.stack(states)


def _diffused_gradient(
    gradient: torch.Tensor,
    states: torch.Tensor,
    keep: torch.Tensor,
    weight: torch.Tensor,
    source: torch.Tensor,
    target: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As ``_cpu.messages.diffused_gradient``, on any device."""
    after, of_weight = gradient, torch.zeros_like(weight)
    total = torch.zeros_like(gradient)
    for step in range(len(states) - 2, -1, -1):
        total = total + after
        arrived = after.index_select(0, target)
        of_weight += states[step].index_select(0, source) * arrived
        after = torch.zeros_like(gradient).index_add_(0, source, weight * arrived)
    return keep * total + after, states[0] * total, of_weight


def _array(values: torch.Tensor) -> Any:
    return values.detach().numpy()
