"""Distances become particles: region labels, and what each region is like.

``separate`` makes regions, ``describe`` measures them; ``measure`` gives the sums of a block of a volume,
which add up to the table that ``describe`` returns; ``aggregate`` says what a map holds in each region.
"""

from tripoint.particles.aggregation import aggregate
from tripoint.particles.descriptors import RegionSums, describe, measure, sphericity
from tripoint.particles.separation import separate

__all__ = ["RegionSums", "aggregate", "describe", "measure", "separate", "sphericity"]
