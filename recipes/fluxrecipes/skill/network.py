"""GDCM as a filler, by a file of weights; its window and its channels are its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.errors import ConfigError
from fluxkernels.errors import KernelError
from fluxrecipes import networks
from fluxrecipes import vocabulary as cf
from fluxrecipes.coast import continued
from fluxrecipes.other_pass import twelve_hours_before
from fluxrecipes.skill.fields import RAIN, Passes, occurrence
from fluxrecipes.skill.fillers import Estimate
from fluxrecipes.training.archive import Days, Part

if TYPE_CHECKING:
    from fluxkernels.nets.quantities import Quantity
    from fluxkernels.nets.weights import Loaded

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

OTHER = "other_pass_"
_RAINING_ABOVE = 0.0  # mm h-1: what the networks take for rain in what they are given
_SEEN = (cf.OBSERVED, cf.REANALYSIS)  # what counts as a value; what was filled before does not


@dataclass(frozen=True, eq=False)
class Warmth:
    """Sea surface temperature of days, for networks that take it.

    Parameters
    ----------
    days : datetime64[D] array, shape (time,)
    values : float array, shape (time, orbit or 1, lat, lon)
        K; NaN where there is none.
    """

    days: Days
    values: Floats

    @classmethod
    def stored(cls, part: Part, days: Days) -> Warmth:
        """Of a dataset that holds it, those of some days that it has."""
        there = np.intersect1d(days, part.days)
        if not there.size:
            raise ConfigError("it has none of the days.", where=part.where)
        return cls(there, part.read(there).of(networks.SST.name))

    def on(self, days: Days) -> Floats:
        """Of some days, shape (time, orbit or 1, lat, lon); NaN on days that are not there."""
        found = np.full((days.size, *self.values.shape[1:]), np.nan, np.float32)
        at = np.searchsorted(self.days, days).clip(max=self.days.size - 1)
        there = self.days[at] == days
        found[there] = self.values[at[there]]
        return found


def loaded(path: Path, architecture: str) -> Loaded:
    """Weights of a network.

    Raises
    ------
    ConfigError
        FF201: they cannot be read, or are of another network; with the reason.
    """
    from fluxkernels.nets import weights

    try:
        return weights.load(path, architecture=architecture)
    except (KernelError, OSError) as error:
        raise ConfigError(str(error), where=str(path), mend="Name weights made for it.") from error


def digest(path: Path) -> str:
    """SHA-256 of a file of weights, for the log of openings.

    Raises
    ------
    ConfigError
        FF201: there is no such file.
    """
    import hashlib

    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}.", where=str(path)) from error


@dataclass(frozen=True, eq=False)
class ByNetwork:
    """Filled by a GDCM.

    Parameters
    ----------
    path : Path
        Of its weights.
    sst : Warmth or None
        Needed where its vocabulary has SST.
    """

    path: Path
    sst: Warmth | None

    @property
    def name(self) -> str:
        """The file's."""
        return f"gdcm:{self.path.stem}"

    @cached_property
    def _loaded(self) -> Loaded:
        found = loaded(self.path, "GDCM")
        names = [quantity.name for quantity in found.card.vocabulary.predictors]
        known = {one.name for one in networks.GAPS_BOTH_PASSES.predictors}
        if strange := sorted(set(names) - known):
            raise ConfigError(f"they take {', '.join(strange)}.", where=str(self.path))
        if self.sst is None and networks.SST.name in names:
            raise ConfigError(
                "they take sea surface temperature, and no dataset of it is named.",
                where=str(self.path),
                mend="Name `sst` in validate.yaml.",
            )
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "sst": self.sst}  # each process reads it

    def check(self) -> None:
        """Raise `ConfigError` where the weights are not fit for this."""
        _ = self._loaded

    @property
    def alike(self) -> str:
        """The optimal interpolation that has the same days and passes, nearly."""
        settings: Any = self._loaded.net.settings
        if any(q.name.startswith(OTHER) for q in self._loaded.card.vocabulary.predictors):
            return "oi-both"
        return "oi-causal" if settings.target == settings.steps - 1 else "oi-centred"

    def fill(
        self, passes: Passes, targets: Sequence[int], wanted: Mapping[str, Mask]
    ) -> dict[str, Estimate]:
        """As `Filler.fill`; variables that the network does not know are left out."""
        import torch

        from fluxkernels.nets.predict import Predictor

        net, card = self._loaded
        run = Predictor(net, batch=1)
        fields = self._fields(passes)
        orbits = passes.hours.shape[1]
        made = {q.name: np.full((len(targets), orbits, *passes.hours.shape[2:]), np.nan)
                for q in card.vocabulary.outputs}  # fmt: skip
        for place, day in enumerate(targets):
            for orbit in range(orbits):
                window = self._window(fields, day, orbit, card.vocabulary.predictors, net)
                values = _with_other(window, orbit, passes.longitudes, card.vocabulary.predictors)
                masks = np.isfinite(values)
                given = torch.from_numpy(np.where(masks, values, 0.0)[None])
                (found,) = run(given, torch.from_numpy(masks[None]))
                for channel, quantity in enumerate(card.vocabulary.outputs):
                    natural = found[0, channel].double().numpy() * quantity.scale + quantity.offset
                    held = np.clip(natural, quantity.lowest, quantity.highest)
                    made[quantity.name][place, orbit] = held
        rains = made.get(networks.RAINING.name)
        return {
            name: Estimate(made[name], probability=rains if name == RAIN else None)
            for name in wanted
            if name in made
        }

    def _fields(self, passes: Passes) -> dict[str, Floats]:
        """Fields by name, shape (time, orbit, lat, lon)."""
        fields = {
            name: np.where(np.isin(passes.states[name], _SEEN), values, np.float32(np.nan))
            for name, values in passes.values.items()
        }
        fields[networks.RAINING.name] = occurrence(fields[RAIN], _RAINING_ABOVE)
        if self.sst is not None:
            warmth = continued(self.sst.on(passes.days))
            fields[networks.SST.name] = np.broadcast_to(warmth, passes.hours.shape)
        return fields

    def _window(
        self,
        fields: Mapping[str, Floats],
        day: int,
        orbit: int,
        predictors: Sequence[Quantity],
        net: Any,
    ) -> npt.NDArray[np.float32]:
        """Scaled, NaN where nothing is known, shape (time, predictor, lat, lon)."""
        steps, target = net.settings.steps, net.settings.target
        days = next(iter(fields.values()))
        window = np.full((steps, len(predictors), *days.shape[2:]), np.nan, np.float32)
        first = day - target
        there = slice(max(first, 0), min(first + steps, len(days)))
        at = slice(there.start - first, there.stop - first)
        for channel, quantity in enumerate(predictors):
            name = quantity.name.removeprefix(OTHER)
            seen_by = 1 - orbit if quantity.name.startswith(OTHER) else orbit
            values = fields[name][there, seen_by]
            window[at, channel] = (values - quantity.offset) / quantity.scale
        return window


def _with_other(
    window: npt.NDArray[np.float32], orbit: int, longitudes: Floats, predictors: Sequence[Quantity]
) -> npt.NDArray[np.float32]:
    """The same, maps of the other pass by the day of the pass that follows them."""
    others = [k for k, quantity in enumerate(predictors) if quantity.name.startswith(OTHER)]
    if others:
        there = np.isfinite(window[:, others])
        before, known = (
            twelve_hours_before(maps, orbit, longitudes, 0) for maps in (window[:, others], there)
        )
        window[:, others] = np.where(known, before, np.float32(np.nan))
    return window


def networks_of(paths: Sequence[Path], sst: Warmth | None) -> tuple[ByNetwork, ...]:
    """Fillers of several files of weights, each checked.

    Raises
    ------
    ConfigError
        FF201: weights that cannot be used, or two of one name.
    """
    made = tuple(ByNetwork(path, sst) for path in paths)
    for one in made:
        one.check()
    names = [one.name for one in made]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"several weights are named {', '.join(twice)}.",
            where="weights",
            mend="Name the files apart: the tables tell them by name.",
        )
    return made
