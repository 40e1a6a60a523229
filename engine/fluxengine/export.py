"""Export: a published dataset as CF NetCDF files, one for a year, a month, or all of it.

Or in a style: files of another product's form, for those whose programs read these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fluxengine.errors import ConfigError, StoreError, UnknownName
from fluxengine.grid import DAY, Axis
from fluxengine.layout import MARK, stored_grids
from fluxengine.repository import MAIN, Repository, storage_errors
from fluxengine.store import Store, open_dataset
from fluxengine.styles import File, Per, Style
from fluxengine.table_store import is_table_in

if TYPE_CHECKING:
    import xarray as xr

CONVENTIONS = "CF-1.11, ACDD-1.3"
VOCABULARY = "CF Standard Name Table v90"
# Where neither the product nor the run file's `attributes` say it.
DEFAULTS = {
    "naming_authority": "fluxforge",
    "creator_name": "not stated",
    "publisher_name": "not stated",
    "institution": "not stated",
    "project": "not stated",
    "acknowledgement": "not stated",
    "processing_level": "not stated",
}
KEPT = ("dtype", "scale_factor", "add_offset", "_FillValue")


def export(
    store: Store,
    name: str,
    folder: Path,
    *,
    first: date | None = None,
    last: date | None = None,
    per: Per = "year",
    style: Style | None = None,
) -> Iterator[Path]:
    """Write files one after the other, giving each path when it is complete.

    A dataset with variables on several grids gives files for each of them.

    Parameters
    ----------
    store : Store
    name : str
        A published dataset.
    folder : Path
        Where files go; made if need be. A file of the same name is replaced at once, when whole.
    first, last : date, optional
        Days to export; by default all.
    per : {"all", "year", "month"}
    style : Style, optional
        By default one file a period, as the dataset is.

    Raises
    ------
    UnknownName
        Where nothing of that name is published.
    StoreError
        Where what was published last bears no version yet: its run is about to say so, or was
        killed.
    ConfigError
        Where `last` comes before `first` or no day lies between them, or the dataset has no time
        axis, or the style has files of other periods, or none of such a dataset.
    """
    if style is not None and per != style.per:
        what = f"files of the style {style.name} are for a {style.per} each, not for {per}."
        raise ConfigError(what, where="--per", mend="Leave it out.")
    repository = store.repository(name)
    version = _newest(repository, name)
    if is_table_in(repository):
        raise ConfigError(
            "it is a table of reports, which no files of a grid can be made of.",
            where=name,
            mend="Open a month of it, `fluxforge.open(store, name, month='2002-08')`, and write"
            " that with xarray.",
        )
    whole = open_dataset(store.root, name, version=version)
    dataset = _between(whole, name, first, last)
    if folder.exists() and not folder.is_dir():
        what = "it is a file; the files that are written need a folder."
        raise ConfigError(what, where=str(folder), mend="Choose another name.")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    grids = stored_grids(repository.read(repository.version(version)))
    for group in grids if style is None else [""]:  # a style's files hold what it knows
        axis, stored, opened = grids[group].axes["time"], dataset, whole
        if group:
            opened = open_dataset(store.root, name, version=version, group=group)
            stored = _between(opened, name, first, last)
        called, sizes = "_".join(filter(None, (name, group))), _sizes(opened, per)
        form = style or _own(called, version, per, axis, sizes)
        for part in _parts(stored.assign_attrs(dataset.attrs), per):
            for file in form.files(part):
                if style is not None:
                    _check_free(folder / file.name, style, name, _is_whole(part, per, sizes))
                made = _described(file.dataset, part, name, version, style, axis)
                yield _write(replace(file, dataset=made), folder, form)


def _newest(repository: Repository, name: str) -> str:
    """The version that is published; what is published later does not enter the files."""
    if not repository.is_published:
        raise UnknownName("nothing is published here yet", where=name, mend="Finish the run.")
    tip = repository.tip(MAIN)
    for version in reversed(repository.versions):
        if repository.version(version) == tip:
            return version
    raise StoreError(
        "what was published last bears no version yet.",
        where=name,
        mend="If a run is just publishing it, wait a moment; if one was killed, run it again.",
    )


def _between(dataset: xr.Dataset, name: str, first: date | None, last: date | None) -> xr.Dataset:
    """The days asked for."""
    if "time" not in dataset.dims:
        raise ConfigError(
            "it has no time axis, so that no files of a period can be made of it.",
            where=name,
            mend="Open it with `fluxforge.open` and write it with xarray.",
        )
    if first is not None and last is not None and last < first:
        what = f"the period ends on {last}, before it starts on {first}."
        raise ConfigError(what, where=name, mend="Swap the two days or correct one.")
    found = dataset.sel(time=slice(_day(first), _day(last)))
    if found.sizes["time"] == 0:
        begins, ends = (str(time)[:10] for time in dataset["time"].values[[0, -1]])
        asked = f"from {first} on" if last is None else f"from {first or begins} to {last}"
        raise ConfigError(f"it has no day {asked}: it has {begins} to {ends}.", where=name)
    return found


def _own(name: str, version: str, per: Per, axis: Axis, sizes: Mapping[Any, int]) -> Style:
    """Files of the form that the dataset itself has."""

    def files(part: xr.Dataset) -> Iterator[File]:
        made = _with_codes(part)
        encoding = {str(n): _encoding(variable, axis) for n, variable in made.variables.items()}
        yield File(f"{name}_{version}_{_label(part, per, sizes)}.nc", made, encoding)

    return Style("fluxforge", per, files)


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


UNITS: dict[Per, str] = {"year": "datetime64[Y]", "month": "datetime64[M]"}


def _parts(dataset: xr.Dataset, per: Per) -> Iterator[xr.Dataset]:
    if per == "all":
        yield dataset
        return
    periods = dataset["time"].values.astype(UNITS[per])
    for period in np.unique(periods):
        yield dataset.isel(time=periods == period)


def _sizes(whole: xr.Dataset, per: Per) -> dict[Any, int]:
    """How many times each year or month has."""
    if per == "all":
        return {}
    periods, sizes = np.unique(whole["time"].values.astype(UNITS[per]), return_counts=True)
    return dict(zip(periods, sizes.tolist(), strict=True))


def _is_whole(part: xr.Dataset, per: Per, sizes: Mapping[Any, int]) -> bool:
    return per != "all" and sizes[part["time"].values[0].astype(UNITS[per])] == part.sizes["time"]


def _check_free(path: Path, style: Style, name: str, whole: bool) -> None:
    """A style's files are called after years or months, whoever made them.

    A part must not replace a whole one, nor one dataset another, nor either a provider's file.
    """
    if not path.exists():
        return
    if not whole:
        raise ConfigError(
            f"it is there, and a part of its {style.per} would replace it.",
            where=str(path),
            mend="Name another folder, or leave out --first and --last.",
        )
    if not _id(path).startswith(f"{name}-v"):
        raise ConfigError(
            f"it is there, and no earlier export of {name}.",
            where=str(path),
            mend="Name another folder, or move it away.",
        )


def _id(path: Path) -> str:
    """What a file says it is; nothing where it is no NetCDF file, or does not say."""
    import xarray as xr

    try:
        with xr.open_dataset(path, engine="netcdf4", decode_cf=False) as made:
            return str(made.attrs.get("id", ""))
    except (OSError, ValueError):
        return ""


def _label(part: xr.Dataset, per: Per, sizes: Mapping[Any, int]) -> str:
    """The year or month, or first and last day: a part of one must not replace the whole."""
    times = part["time"].values
    if _is_whole(part, per, sizes):
        return str(times[0].astype(UNITS[per])).replace("-", "")
    return f"{str(times[0])[:10]}_{str(times[-1])[:10]}".replace("-", "")


def _write(file: File, folder: Path, form: Style) -> Path:
    path = folder / file.name
    unfinished = path.with_suffix(".unfinished")
    with storage_errors(path):
        try:
            file.dataset.to_netcdf(
                unfinished,
                encoding=file.encoding,
                engine="netcdf4",
                format=form.format,
                unlimited_dims=["time"],
            )
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    return path


def _encoding(variable: xr.Variable, axis: Axis) -> dict[str, Any]:
    kept = {key: variable.encoding[key] for key in KEPT if key in variable.encoding}
    if variable.dtype.kind in "fiu" and variable.ndim > 1:
        kept |= {"zlib": True, "complevel": 4, "shuffle": True}
    if variable.dtype.kind == "M":
        return {**_units(axis), "calendar": "standard"}
    kept.setdefault("_FillValue", None)
    return kept


def _units(axis: Axis) -> dict[str, str]:
    """How times are counted, those of bounds as those of their steps."""
    if axis.unit == "month" or (axis.step % DAY == 0 and axis.origin % DAY == 0):
        return {"dtype": "int32", "units": "days since 1970-01-01"}
    return {"dtype": "int64", "units": "seconds since 1970-01-01"}


def _described(
    file: xr.Dataset, part: xr.Dataset, name: str, version: str, style: Style | None, axis: Axis
) -> xr.Dataset:
    """A file with the global attributes that ACDD asks for; it covers what `part` does."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    styled = "" if style is None else f", in the style {style.name}"
    attrs = {key: value for key, value in file.attrs.items() if key != MARK}
    attrs |= {
        "Conventions": CONVENTIONS,
        "standard_name_vocabulary": VOCABULARY,
        "id": f"{name}-{version}",
        "product_version": version,
        "date_created": now,
        "history": f"{now} exported by fluxforge from {name} {version}{styled}",
        **_coverage(part, axis),
        **_heights(file),
    }
    for key, value in DEFAULTS.items():
        attrs.setdefault(key, value)
    attrs.setdefault("summary", attrs.get("title", name))
    attrs.setdefault("comment", attrs.get("notice", "none"))
    made = file.copy()
    made.attrs = attrs
    for values in made.variables.values():
        # Else xarray gives every variable every height there is.
        values.encoding = {"coordinates": None, **values.encoding}
    for variable in made.data_vars.values():
        flags = "flag_values" in variable.attrs
        kind = "qualityInformation" if flags else "physicalMeasurement"
        variable.attrs.setdefault("coverage_content_type", kind)
        if flags:
            values = variable.attrs["flag_values"]
            variable.attrs["flag_values"] = np.asarray(values, variable.dtype)
    return made


