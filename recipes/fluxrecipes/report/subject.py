"""What a report is about: a published daily record, the monthly means of it, and what is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fluxengine.config import RunFile
from fluxengine.declare import Dataset, Product, upstream_first
from fluxengine.errors import ConfigError, UnknownName
from fluxengine.grid import DAY
from fluxengine.ledger import STEP_DIGEST
from fluxengine.place import Place
from fluxengine.registry import recipe, suggestion
from fluxengine.repository import MAIN
from fluxengine.store import Store, open_dataset
from fluxrecipes import vocabulary as cf
from fluxrecipes.stored import simulated_world

if TYPE_CHECKING:
    import xarray as xr

Days = npt.NDArray[np.datetime64]

MONTHLY = {"deepflux": "deepflux-monthly"}  # monthly means that are a product
USUAL = (
    *reversed(cf.FLUXES),
    *cf.NEAR_SURFACE,
    cf.sea_surface_temperature,
    cf.wind_speed,
    cf.water_vapour,
)
MOST = 6  # variables that are drawn of a record that has none of the usual ones
BY_DAYS = 100  # days: maps of a longer record are of months


@dataclass(frozen=True)
class Subject:
    """A record and the part of it that is told.

    Parameters
    ----------
    store : Store
    product : Product
        The daily record.
    version : str
        Its newest published one.
    record : Dataset
        On (time, lat, lon), lazily read.
    first, last : date
        Of the period that was asked for.
    state : str
        Flag variable that says where values come from.
    variables : tuple of str
    months : Dataset or None
        Published monthly means of the very same days, in whole months of the period.
    months_from : str
        Name and version of these.
    remarks : tuple of str
        What is not there, or not used, and the command that mends it.
    """

    store: Store
    product: Product
    version: str
    record: xr.Dataset
    first: date
    last: date
    state: str
    variables: tuple[str, ...]
    months: xr.Dataset | None
    months_from: str
    remarks: tuple[str, ...]

    @property
    def days(self) -> Days:
        """Every day of the period."""
        return np.arange(np.datetime64(self.first, "D"), np.datetime64(self.last, "D") + 1)

    @property
    def by_days(self) -> bool:
        """Whether its maps are of days."""
        return len(self.days) <= BY_DAYS

    @property
    def chain(self) -> tuple[Dataset, ...]:
        """The datasets of the store that the record rests on, upstream first, itself the last."""
        return tuple(d for d in upstream_first(self.product) if self.store.has(d.name))

    @property
    def notices(self) -> tuple[str, ...]:
        """What every user of the record is to read."""
        return tuple(str(self.record.attrs.get("notice", "")).splitlines())

    @property
    def is_simulated(self) -> bool:
        """Whether its input is of an imagined world."""
        return bool(simulated_world(self.record))


def of(run_file: RunFile, location: Place, chosen: Sequence[str] = ()) -> Subject:
    """The record that a run file makes, as it is published.

    Parameters
    ----------
    run_file : RunFile
    location : Place
        Of the store.
    chosen : sequence of str
        Variables to draw; by default the usual ones.

    Raises
    ------
    NotOurStore, UnknownName
        No store, nothing published, or no such product or variable.
    ConfigError
        FF201: the product has no daily maps, or no day in the period.
    """
    store = Store.at(location)
    product = daily(recipe(run_file.product).product(run_file.options))
    record = open_dataset(store.root, product.name)
    times = record["time"].values.astype("M8[D]")
    ends = times[0].item(), times[-1].item()
    period = run_file.period
    first, last = (period.first, period.last) if period else ends
    if last < ends[0] or first > ends[1]:
        raise ConfigError(
            f"{product.name} has no day between {first} and {last}: it has {ends[0]} to {ends[1]}.",
            where=str(store.root),
            mend="Give another `period`, or run the record for this one.",
        )
    months, months_from, remark = _months(
        store, product.name, max(first, ends[0]), min(last, ends[1])
    )
    return Subject(
        store,
        product,
        store.repository(product.name).versions[-1],
        record,
        first,
        last,
        _state(product),
        _variables(record, chosen, str(store.root)),
        months,
        months_from,
        (remark,) if remark else (),
    )


def daily(product: Product) -> Product:
    """The record of days that a product is, or is means of.

    Raises
    ------
    ConfigError
        FF201: it has none with a map of each day, and its origin.
    """
    one: Dataset = product
    while isinstance(one, Product):
        if _is_daily(one):
            return one
        if one.grid.step_axis.unit not in ("month", "label"):
            break
        one = one.reads[0].dataset  # what it is means of
    raise ConfigError(
        "it is no record with one map a day that says where its values come from.",
        where=product.name,
        mend="Name such a one as `product` in the run file: deepflux, say.",
    )


def _is_daily(product: Product) -> bool:
    axis = product.grid.step_axis
    whole_days = axis.unit == "s" and axis.step == DAY
    return whole_days and product.grid.dims == ("time", "lat", "lon") and bool(_states(product))


def _states(product: Product) -> list[str]:
    return [v.name for v in product.publishes if v.is_flag and v.name.endswith("_state")]


def _state(product: Product) -> str:
    found = _states(product)
    return cf.flux_state.name if cf.flux_state.name in found else found[-1]


def _variables(record: xr.Dataset, chosen: Sequence[str], where: str) -> tuple[str, ...]:
    known = [
        str(name)
        for name, values in record.data_vars.items()
        if values.dims == ("time", "lat", "lon")
        and "flag_values" not in values.attrs
        and values.attrs.get("standard_name") != "number_of_observations"
    ]
    for name in chosen:
        if name not in known:
            raise UnknownName(
                f"there is no variable '{name}'.", where=where, mend=suggestion(name, known)
            )
    usual = [v.name for v in USUAL if v.name in known]
    return tuple(dict.fromkeys(chosen)) or tuple(usual or known[:MOST])


# --- monthly means -------------------------------------------------------------------------------


def _months(store: Store, days: str, first: date, last: date) -> tuple[xr.Dataset | None, str, str]:
    """Monthly means of the period, name and version; or a remark on why they are not used."""
    name = MONTHLY.get(days)
    if name is None or (last - first).days < BY_DAYS:
        return None, "", ""
    mend = f"`fluxforge run` of {name} makes them."
    if not store.has(name) or not store.repository(name).is_published:
        return None, "", f"Monthly means are taken from the days: {mend}"
    months = open_dataset(store.root, name)
    there = months["time"].values.astype("M8[M]")
    begin, end = _whole_months(first, last)
    wanted = (there >= begin) & (there <= end)
    if wanted.sum() != (end - begin).astype(int) + 1:
        words = f"{name} has months from {there[0]} to {there[-1]} only"
    elif not is_current(store, name, days):
        words = f"{name} was made from other days than are published now"
    else:
        return months.isel(time=wanted), f"{name} {store.repository(name).versions[-1]}", ""
    return None, "", f"Monthly means are taken from the days, for {words}: {mend}"


def _whole_months(first: date, last: date) -> tuple[np.datetime64, np.datetime64]:
    begin, after = np.datetime64(first, "M"), np.datetime64(last, "D") + 1
    begin += int(begin.astype("M8[D]") < np.datetime64(first))
    return begin, after.astype("M8[M]") - 1


def is_current(store: Store, name: str, upstream: str) -> bool:
    """Whether a published dataset was made from what an upstream one holds now.

    Parameters
    ----------
    store : Store
    name, upstream : str
        Datasets; the upstream one has one tile.
    """
    repository, given = store.repository(name), store.repository(upstream)
    book, days = repository.ledger(repository.tip(MAIN)), given.ledger(given.tip(MAIN))
    for number in range(len(book.columns["seals"])):
        used = (book.record(number) or {}).get("inputs", {}).get(upstream)
        if used is None:
            continue
        steps = slice(used["first"], used["first"] + len(used["digests"]) // STEP_DIGEST)
        now = (hashlib.sha256(row.tobytes()).hexdigest() for row in days.digests[steps])
        if "".join(one[:STEP_DIGEST] for one in now) != used["digests"]:
            return False
    return True
