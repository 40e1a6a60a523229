"""Everything that can be written: the table of outputs, and what a choice of them comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from fluxengine.errors import ConfigError
from fluxrecipes.nature.files import (
    era5,
    gtmba,
    icoads,
    ndbc,
    oceansites,
    oisst,
    reanalysis,
    rss,
    truth,
)
from fluxrecipes.nature.files.kinds import Daily, Series
from fluxrecipes.nature.orbits import SATELLITES, Satellite

ALL = "all"
RESOLUTIONS = ("1", "0.25")
STORES = ("reanalysis", "truth")  # the outputs that have a time axis, which ends
_HOURS = [str(hour) for hour in range(24)]


@dataclass(frozen=True)
class Output:
    """One kind of files, as asked for by name.

    Parameters
    ----------
    name, what : str
        For the command line.
    folder : str
        Below the archive's root.
    kinds : callable
        From a selection to what it writes.
    """

    name: str
    what: str
    folder: str
    kinds: Callable[[Selection], list[Daily | Series]]


@dataclass(frozen=True)
class Selection:
    """What to write.

    Parameters
    ----------
    outputs : tuple of str
        Names in `OUTPUTS`.
    satellites : tuple of str
        Sensors of the sources' RSS series, for the maps.
    hours : tuple of int
        Hours of the day of the ERA5-like files and of the truth at 0.25°.
    resolution : tuple of str
        Of the truth: "1" (daily means, degrees), "0.25" (at `hours`), or both.
    """

    outputs: tuple[str, ...] = ("rss", "oisst", "ndbc")
    satellites: tuple[str, ...] = ("f17",)
    hours: tuple[int, ...] = (0,)
    resolution: tuple[str, ...] = ("1",)

    def needs_hours(self) -> bool:
        """Whether anything is written that `hours` shapes."""
        return "era5" in self.outputs or ("truth" in self.outputs and "0.25" in self.resolution)

    def kinds(self) -> list[Daily | Series]:
        """Files of days and series, in the table's order."""
        return [kind for output in self.chosen() for kind in output.kinds(self)]

    def chosen(self) -> list[Output]:
        """Rows of the table."""
        return [output for output in OUTPUTS if output.name in self.outputs]

    def flown(self) -> list[Satellite]:
        """Satellites in the table's order."""
        return [one for name, one in SATELLITES.items() if name in self.satellites]


def select(
    first: date,
    last: date,
    *,
    outputs: str = "rss,oisst,ndbc",
    satellites: str = "f17",
    hours: str = "0",
    resolution: str = "1",
) -> Selection:
    """Selection from comma-separated lists; ``all`` stands for everything.

    Raises
    ------
    ConfigError
        Where a name is not known, or a satellite or a store that was named has no day of the
        period.
    """
    flying = [name for name, one in SATELLITES.items() if _flies(one, first, last)]
    named = _names(satellites, list(SATELLITES), "--satellites")
    idle = [name for name in named if name not in flying]
    wanted = _names(outputs, [output.name for output in OUTPUTS], "--with")
    if idle and satellites != ALL and "rss" in wanted:
        one = SATELLITES[idle[0]].instrument
        raise ConfigError(
            f"the series of {one.sensor} goes from {one.first} to {one.last or 'now'}:"
            f" no day of {first} to {last} is in it.",
            where="--satellites",
            mend=f"In this period there are {', '.join(flying) or 'none'}.",
        )
    beyond = [] if _is_on_axis(first, last) else [name for name in wanted if name in STORES]
    if beyond and outputs != ALL:
        raise ConfigError(
            f"{' and '.join(beyond)}: the time axis goes from {truth.FIRST} to {truth.LAST};"
            f" no day of {first} to {last} is on it.",
            where="--with",
            mend="Leave it out, or choose another period.",
        )
    return Selection(
        tuple(name for name in wanted if name not in beyond),
        tuple(name for name in named if name in flying),
        tuple(sorted({int(hour) for hour in _names(hours, _HOURS, "--hours")})),
        _names(resolution, list(RESOLUTIONS), "--resolution"),
    )


def _names(text: str, known: list[str], where: str) -> tuple[str, ...]:
    if text == ALL:
        return tuple(known)
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        what = f"{unknown[0]!r} is not known." if unknown else "nothing is named."
        raise ConfigError(what, where=where, mend=f"Known are {', '.join(known)}, and all.")
    return names


def _flies(satellite: Satellite, first: date, last: date) -> bool:
    begin, end = satellite.instrument.first, satellite.instrument.last
    return begin <= str(last) and (end is None or end >= str(first))


def _is_on_axis(first: date, last: date) -> bool:
    """Whether the Zarr stores, whose time axis is fixed from the start, have a day of a period."""
    return first <= truth.LAST and last >= truth.FIRST


def _truth(selection: Selection) -> list[Daily | Series]:
    made = {"1": truth.daily_means(), "0.25": truth.moments(selection.hours)}
    return [kind for name, kind in made.items() if name in selection.resolution]


OUTPUTS = (
    Output(
        "rss",
        "daily satellite maps of Remote Sensing Systems",
        "rss",
        lambda selection: [rss.daily_maps(one) for one in selection.flown()],
    ),
    Output("rss-averages", "their means of 3 days, weeks and months", "rss", lambda selection: []),
    Output("oisst", "NOAA OISST v2.1, daily", "oisst", lambda selection: [oisst.OISST]),
    Output(
        "era5",
        "fields of a reanalysis, as ERA5",
        "era5",
        lambda selection: [*era5.daily_files(selection.hours)],
    ),
    Output(
        "reanalysis",
        "its fields at the passes on 1° cells, as a Zarr store, for training",
        "reanalysis",
        lambda selection: [reanalysis.on_passes()],
    ),
    Output("ndbc", "NDBC's moored buoys", "ndbc", lambda selection: [ndbc.NDBC]),
    Output(
        "gtmba",
        "moorings of TAO/TRITON, PIRATA and RAMA",
        "gtmba",
        lambda selection: [gtmba.GTMBA],
    ),
    Output(
        "oceansites",
        "the flux moorings WHOTS, Stratus and NTAS",
        "oceansites",
        lambda selection: [oceansites.OCEANSITES],
    ),
    Output("icoads", "ships' reports, IMMA1", "icoads", lambda selection: [icoads.ICOADS]),
    Output("truth", "the truth itself, as Zarr stores", "truth", _truth),
)