def _with_codes(part: xr.Dataset) -> xr.Dataset:
    """Named cells of an axis as codes with meanings: CF has no coordinates made of text."""
    for name in [n for n, c in part.coords.items() if c.dtype.kind in "OTU" and c.dims == (n,)]:
        meanings = [str(label) for label in part[name].values]
        codes = np.arange(len(meanings), dtype=np.int8)
        attrs = {**part[name].attrs, "flag_values": codes, "flag_meanings": " ".join(meanings)}
        part = part.assign_coords({name: (name, codes, attrs)})
    return part


def _coverage(part: xr.Dataset, steps: Axis) -> dict[str, Any]:
    """ACDD has the times of the first and the last value; `time_bnds` says where that ends."""
    times = part["time"].values
    found: dict[str, Any] = {
        "time_coverage_start": f"{np.datetime_as_string(times[0], 's')}Z",
        "time_coverage_end": f"{np.datetime_as_string(times[-1], 's')}Z",
        "time_coverage_duration": _duration(steps, len(times)),
        "time_coverage_resolution": _duration(steps, 1),
    }
    edges: dict[str, tuple[float, float]] = {}
    for axis, units in (("lat", "degrees_north"), ("lon", "degrees_east")):
        if axis not in part.coords or part.sizes.get(axis, 0) < 2:
            continue
        values = part[axis].values
        width = float(values[1] - values[0])
        edges[axis] = (float(values[0]) - width / 2, float(values[-1]) + width / 2)
        found |= {
            f"geospatial_{axis}_min": float(values.min()),
            f"geospatial_{axis}_max": float(values.max()),
            f"geospatial_{axis}_units": units,
            f"geospatial_{axis}_resolution": f"{width:g} degrees",
        }
    return found | _bounds(edges)


