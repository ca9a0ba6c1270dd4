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

#: Sequential scale of numbers: viridis, perceptually uniform.
RAMP = (
    "#440154",
    "#482878",
    "#3e4989",
    "#31688e",
    "#26828e",
    "#1f9e89",
    "#35b779",
    "#6ece58",
    "#b5de2b",
    "#fde725",
)

#: Diverging scale about a mean: pale at it, equally dark at equal distance on either side.
DIVERGING = ("#1f4e9e", "#5b8fc7", "#a9c8e2", "#f2efe9", "#f0b98a", "#d9793a", "#8f3a0c")

#: Particles that do not react, whatever the reason; not quite black, so that light falls on them.
DEAD = "#26282e"

#: Terminals and critical contacts of each carrier; none of them occurs in the scales.
CARRIER = {"ion": "#b5179e", "electron": "#1c2330", "gas": "#0b7a4b"}

#: Why a particle does not react, beside a histogram and in its table: Okabe and Ito's colours. On a scale of
#: activity they would read as values: there all that are dead have one colour.
REASONS = {
    "no ion path": "#0072b2",
    "no electron path": "#d55e00",
    "no gas path": "#cc79a7",
    "no interface": "#009e73",
    "no triple-phase boundary": "#e69f00",
}

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


def colour_table(stops: tuple[str, ...], length: int) -> np.ndarray:
    """Return a scale as uint8 RGB, (length, 3), linear between its stops."""
    places = np.linspace(0, 1, len(stops))
    wanted = np.linspace(0, 1, length)
    channels = np.array([rgb(stop) for stop in stops], np.float64).T
    return np.stack([np.interp(wanted, places, channel) for channel in channels], 1).round().astype(np.uint8)


def rgb(colour: str) -> Colour:
    """Return the red, green and blue of ``#rrggbb``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _darker(colour: str, factor: float) -> str:
    return "#" + "".join(f"{int(channel * factor):02x}" for channel in rgb(colour))
