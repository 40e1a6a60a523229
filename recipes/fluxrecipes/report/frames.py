"""Maps as small images of few colours: the frames of a page's slider, and their colour bar."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxrecipes.report.maps import style
from fluxrecipes.report.units import shown
from fluxrecipes.trends.series import annual

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

WEST = 20.0  # degrees: the edge of a global map, through Africa
INTERVALS = 24  # of a colour bar, at most
LAND_COLOUR = (140, 140, 140)
NOTHING, LAND = 0, 1  # palette entries before the colours
MIN_MONTHS = 9  # with a value that a year needs


@dataclass(frozen=True)
class Scale:
    """Colours of a variable.

    Parameters
    ----------
    units : str
        For the eye.
    edges : float array
        Of the colours, in `units`; what lies beyond takes the outermost ones.
    colours : tuple of (int, int, int)
        Red, green and blue of each interval, 0 to 255.
    """

    units: str
    edges: Floats
    colours: tuple[tuple[int, int, int], ...]

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Round numbers, as shares of the bar's length and as texts."""
        from matplotlib.ticker import MaxNLocator

        low, high = self.edges[0], self.edges[-1]
        marks = MaxNLocator(6).tick_values(low, high)
        inside = marks[(marks >= low - 1e-9) & (marks <= high + 1e-9)]
        return [(float((mark - low) / (high - low)), f"{mark:g}") for mark in inside]


@dataclass(frozen=True)
class Frame:
    """One map.

    Parameters
    ----------
    label : str
        Its day, month or year.
    image : str
        A PNG in base64.
    told : str
        Mean and range, for those who do not see it.
    """

    label: str
    image: str
    told: str


@dataclass(frozen=True)
class Film:
    """The frames of a variable.

    Parameters
    ----------
    variable, title : str
    scale : Scale
    frames : tuple of Frame
    """

    variable: str
    title: str
    scale: Scale
    frames: tuple[Frame, ...]

    @property
    def size(self) -> int:
        """Bytes of its images in a page."""
        return sum(len(frame.image) for frame in self.frames)

    def as_json(self) -> dict[str, Any]:
        """For the script of a page."""
        return {
            "title": self.title,
            "labels": [frame.label for frame in self.frames],
            "told": [frame.told for frame in self.frames],
            "images": [frame.image for frame in self.frames],
        }