def _duration(axis: Axis, cells: int) -> str:
    """So many cells of a time axis, as ISO 8601 writes it: P30D, PT1H, P1M."""
    quanta = axis.step * cells
    if axis.unit == "month":
        return f"P{quanta}M"
    days, rest = divmod(quanta, DAY)
    parts = {"H": rest // 3600, "M": rest // 60 % 60, "S": rest % 60}
    clock = "".join(f"{number}{unit}" for unit, number in parts.items() if number)
    return "P" + (f"{days}D" if days else "") + (f"T{clock}" if clock else "")


def _bounds(edges: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """The outline in well-known text, latitude first as EPSG:4326 has it."""
    if len(edges) < 2:
        return {}
    (south, north), (west, east) = edges["lat"], edges["lon"]
    corners = [(south, west), (south, east), (north, east), (north, west), (south, west)]
    outline = ", ".join(f"{lat:g} {lon:g}" for lat, lon in corners)
    return {
        "geospatial_bounds": f"POLYGON (({outline}))",
        "geospatial_bounds_crs": "EPSG:4326",
    }


def _heights(part: xr.Dataset) -> dict[str, Any]:
    heights = [c for c in part.coords.values() if c.attrs.get("standard_name") == "height"]
    values = [float(height) for height in heights] or [0.0]
    return {
        "geospatial_vertical_min": min(values),
        "geospatial_vertical_max": max(values),
        "geospatial_vertical_positive": "up",
        "geospatial_vertical_units": "m",
        "geospatial_bounds_vertical_crs": "EPSG:5829",
    }
