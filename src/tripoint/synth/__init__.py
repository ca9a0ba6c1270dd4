"""Composites with known ground truth, from a seed.

Particles of lognormal size are packed and given out to voxels; what is left between them is shared among
the other phases by correlated random fields, every volume fraction exact to the voxel.  A
:class:`Composite` says what to make, :func:`make` makes it, and the presets of ``conf/synth`` have a
function each.
"""

from tripoint.synth.composite import Channel, Composite, Cracks, Fill, Imaging, Particles, shipped
from tripoint.synth.making import lithium_ion_cathode, make, solid_oxide_electrode, solid_state_cathode
from tripoint.synth.variation import draw, vary
from tripoint.synth.views import View, views

__all__ = [
    "Channel",
    "Composite",
    "Cracks",
    "Fill",
    "Imaging",
    "Particles",
    "View",
    "draw",
    "lithium_ion_cathode",
    "make",
    "shipped",
    "solid_oxide_electrode",
    "solid_state_cathode",
    "vary",
    "views",
]
