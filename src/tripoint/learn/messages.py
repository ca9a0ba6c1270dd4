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


def _array(values: torch.Tensor) -> Any:
    return values.detach().numpy()
