"""Colours of the report, told apart also by colour-blind readers.

Phases are pale so that what is drawn on them shows; the overlay takes three saturated colours of Okabe and
Ito (2008), an orange, a blue and black.
"""

from __future__ import annotations

import numpy as np

Colour = tuple[int, int, int]

_PHASES = ("#e9eef3", "#93aecb", "#e8c986", "#b5d1a6", "#c4a9cf", "#e3b2a0", "#9fcfcb", "#c9c3b4")

#: Colours of the voxels of the junction map; present: at a boundary, where no terminals are given.
JUNCTION = {"dead": "#000000", "unknown": "#0072b2", "active": "#d55e00", "present": "#d55e00"}

#: What is not reached, not known or not a number.
MISSING = "#c9ccd1"

# Hues for neighbouring particles; the order makes consecutive labels differ.
_PARTICLES = (
    "#4e79a7", "#f28e2b", "#76b7b2", "#e15759", "#59a14f", "#edc948",
    "#b07aa1", "#9c755f", "#86bcb6", "#ff9da7", "#8cd17d", "#d4a6c8",
)  # fmt: skip


def phase_colours(names: list[str]) -> dict[str, str]:
    """Return a colour for every phase, in their order; beyond eight they repeat a little darker."""
    colours = {}
    for position, name in enumerate(names):
        turn, place = divmod(position, len(_PHASES))
        colours[name] = _darker(_PHASES[place], 0.8**turn)
    return colours


def particle_colours(labels: np.ndarray, particulate: np.ndarray) -> np.ndarray:
    """Return uint8 RGB per region: hues for those of particulate phases, light greys for the others.

    Parameters
    ----------
    labels : (n,) int
        Region labels; a label keeps its colour from one slice to the next.
    particulate : (n,) bool
    """
    mixed = (labels.astype(np.uint64) * np.uint64(2654435761)) >> np.uint64(7)
    hues = np.array([rgb(colour) for colour in _PARTICLES], np.uint8)[(mixed % len(_PARTICLES)).astype(int)]
    greys = np.repeat((222 + mixed % 24).astype(np.uint8)[:, None], 3, axis=1)
    return np.where(particulate[:, None], hues, greys)


def rgb(colour: str) -> Colour:
    """Return the red, green and blue of ``#rrggbb``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _darker(colour: str, factor: float) -> str:
    return "#" + "".join(f"{int(channel * factor):02x}" for channel in rgb(colour))
