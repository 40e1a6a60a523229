"""How a dataset lies in Zarr: coordinates, sharded arrays, attributes; made before any write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from fluxengine.declare import Array, Variable
from fluxengine.errors import StoreMismatch
from fluxengine.grid import DAY, Axis, Grid

# The checksum finds every flipped bit; default zstd reads most of them as wrong values.
COMPRESSORS = (ZstdCodec(level=1, checksum=True),)
MARK = "fluxforge"
FORMAT = 1

SPACE = {
    "lat": {
        "standard_name": "latitude",
        "long_name": "latitude",
        "units": "degrees_north",
        "axis": "Y",
    },
    "lon": {
        "standard_name": "longitude",
        "long_name": "longitude",
        "units": "degrees_east",
        "axis": "X",
    },
}


@dataclass(frozen=True)
class Layout:
    """What a dataset looks like before a value is written.

    Parameters
    ----------
    name : str
    grid : Grid
        Closed.
    variables : tuple of Variable
    attrs : mapping
        Global attributes.
    """

    name: str
    grid: Grid
    variables: tuple[Variable, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)


def create(root: zarr.Group, layout: Layout) -> None:
    """Write the template: coordinates and empty, sharded, checksummed arrays."""
    mark = {"format": FORMAT, "dataset": layout.name, **_described(layout)}
    root.update_attributes({**layout.attrs, MARK: json.dumps(mark)})
    for name, axis in layout.grid.axes.items():
        _create_coordinate(root, name, axis)
    for variable in layout.variables:
        _create_variable(root, layout.grid, variable)
    for height in sorted({v.height for v in layout.variables if v.height is not None}):
        _create_height(root, height)


def extend(root: zarr.Group, layout: Layout) -> None:
    """Make room for the steps of a longer grid.

    Raises
    ------
    StoreMismatch
        Where anything but the length of the step axis differs.
    """
    check(root, layout)
    step = layout.grid.dims[0]
    for variable in layout.variables:
        _array(root, variable.name).resize(layout.grid.shape)
    for name, values in _coordinate_arrays(step, layout.grid.step_axis).items():
        array = _array(root, name)
        array.resize(values.shape)
        array[...] = values
    mark = json.dumps({**_mark(root), **_described(layout)})
    root.update_attributes({**layout.attrs, MARK: mark})


def describe(root: zarr.Group, layout: Layout) -> None:
    """Bring the global attributes up to date: a notice of an archive must reach old stores too."""
    if any(root.attrs.get(name) != value for name, value in layout.attrs.items()):
        root.update_attributes(dict(layout.attrs))


def check(root: zarr.Group, layout: Layout) -> None:
    """Compare a stored dataset with what a run would write into it.

    Raises
    ------
    StoreMismatch
        Naming the first difference.
    """
    stored, wanted = _mark(root), _described(layout)
    step = layout.grid.dims[0]
    for name, axis in wanted["grid"].items():
        known = dict(stored["grid"].get(name, {}))
        if name == step:
            known["size"] = axis["size"]
        if known != axis:
            differing = [part for part in axis if known.get(part) != axis[part]]
            was, wants = (
                ", ".join(f"{part} {which.get(part)}" for part in differing)
                for which in (known, axis)
            )
            raise StoreMismatch(
                f"axis '{name}' is stored with {was}; the run wants {wants}.",
                where=layout.name,
                mend="Give the run a new store, or the grid and first day the store was made with.",
            )
    if stored["variables"] != wanted["variables"]:
        raise StoreMismatch(
            f"it holds {_names(stored)}, the run writes {_names(wanted)}, or in another packing.",
            where=layout.name,
            mend="Give the run a new store: other variables would hide the published ones.",
        )


def stored_grid(root: zarr.Group) -> Grid:
    """The grid a dataset was made with."""
    grid = _mark(root)["grid"]
    return Grid(**{n: Axis(**{**a, "labels": tuple(a["labels"])}) for n, a in grid.items()})


def _described(layout: Layout) -> dict[str, Any]:
    axes = {name: asdict(axis) for name, axis in layout.grid.axes.items()}
    for axis in axes.values():
        axis["labels"] = list(axis["labels"])
    packings = {variable.name: asdict(variable.packing) for variable in layout.variables}
    return {"grid": axes, "variables": packings}


def _names(described: Mapping[str, Any]) -> str:
    return ", ".join(described["variables"])


def _mark(root: zarr.Group) -> dict[str, Any]:
    """The layout as it was declared: JSON text, which every format can carry as an attribute."""
    mark: dict[str, Any] = json.loads(str(root.attrs[MARK]))
    return mark


def _array(root: zarr.Group, name: str) -> Any:
    return root[name]


def _create_variable(root: zarr.Group, grid: Grid, variable: Variable) -> None:
    root.create_array(
        variable.name,
        shape=grid.shape,
        shards=grid.shard_shape,
        chunks=grid.chunk_shape,
        dtype=variable.packing.dtype,
        fill_value=variable.packing.zarr_fill,
        compressors=COMPRESSORS,
        dimension_names=grid.dims,
        attributes=stored_attributes(variable),
        # A block without any value is stored all the same: "no observation" is not "never written".
        config={"write_empty_chunks": True},
    )


def stored_attributes(variable: Variable) -> dict[str, Any]:
    """CF attributes with packing, as JSON-able values."""
    attrs = variable.cf_attributes()
    packing = variable.packing
    if not packing.is_float and not variable.is_flag:
        if (packing.scale, packing.offset) != (1.0, 0.0):
            attrs |= {"scale_factor": float(packing.scale), "add_offset": float(packing.offset)}
        if packing.fill is not None:
            attrs["_FillValue"] = packing.fill
    return {name: _json(value) for name, value in attrs.items()}


def _create_height(root: zarr.Group, height: float) -> None:
    attrs: dict[str, Any] = {
        "standard_name": "height",
        "long_name": "height above the surface",
        "units": "m",
        "positive": "up",
        "axis": "Z",
    }
    array = root.create_array(
        f"height_{height:g}m", shape=(), dtype="f8", compressors=COMPRESSORS, attributes=attrs
    )
    array[...] = height


def _json(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _create_coordinate(root: zarr.Group, name: str, axis: Axis) -> None:
    attrs = coordinate_attributes(name, axis)
    for part, values in _coordinate_arrays(name, axis).items():
        dims = (name,) if part == name else (name, "bounds")
        array = root.create_array(
            part,
            shape=values.shape,
            chunks=values.shape if axis.size else (4096, *values.shape[1:]),
            dtype="string" if values.dtype.kind == "U" else values.dtype,
            compressors=COMPRESSORS,
            dimension_names=dims,
            attributes=attrs if part == name else {},
        )
        array[...] = values.astype(np.dtypes.StringDType()) if values.dtype.kind == "U" else values


def _coordinate_arrays(name: str, axis: Axis) -> dict[str, Array]:
    """The coordinate as stored, and its bounds where the axis is time."""
    if axis.unit != "s":
        return {name: axis.coordinate()}
    edges = axis.edges // _time_quantum(axis)
    return {name: edges[:-1], f"{name}_bnds": np.stack([edges[:-1], edges[1:]], axis=1)}


def coordinate_attributes(name: str, axis: Axis) -> dict[str, Any]:
    """CF attributes of a coordinate."""
    if axis.unit == "s":
        unit = "days" if _time_quantum(axis) == DAY else "seconds"
        return {
            "standard_name": "time",
            "long_name": "start of the interval, UTC",
            "units": f"{unit} since 1970-01-01 00:00:00",
            "calendar": "standard",
            "units_metadata": "leap_seconds: none",
            "axis": "T",
            "bounds": f"{name}_bnds",
        }
    if name in SPACE:
        return dict(SPACE[name])
    return {"long_name": name.replace("_", " ")} | ({} if axis.labels else {"units": "1"})


def _time_quantum(axis: Axis) -> int:
    return DAY if axis.step % DAY == 0 and axis.origin % DAY == 0 else 1
