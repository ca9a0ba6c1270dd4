"""Networks that tell the phase of every pixel of a slice from the slice and its neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def unet(
    channels: int,
    phases: int,
    *,
    features: Sequence[int] = (16, 16, 32, 32, 64, 16),
    dropout: float = 0.0,
) -> nn.Module:
    """Return MONAI's U-Net of five levels, small enough for two cores.

    Parameters
    ----------
    channels : int
        Grey values that it gets of each pixel: channels of the volume times neighbouring slices.
    phases : int
    features : sequence of six int
        Feature maps of the five levels, and of the last layer.
    dropout : float

    Returns
    -------
    Module
        (batch, channels, y, x) → (batch, phases, y, x), whose softmax are the probabilities; y and x
        are multiples of `MULTIPLE`.

    Notes
    -----
    Normalises over the batch, not over each image: a tile then gives the same wherever it is cut, and when
    the network is applied the normalisation costs nothing. About 175,000 parameters with the default
    features; it sees about 90 pixels around each.
    """
    from monai.networks.nets import BasicUNet

    return BasicUNet(
        spatial_dims=2,
        in_channels=channels,
        out_channels=phases,
        features=tuple(features),
        norm="batch",
        act=("leakyrelu", {"inplace": True, "negative_slope": 0.1}),
        dropout=dropout,
    )


MULTIPLE = 16
"""Pixels of which the sides of what a network gets are multiples: four times it halves them."""
