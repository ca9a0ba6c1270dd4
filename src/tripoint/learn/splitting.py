"""Which samples are learnt from and which are held out: by whole samples, never by particles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tripoint.errors import InputError


@dataclass(frozen=True)
class Split:
    """Names of the samples that a model is trained on, chosen by and tested on, and its intervals rest on."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    calibration: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a sample that stands on two sides."""
        everything = [*self.train, *self.validation, *self.test, *self.calibration]
        if len(set(everything)) < len(everything):
            twice = next(name for name in everything if everything.count(name) > 1)
            message = f"sample '{twice}' is in more than one split; particles of one sample know each other"
            raise InputError(message)

    @classmethod
    def of(
        cls,
        samples: Iterable[str],
        *,
        validation: float = 0.1,
        test: float = 0.2,
        calibration: float = 0.1,
        seed: int = 0,
    ) -> Split:
        """Draw a split: the same names and seed give the same one, in whatever order the names come.

        Parameters
        ----------
        samples : iterable of str
        validation, test, calibration : float
            Shares of the samples, at least one sample each where the share is not 0. Test and validation are
            the same whether some are set aside for calibration or not.
        seed : int

        Raises
        ------
        InputError
            Fewer samples than splits, or shares that leave nothing to learn from.
        """
        names = sorted(set(samples))
        shares = {"test": test, "validation": validation, "calibration": calibration}
        told = ", ".join(f"{side} {share}" for side, share in shares.items())
        if any(not 0 <= share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
            message = f"the shares are {told}; expected a sum below 1, and none below 0"
            raise InputError(message)
        sizes = {side: max(round(share * len(names)), 1) if share else 0 for side, share in shares.items()}
        if sum(sizes.values()) >= len(names):
            splits = 1 + sum(size > 0 for size in sizes.values())
            message = (
                f"there are {len(names)} samples for {splits} splits, with the shares {told}; add samples, "
                "or set a share to 0"
            )
            raise InputError(message)
        order = np.random.default_rng(seed).permutation(len(names))
        drawn = [names[at] for at in order]
        sides = {}
        for side, size in sizes.items():
            sides[side], drawn = tuple(sorted(drawn[:size])), drawn[size:]
        return cls(train=tuple(sorted(drawn)), **sides)

    def to_mapping(self) -> dict[str, list[str]]:
        """Return plain values, which are stored with a run."""
        return {side: list(names) for side, names in asdict(self).items()}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Split:
        """Return the split of `to_mapping`."""
        return cls(**{side: tuple(names) for side, names in mapping.items()})
