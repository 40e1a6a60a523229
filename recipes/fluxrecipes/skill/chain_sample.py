"""Points at which the record's chains are scored, with what each of them gives there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fluxrecipes import constellation
from fluxrecipes.skill.chain import BULK, ERRORS, SCORED, Maps
from fluxrecipes.skill.closing import bands, thirds
from fluxrecipes.skill.fields import CAUSES
from fluxrecipes.skill.truth import FLUXES
from fluxrecipes.training.archive import Days

Floats = npt.NDArray[np.floating[Any]]
Codes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

ALL, OBSERVED, FILLED = "all", "observed", "filled"
KINDS = (OBSERVED, *CAUSES)  # of cells, by what the satellite saw of wind and vapour
IDEAL = {flux: f"{flux}_ideal" for flux in FLUXES}
COLUMNS = (*SCORED, *ERRORS.values(), *BULK.values(), *IDEAL.values())


@dataclass(frozen=True, eq=False)
class Sample:
    """Points with what each chain gives there; arrays of one length.

    Parameters
    ----------
    day : datetime64[D] array
    latitude : float array
        Degrees north.
    wind : float array
        As the first chain has it, m s-1.
    satellite : uint8 array
        Code of the one that saw the cell, or most of the pass.
    kind : int array
        Which of `KINDS`; -1 what is filled for another reason.
    place : int array
        Which of `PLACES`.
    truth, reference : dict of str to float array
        `SCORED` of the cell in the simulated world; and what estimates are scored against: the
        same, or a report.
    chains : dict of str to dict of str to float array
        `COLUMNS` by chain, NaN where it gives none.
    """

    day: Days
    latitude: Floats
    wind: Floats
    satellite: Codes
    kind: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    truth: Maps
    reference: Maps
    chains: dict[str, Maps]

    def __len__(self) -> int:
        return len(self.day)

    def at(self, which: Mask) -> Self:
        """Those with a mark."""
        return type(self)(**{f.name: _each(getattr(self, f.name), which) for f in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several together."""
        return cls(**{f.name: _joined([getattr(p, f.name) for p in parts]) for f in fields(cls)})

    @property
    def fills(self) -> dict[str, Mask]:
        """Points by whether the satellite saw them."""
        return {OBSERVED: self.kind == 0, FILLED: self.kind != 0}

    @property
    def kinds(self) -> dict[str, Mask]:
        """Points by what was filled, latitude, wind and satellite."""
        names = constellation.CODES.items()
        seen_by = {name: self.satellite == code for name, code in names}
        return {
            **self.fills,
            **bands(self.latitude),
            **thirds(self.wind, "wind"),
            **{name: mask for name, mask in seen_by.items() if mask.any()},
        }


def _each(value: Any, which: Mask) -> Any:
    if isinstance(value, dict):
        return {name: _each(one, which) for name, one in value.items()}
    return value[which]


def _joined(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], dict):
        return {name: _joined([one[name] for one in parts]) for name in parts[0]}
    return np.concatenate(parts)
