"""Which samples are learnt from and which are held out: by whole samples, never by particles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tripoint.errors import InputError


@dataclass(frozen=True)
class Split:
    """Names of the samples that a model is trained on, chosen by, and tested on."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse a sample that stands on two sides."""
        everything = [*self.train, *self.validation, *self.test]
        if len(set(everything)) < len(everything):
            twice = next(name for name in everything if everything.count(name) > 1)
            message = f"sample '{twice}' is in more than one split; particles of one sample know each other"
            raise InputError(message)

    @classmethod
    def of(
        cls, samples: Iterable[str], *, validation: float = 0.1, test: float = 0.2, seed: int = 0
    ) -> Split:
        """Draw a split: the same names and seed give the same one, in whatever order the names come.

        Parameters
        ----------
        samples : iterable of str
        validation, test : float
            Shares of the samples, at least one sample each where the share is not 0.
        seed : int

        Raises
        ------
        InputError
            Fewer samples than splits, or shares that leave nothing to learn from.
        """
        names = sorted(set(samples))
        if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
            message = f"the shares are validation {validation} and test {test}; expected a sum below 1"
            raise InputError(message)
        held = [max(round(share * len(names)), 1) if share else 0 for share in (validation, test)]
        if sum(held) >= len(names):
            splits = 1 + sum(size > 0 for size in held)
            message = (
                f"there are {len(names)} samples for {splits} splits, with shares {validation} and {test} "
                "for validation and test; add samples, or set a share to 0"
            )
            raise InputError(message)
        order = np.random.default_rng(seed).permutation(len(names))
        drawn = [names[at] for at in order]
        first, second = held[1], held[1] + held[0]
        return cls(
            tuple(sorted(drawn[second:])), tuple(sorted(drawn[first:second])), tuple(sorted(drawn[:first]))
        )

    def to_mapping(self) -> dict[str, list[str]]:
        """Return plain values, which are stored with a run."""
        return {side: list(names) for side, names in asdict(self).items()}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Split:
        """Return the split of `to_mapping`."""
        return cls(*(tuple(mapping[side]) for side in ("train", "validation", "test")))