@dataclass(frozen=True)
class Sheet:
    """Where the cells of maps lie in their images.

    Parameters
    ----------
    latitude, longitude : float array
        Of the grid's cells, degrees.
    """

    latitude: Floats
    longitude: Floats

    @property
    def turn(self) -> int:
        """Columns by which a map that goes round the globe is turned, to begin in Africa."""
        step = float(self.longitude[1] - self.longitude[0])
        if abs(step * len(self.longitude) - 360.0) > 1e-6:
            return 0
        return int(np.argmax(self.longitude >= WEST))

    def laid(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The rows of an image, north up, of a map of shape (lat, lon)."""
        turned = np.roll(values, -self.turn, axis=1)
        return turned[::-1] if self.latitude[0] < self.latitude[-1] else turned

    @property
    def meridians(self) -> list[tuple[float, str]]:
        """Column and name of some meridians."""
        step = float(self.longitude[1] - self.longitude[0])
        west = float(self.longitude[self.turn]) - step / 2
        wanted = np.arange(np.ceil(west / 60) * 60 + 0.0, west + step * len(self.longitude), 60)
        return [((east - west) / step, _east(east)) for east in wanted.tolist()]

    @property
    def parallels(self) -> list[tuple[float, str]]:
        """Row and name of some parallels, from the north."""
        step = abs(float(self.latitude[1] - self.latitude[0]))
        north = float(self.latitude.max()) + step / 2
        south = float(self.latitude.min()) - step / 2
        wanted = np.arange(np.ceil(south / 30) * 30, north + 1e-9, 30)
        return [((north - lat) / step, _north(lat)) for lat in wanted.tolist()]


def _east(degrees: float) -> str:
    turned = (degrees + 180.0) % 360.0 - 180.0
    if abs(turned) == 180.0 or turned == 0.0:
        return f"{abs(turned):g}°"
    return f"{abs(turned):g}° {'E' if turned > 0 else 'W'}"


def _north(degrees: float) -> str:
    return "0°" if degrees == 0.0 else f"{abs(degrees):g}° {'N' if degrees > 0 else 'S'}"


def scale_of(values: xr.DataArray) -> Scale:
    """The colours of a variable, over all its maps: even steps between round numbers."""
    import matplotlib as mpl
    from matplotlib.ticker import MaxNLocator

    units, factor, offset = shown(str(values.attrs.get("units", "1")))[:3]
    days = _step(labels_of(values)) == "day"
    name, limits = style(str(values.name), values.values * factor + offset, days=days)
    edges = MaxNLocator(INTERVALS, steps=[1, 2, 2.5, 5, 10]).tick_values(*limits)
    picked = mpl.colormaps[name](np.linspace(0, 1, len(edges) - 1), bytes=True)[:, :3]
    colours = tuple((int(r), int(g), int(b)) for r, g, b in picked)
    return Scale(units, np.asarray(edges), colours)


def film(values: xr.DataArray, title: str, sheet: Sheet, land: Flags | None) -> Film:
    """Frames of a variable.

    Parameters
    ----------
    values : DataArray
        On (time, lat, lon) or (year, lat, lon), in the variable's unit.
    title : str
    sheet : Sheet
    land : bool array, shape (lat, lon), optional
    """
    scale = scale_of(values)
    labels = labels_of(values)
    frames = tuple(
        _frame(one, label, scale, values, sheet, land)
        for label, one in zip(labels, values.values, strict=True)
    )
    return Film(str(values.name), title, scale, frames)


def labels_of(values: xr.DataArray) -> list[str]:
    """What the steps are called: years, months or days."""
    if "year" in values.dims:
        return [str(year) for year in values["year"].values]
    times = values["time"].values.astype("M8[D]")
    months = times.astype("M8[M]")
    by_month = len(np.unique(months)) == len(months) and (times == months).all()
    return [str(step) for step in (months if by_month else times)]


def _frame(
    one: Floats, label: str, scale: Scale, origin: xr.DataArray, sheet: Sheet, land: Flags | None
) -> Frame:
    _, factor, offset = shown(str(origin.attrs.get("units", "1")))[:3]
    seen = one * factor + offset
    codes = np.digitize(seen, scale.edges[1:-1]).astype(np.uint8) + LAND + 1
    codes[~np.isfinite(seen)] = NOTHING
    if land is not None:
        codes[land & ~np.isfinite(seen)] = LAND
    image = base64.b64encode(_png(sheet.laid(codes), scale)).decode("ascii")
    return Frame(label, image, _told(seen, scale.units, sheet))


def _told(seen: Floats, units: str, sheet: Sheet) -> str:
    there = np.isfinite(seen)
    if not there.any():
        return "no value anywhere"
    area = np.cos(np.radians(sheet.latitude))[:, None] * there
    mean = float((np.where(there, seen, 0.0) * area).sum() / area.sum())
    low, high = float(seen[there].min()), float(seen[there].max())
    return f"mean {mean:.3g}, from {low:.3g} to {high:.3g} {units}"


def _png(codes: npt.NDArray[np.uint8], scale: Scale) -> bytes:
    """A paletted PNG, in which cells without a value let the page through."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(codes), "P")
    image.putpalette([0, 0, 0, *LAND_COLOUR, *(part for c in scale.colours for part in c)])
    held = io.BytesIO()
    image.save(held, "PNG", optimize=True, transparency=NOTHING)
    return held.getvalue()


# --- which frames --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chosen:
    """Frames that fit into a page.

    Parameters
    ----------
    films : tuple of Film
        One of each variable, all of the same steps.
    told : str
        Which steps they are, in words.
    """

    films: tuple[Film, ...]
    told: str


def films(
    values: xr.DataArray, title: str, sheet: Sheet, land: Flags | None, share: int
) -> dict[str, Film]:
    """Frames of a variable by what their steps are, the finest first.

    Of months of some years there are frames of the years as well, and of the months only where
    these may fit.

    Parameters
    ----------
    values : DataArray
        On (time, lat, lon), of days or months.
    title : str
    sheet : Sheet
    land : bool array, shape (lat, lon), optional
    share : int
        Bytes of a page that a variable may take.
    """
    step = _step(labels_of(values))
    some = {step: values}
    if step == "month" and values.sizes["time"] >= 24:
        some["year"] = annual(values, MIN_MONTHS)
        one = film(values.isel(time=[0]), title, sheet, land)
        if one.size * values.sizes["time"] > 2 * share:
            del some[step]
    return {step: film(one, title, sheet, land) for step, one in some.items()}


def choose(several: Sequence[Mapping[str, Film]], budget: int) -> Chosen:
    """The finest steps whose frames fit; of the coarsest, only every so manieth where need be.

    Parameters
    ----------
    several : sequence of mapping of str to Film
        Of each variable, as `films` gives them.
    budget : int
        Bytes of all images in a page.
    """
    common = [step for step in several[0] if all(step in one for one in several)]
    for step in common:
        some = tuple(one[step] for one in several)
        if sum(one.size for one in some) <= budget:
            return Chosen(some, _named(some[0]))
    whole = some
    every, length = 1, len(whole[0].frames)
    while sum(one.size for one in some) > budget and every < length:
        every *= 2
        some = tuple(replace(one, frames=one.frames[::every]) for one in whole)
    told = f"{_named(some[0])}, one in {every} of {length}, because all do not fit into a page"
    return Chosen(some, told)


def _named(one: Film) -> str:
    words = {"year": "annual means", "month": "monthly means", "day": "days"}
    return f"{len(one.frames)} {words[_step([frame.label for frame in one.frames])]}"


def _step(labels: Sequence[str]) -> str:
    return {4: "year", 7: "month"}.get(len(labels[0]), "day")
