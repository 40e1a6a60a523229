"""Matchups as a file: CF NetCDF of points, which `fluxforge validate` reads again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxengine.errors import ConfigError
from fluxengine.repository import storage_errors
from fluxrecipes import vocabulary as cf
from fluxrecipes.constellation import CODES
from fluxrecipes.matchups.beside import SETS, VERDICTS, Beside
from fluxrecipes.matchups.daily import PLAIN, Columns, Days
from fluxrecipes.matchups.matching import Matchups
from fluxrecipes.sources.reports import FEEDS, KINDS

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]

IN_SITU = {
    "air_temperature": ("K", "air temperature of the report, brought to 10 m"),
    "specific_humidity": ("kg kg-1", "specific humidity of the report, brought to 10 m"),
    "sea_surface_temperature": ("K", "sea surface temperature as reported"),
    "wind_speed": ("m s-1", "wind of the report, brought to 10 m"),
    "neutral_wind": ("m s-1", "equivalent neutral wind of the report at 10 m"),
    "sensible_heat_flux": ("W m-2", "sensible heat flux of the report, COARE 3.6, upward"),
    "latent_heat_flux": ("W m-2", "latent heat flux of the report, COARE 3.6, upward"),
}
PLACES = {
    "latitude": ("degrees_north", "latitude of the report"),
    "longitude": ("degrees_east", "longitude of the report"),
}
# A group of the file, and in it the reports and the conditions: no product has such a name.
DAYS, IN_SITU_DAYS, OF_PASSES = "days", "in_situ", "of_passes"
UNITS = {
    "K": {"air_temperature", "sea_surface_temperature"},
    "kg kg-1": {"specific_humidity"},
    "m s-1": {"wind_speed"},
    "W m-2": {"heat_flux"},
    "kg m-2": {"water_vapour", "cloud_liquid_water"},
    "mm h-1": {"rain_rate"},
}
TITLE = "Reports from the sea beside deepflux, {first} to {last}"
PERIOD = re.compile(r"(\d{4}-\d\d-\d\d) to (\d{4}-\d\d-\d\d)$")  # of such a title
MEND = "`fluxforge matchup` makes such a file."


class Stored(NamedTuple):
    """What a file of matchups holds.

    Parameters
    ----------
    found : Beside
    verdicts, sets : uint8 array
        Codes of `fluxrecipes.matchups.beside`.
    attrs : dict
        Global attributes: of which store and period, and whether it is simulated.
    days : Days or None
        Daily products beside means of days; None where none was asked for, or no day counts.
    """

    found: Beside
    verdicts: Array
    sets: Array
    attrs: dict[str, Any]
    days: Days | None = None

    @property
    def source(self) -> str:
        """The store that its record and its reports are of; empty where it does not say."""
        return str(self.attrs.get("source", ""))

    @property
    def period(self) -> tuple[str, str]:
        """First and last day, as its title has them; where it has none, of its passes."""
        told = PERIOD.search(str(self.attrs.get("title", "")))
        if told:
            return told[1], told[2]
        days = self.found.matchups.day
        return str(days.min()), str(days.max())

    @property
    def origin(self) -> str:
        """In words, what was brought together, of which days, and of which store."""
        title = self.attrs.get("title") or "Reports from the sea, {} to {}".format(*self.period)
        return f"{title}; of {f'the store {self.source}' if self.source else 'an unknown store'}."


def write(path: Path, stored: Stored) -> None:
    """Write a file, whole or not at all."""
    import xarray as xr

    matchups = stored.found.matchups
    made: dict[str, Any] = {
        "platform": ("matchup", matchups.platform, {"cf_role": "timeseries_id"}),
        "time": ("matchup", matchups.time.astype("M8[ns]"), {"standard_name": "time"}),
        "pass_day": ("matchup", matchups.day.astype("M8[ns]"), {"long_name": "day of the pass"}),
        "hours_apart": ("matchup", matchups.hours_apart.astype("f4"), {"units": "h"}),
        "row": ("matchup", matchups.row.astype("i2"), {"long_name": "row of the cell"}),
        "column": ("matchup", matchups.column.astype("i2"), {"long_name": "column of the cell"}),
        "orbit": _flags(matchups.orbit, {0: "ascending", 1: "descending"}),
        "satellite": _flags(matchups.satellite, satellites(matchups.satellite)),
        "state": _flags(matchups.state, cf.STATES),
        "feed": _flags(matchups.feed, FEEDS),
        "platform_kind": _flags(matchups.kind, KINDS),
        "set": _flags(stored.sets, SETS),
        "verdict": _flags(stored.verdicts, VERDICTS),
    }
    for name, (units, said) in (
        *PLACES.items(),
        *((f"in_situ_{n}", t) for n, t in IN_SITU.items()),
    ):
        values = getattr(matchups, name.removeprefix("in_situ_")).astype("f4")
        made[name] = ("matchup", values, {"units": units, "long_name": said})
    for name, values in stored.found.record.items():
        attrs = {"units": _units(name), "long_name": f"{name.replace('_', ' ')} of the record"}
        made[f"record_{name}"] = ("matchup", values, attrs)
    attrs = {"Conventions": "CF-1.11", "featureType": "point", **stored.attrs}
    dataset = xr.Dataset(made, attrs=attrs).set_coords(["time", "latitude", "longitude"])
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _whole(path) as unfinished:
            dataset.to_netcdf(unfinished, engine="netcdf4", encoding=_packed(dataset))
            if stored.days is not None:
                daily = _of_days(stored.days)
                daily.to_netcdf(
                    unfinished, mode="a", group=DAYS, engine="netcdf4", encoding=_packed(daily)
                )


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file to write in place of another, put there when it is whole; else nothing is left of it.

    Yields
    ------
    Path
    """
    unfinished = path.with_suffix(".unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _packed(dataset: xr.Dataset) -> dict[Any, dict[str, Any]]:
    numbers = [name for name, v in dataset.variables.items() if v.dtype.kind != "S"]
    return {name: {"zlib": True, "complevel": 2} for name in numbers}


def _of_days(days: Days) -> xr.Dataset:
    """The group of daily products: which one a variable is of stands in its attributes."""
    import xarray as xr

    counts = {"long_name": "number of reports in the mean"}
    made: dict[str, Any] = {
        "platform": ("day", days.platform, {"cf_role": "timeseries_id"}),
        "time": ("day", days.day.astype("M8[ns]"), {"long_name": "day of the mean, UTC"}),
        "row": ("day", days.row.astype("i2"), {"long_name": "row of the cell"}),
        "column": ("day", days.column.astype("i2"), {"long_name": "column of the cell"}),
        "reports": ("day", days.reports.astype("i2"), counts),
        "feed": _flags(days.feed, FEEDS, "day"),
        "set": _flags(days.sets, SETS, "day"),
        "state": _flags(days.state, cf.STATES, "day"),
    }
    for name, (units, said) in PLACES.items():
        made[name] = ("day", getattr(days, name).astype("f4"), {"units": units, "long_name": said})
    beside = {IN_SITU_DAYS: days.in_situ, OF_PASSES: days.conditions}
    for product, columns in (*beside.items(), *days.products.items()):
        for name, values in columns.items():
            attrs = {
                "units": _units(name),
                "long_name": f"{name.replace('_', ' ')}, daily mean, {product.replace('_', ' ')}",
                "product": product,
                "quantity": name,
            }
            made[f"{product}_{name}"] = ("day", values, attrs)
    names = " ".join(days.products)
    attrs = {"Conventions": "CF-1.11", "featureType": "point", "products": names}
    return xr.Dataset(made, attrs=attrs).set_coords(["time", "latitude", "longitude"])


def read(path: Path) -> Stored:
    """Read a file of `write`.

    Raises
    ------
    ConfigError
        FF201: it is no such file.
    """
    loaded = _loaded(path)
    try:
        dataset = loaded["/"]
        matchups = _matchups(dataset)
        days = _days(loaded[f"/{DAYS}"]) if f"/{DAYS}" in loaded else None
        verdicts, sets = dataset["verdict"].values, dataset["set"].values
    except KeyError as error:
        name = (error.__cause__ or error).args[0]  # xarray adds all the names there are
        what = f"it is no file of matchups: it has no variable {name}."
        raise ConfigError(what, where=str(path), mend=MEND) from error
    record = {
        str(name).removeprefix("record_"): values.values
        for name, values in dataset.data_vars.items()
        if str(name).startswith("record_")
    }
    return Stored(Beside(matchups, record), verdicts, sets, dict(dataset.attrs), days)


def _loaded(path: Path) -> dict[str, xr.Dataset]:
    """All groups of a NetCDF file."""
    import xarray as xr

    if not path.exists():
        raise ConfigError("there is no such file.", where=str(path), mend=MEND)
    if path.is_dir():
        raise ConfigError("it is a folder, no file of matchups.", where=str(path), mend=MEND)
    try:
        groups = xr.open_groups(path, engine="netcdf4", mask_and_scale=False)
        loaded = {name: one.load() for name, one in groups.items()}
        for one in groups.values():
            one.close()
    except (OSError, RuntimeError, ValueError) as error:
        right = isinstance(error, PermissionError)
        what = "it may not be read" if right else "it is no NetCDF file, or is damaged"
        raise ConfigError(f"{what}.", where=str(path), mend=MEND) from error
    return loaded


def _days(dataset: xr.Dataset) -> Days:
    plain = {
        one.name: dataset[{"day": "time", "sets": "set"}.get(one.name, one.name)].values
        for one in fields(Days)
        if one.name in PLAIN
    }
    plain["platform"] = plain["platform"].astype("S16")
    plain["day"] = plain["day"].astype("M8[D]")
    names = str(dataset.attrs["products"]).split()
    told: dict[str, Columns] = {name: {} for name in (IN_SITU_DAYS, OF_PASSES, *names)}
    for values in dataset.data_vars.values():
        if "quantity" in values.attrs:
            told[values.attrs["product"]][values.attrs["quantity"]] = values.values
    in_situ, conditions = (told.pop(name) for name in (IN_SITU_DAYS, OF_PASSES))
    return Days(**plain, in_situ=in_situ, conditions=conditions, products=told)


def _matchups(dataset: xr.Dataset) -> Matchups:
    renamed = {"day": "pass_day", "kind": "platform_kind"}
    renamed |= {name: f"in_situ_{name}" for name in IN_SITU}
    columns = {}
    for one in fields(Matchups):
        values = dataset[renamed.get(one.name, one.name)].values
        columns[one.name] = values
    columns["day"] = columns["day"].astype("M8[D]")
    columns["time"] = columns["time"].astype("M8[s]")
    columns["platform"] = columns["platform"].astype("S16")
    for name in ("orbit", "row", "column"):
        columns[name] = columns[name].astype(np.intp)
    return Matchups(**columns)


def _flags(
    codes: Array, meanings: Mapping[int, str], along: str = "matchup"
) -> tuple[str, Array, dict[str, Any]]:
    values = np.array(list(meanings), np.uint8)
    words = " ".join(str(word).replace(" ", "_") for word in meanings.values())
    return along, codes.astype(np.uint8), {"flag_values": values, "flag_meanings": words}


def satellites(codes: Array) -> dict[int, str]:
    """Names of the codes that occur."""
    known = {code: name for name, code in CODES.items()}
    return {int(c): known.get(int(c), f"newcomer_{int(c)}") for c in np.unique(codes)}


def _units(name: str) -> str:
    return next((u for u, words in UNITS.items() if any(w in name for w in words)), "1")
