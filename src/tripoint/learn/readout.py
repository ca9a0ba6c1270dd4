"""From reaction currents to log-activity: what every network ends with."""

from __future__ import annotations

import torch

from tripoint.learn.features import FLOOR


def relative_activity(current: torch.Tensor, volume: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
    r"""Return the activity of particles: what reacts per volume, relative to all of their sample.

    .. math:: a_p = \frac{I_p / V_p}{\sum_q I_q / \sum_q V_q}

    Parameters
    ----------
    current, volume : (particles,)
    sample : (particles,) int64
        Which sample of a batch each particle is of.
    """
    count = int(sample.max()) + 1 if len(sample) else 0
    parts = torch.stack([current, volume.to(current)], dim=1)
    total = torch.zeros(count, 2, dtype=current.dtype, device=current.device).index_add(0, sample, parts)
    return current / volume / (total[:, 0] / total[:, 1])[sample]


def log_activity(activity: torch.Tensor) -> torch.Tensor:
    """Return log10(max(activity, 0) + floor), as `features.log_activity`."""
    return torch.log10(activity.clamp(min=0) + FLOOR)
