"""How a dataset lies in Zarr: coordinates, sharded arrays, attributes; made before any write."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BytesCodec, ZstdCodec

from fluxengine import metadata
from fluxengine.declare import Array, Output, Reference, Variable, height_name
from fluxengine.digest import content_digest
from fluxengine.errors import StoreMismatch
from fluxengine.grid import DAY, Axis, Grid, in_unit
from fluxengine.outages import stored_values

# The checksum finds every flipped bit; default zstd reads most of them as wrong values.
COMPRESSORS = (ZstdCodec(level=1, checksum=True),)
# HDF5 filters, each as a codec for numbers of so many bytes. Levels do not matter to a reader.
FILTERS: dict[str, Callable[[int], dict[str, Any]]] = {
    "shuffle": lambda width: _codec("shuffle", elementsize=width),
    "zlib": lambda width: _codec("zlib", level=4),
    "fletcher32": lambda width: _codec("fletcher32"),
}
MARK = "fluxforge"
FORMAT = 2
DOMAIN = "domain"

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


def _codec(name: str, **configuration: int) -> dict[str, Any]:
    return {"name": f"numcodecs.{name}", "configuration": configuration}


@dataclass(frozen=True)
class Layout:
    """What a dataset looks like before a value is written.

    Parameters
    ----------
    name : str
    grid : Grid
        The dataset's own, closed: what its blocks and its ledger are counted on.
    outputs : tuple of Output
        What is stored on which closed grid; the first is the root.
    attrs : mapping
        Global attributes.
    domain : bool array, optional
        Cells that have values at all, one axis for each of the grid's but the step axis.
    references : tuple of Reference
        Variables whose chunks lie in the provider's files; empty for a copy.
    """

    name: str
    grid: Grid
    outputs: tuple[Output, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    domain: Array | None = None
    references: tuple[Reference, ...] = ()

    @property
    def copied(self) -> tuple[Output, ...]:
        """Outputs with the variables whose values themselves are stored."""
        elsewhere = {reference.variable for reference in self.references}
        return tuple(
            replace(o, variables=tuple(v for v in o.variables if v.name not in elsewhere))
            for o in self.outputs
        )

    def chunks_a_step(self, reference: Reference) -> int:
        """How many chunks of the provider's files a step has."""
        cells = zip(self.grid.shape[1:], reference.chunks, strict=True)
        return math.prod(-(-length // chunk) for length, chunk in cells)

    @property
    def inside(self) -> Array | None:
        """Tiles with a cell in the domain, shape (tiles,)."""
        if self.domain is None:
            return None
        blocks = self.grid.tile_blocks()
        return np.array([self.domain[tuple(spans)].any() for spans in blocks])


def create(root: zarr.Group, layout: Layout) -> None:
    """Write the template: coordinates and empty, sharded, checksummed arrays."""
    mark = {"format": FORMAT, "dataset": layout.name, **_described(layout)}
    root.update_attributes({**layout.attrs, MARK: json.dumps(mark)})
    for output in layout.outputs:
        group = _group(root, output)
        for name, axis in output.grid.axes.items():
            _create_coordinate(group, name, axis)
        for variable in output.variables:
            given = next((r for r in layout.references if r.variable == variable.name), None)
            if given is None:
                _create_variable(group, output.grid, variable)
            else:
                _create_referring(group, output.grid, variable, given)
        _create_heights(group, output)
    if layout.domain is not None:
        _create_domain(root, layout)


def extend(root: zarr.Group, layout: Layout) -> None:
    """Make room for the steps of a longer grid.

    Raises
    ------
    StoreMismatch
        Where anything but the length of the step axis differs.
    """
    check(root, layout)
    step = layout.grid.dims[0]
    for output in layout.outputs:
        for variable in output.variables:
            _array(root, output.named(variable)).resize(output.grid.shape)
        prefix = f"{output.group}/" if output.group else ""
        for name, values in coordinate_arrays(step, output.grid.step_axis).items():
            array = _array(root, prefix + name)
            array.resize(values.shape)
            array[...] = _storable(values)
    describe(root, layout)
    root.update_attributes({MARK: json.dumps({**read_mark(root), **_described(layout)})})


def differs(root: zarr.Group, layout: Layout) -> bool:
    """Whether any attributes are not those that are wanted."""
    if _as_read(root.attrs) != _global_attributes(root, layout):
        return True
    return any(True for _ in _described_otherwise(root, layout))


def _global_attributes(root: zarr.Group, layout: Layout) -> dict[str, Any]:
    """Those that are wanted, and the mark as it is stored."""
    wanted = {name: _json(value) for name, value in layout.attrs.items()}
    return _as_read(wanted) | {MARK: root.attrs[MARK]}


def _as_read(attrs: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(dict(attrs)))
    return found


def describe(root: zarr.Group, layout: Layout) -> None:
    """Bring the attributes of the dataset, its variables and coordinates up to date."""
    root.attrs.put(_global_attributes(root, layout))
    for array, attrs in _described_otherwise(root, layout):
        array.attrs.put(attrs)
    for output in layout.outputs:
        _create_heights(_group(root, output), output)


def _described_otherwise(root: zarr.Group, layout: Layout) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Arrays whose attributes are not those that they should have, with these."""
    for name, wanted in _attributes(layout).items():
        array = _array(root, name)
        stored = dict(array.attrs)
        right = _with_stored_codes(_as_read(wanted), stored)
        if stored != right:
            yield array, right


def _attributes(layout: Layout) -> dict[str, dict[str, Any]]:
    """Attributes of each variable and coordinate, by its path within the dataset."""
    found = {}
    for output in layout.outputs:
        prefix = f"{output.group}/" if output.group else ""
        for name, axis in output.grid.axes.items():
            found[prefix + name] = coordinate_attributes(name, axis)
        found |= {output.named(v): stored_attributes(v) for v in output.variables}
    return found


def _with_stored_codes(wanted: dict[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """A flag's attributes with the codes that are declared no more, for cells that hold them."""
    codes = _codes(stored) | _codes(wanted)
    if codes == _codes(wanted):
        return wanted
    told = dict(sorted(codes.items()))
    return wanted | {"flag_values": list(told), "flag_meanings": " ".join(told.values())}


def _codes(attrs: Mapping[str, Any]) -> dict[int, str]:
    """Code and meaning of a flag, from its attributes."""
    meanings = str(attrs.get("flag_meanings", "")).split()
    return dict(zip(attrs.get("flag_values", ()), meanings, strict=False))


def check(root: zarr.Group, layout: Layout) -> None:
    """Compare a stored dataset with what a run would write into it.

    Raises
    ------
    StoreMismatch
        Naming the first difference.
    StoreError
        Where units or codes differ because the stored metadata were altered.
    """
    stored, wanted = read_mark(root), _described(layout)
    for group, axes in wanted["grids"].items():
        _check_axes(stored["grids"].get(group, {}), axes, layout)
    if stored["variables"] != wanted["variables"]:
        raise StoreMismatch(
            f"{_other_variables(stored['variables'], wanted['variables'])}.",
            where=layout.name,
            mend="Other options of the run file make other variables. Give the run a new store, as"
            " they would hide the published ones, or the options as they were.",
        )
    _check_meanings(root, layout)
    if stored.get("references") != wanted.get("references"):
        kinds = ["by reference" if d.get("references") else "by copy" for d in (stored, wanted)]
        other = "" if kinds[0] != kinds[1] else " to files of another form"
        raise StoreMismatch(
            f"it is stored {kinds[0]}; the run wants it {kinds[1]}{other}.",
            where=layout.name,
            mend="Correct `by` of its archive in the run file, or give the run a new store.",
        )
    if stored["domain"] != wanted["domain"]:
        raise StoreMismatch(
            "its domain has other cells than the run's.",
            where=layout.name,
            mend="Give the run a new store.",
        )


def _check_meanings(root: zarr.Group, layout: Layout) -> None:
    """Units and codes say what stored numbers are, also in blocks that the run does not make."""
    for output in layout.outputs:
        for variable in output.variables:
            name = output.named(variable)
            with stored_values(layout.name):
                stored, wanted = dict(_array(root, name).attrs), stored_attributes(variable)
            for what, was, wants in _meant_otherwise(stored, wanted):
                metadata.check(root, layout.name)  # damage is no other declaration
                raise StoreMismatch(
                    f"{name} is stored with {what} '{was}'; the run wants '{wants}'.",
                    where=layout.name,
                    mend="Give the run a new store: blocks that it leaves would be misread.",
                )


def _meant_otherwise(
    stored: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """What stored numbers stand for, and would stand for."""
    if stored.get("units") != wanted.get("units"):
        yield "units", stored.get("units"), wanted.get("units")
    codes = _codes(wanted)
    for code, meaning in _codes(stored).items():
        if codes.get(code, meaning) != meaning:
            yield f"code {code}", meaning, codes[code]


def _check_axes(stored: Mapping[str, Any], wanted: Mapping[str, Any], layout: Layout) -> None:
    for name, axis in wanted.items():
        known = dict(stored.get(name, {}))
        if name == layout.grid.dims[0]:
            known = _as_long(known, axis)
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


def _as_long(known: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """A stored step axis as if it had grown to the wanted one's length: it may, at its end."""
    if not wanted["block"]:  # one block holds all of it: its shard cannot grow
        return known
    names = wanted["labels"][: len(known.get("labels", ()))]
    grown = {"size": wanted["size"]}
    if names == known.get("labels"):
        grown["labels"] = wanted["labels"]
    return known | grown


def stored_grid(root: zarr.Group) -> Grid:
    """The grid a dataset was made with."""
    return stored_grids(root)[""]


def stored_grids(root: zarr.Group) -> dict[str, Grid]:
    """The grid of each of its groups, the nameless one being its own."""
    grids = read_mark(root)["grids"]
    return {
        group: Grid(**{n: Axis(**{**a, "labels": tuple(a["labels"])}) for n, a in axes.items()})
        for group, axes in grids.items()
    }


def stored_variables(root: zarr.Group) -> dict[str, Grid]:
    """The grid of each stored variable, by its path within the dataset."""
    grids = stored_grids(root)
    return {name: grids[name.rpartition("/")[0]] for name in read_mark(root)["variables"]}


def domain_digest(domain: Array) -> str:
    """Hex digest of the mask of the cells that a dataset has."""
    return content_digest({DOMAIN: domain.astype("u1")}).hex()


def _described(layout: Layout) -> dict[str, Any]:
    # A copy says nothing of references: so did stores that were made before there were any.
    elsewhere = {r.variable: _plain(r) for r in layout.references}
    return ({"references": elsewhere} if elsewhere else {}) | {
        "grids": {output.group: _axes(output.grid) for output in layout.outputs},
        "variables": {o.named(v): asdict(v.packing) for o in layout.outputs for v in o.variables},
        "domain": None if layout.domain is None else domain_digest(layout.domain),
    }


def _plain(reference: Reference) -> dict[str, Any]:
    lists = {"chunks": list(reference.chunks), "filters": list(reference.filters)}
    found = asdict(reference) | lists
    del found["part"]  # where the files lie makes no other array
    return found


def _axes(grid: Grid) -> dict[str, Any]:
    axes = {name: asdict(axis) for name, axis in grid.axes.items()}
    for axis in axes.values():
        axis["labels"] = list(axis["labels"])
    return axes


def _other_variables(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What the run would write otherwise, in words."""
    both = [name for name in stored if name in wanted]
    said = {
        "the run writes no": [name for name in stored if name not in wanted],
        "it is stored without": [name for name in wanted if name not in stored],
        "the run packs otherwise": [name for name in both if stored[name] != wanted[name]],
    }
    words = "; ".join(f"{what} {', '.join(names)}" for what, names in said.items() if names)
    return words or "its variables are stored in another order"


def read_mark(root: zarr.Group) -> dict[str, Any]:
    """The layout as it was declared: JSON text, which every format can carry as an attribute."""
    mark: dict[str, Any] = json.loads(str(root.attrs[MARK]))
    if mark["format"] != FORMAT:
        raise StoreMismatch(
            f"it was written in format {mark['format']}; this fluxforge has {FORMAT}.",
            where=str(mark["dataset"]),
            mend="Use the fluxforge that wrote it, or give the run a new store.",
        )
    return mark


def _array(root: zarr.Group, name: str) -> Any:
    return root[name]


def _group(root: zarr.Group, output: Output) -> zarr.Group:
    return root.require_group(output.group) if output.group else root


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


def _create_referring(
    root: zarr.Group, grid: Grid, variable: Variable, reference: Reference
) -> None:
    """An array whose chunks are those of the provider's files: theirs in shape and codecs."""
    width = np.dtype(variable.packing.dtype).itemsize
    root.create_array(
        variable.name,
        shape=grid.shape,
        chunks=(1, *reference.chunks),
        dtype=variable.packing.dtype,
        fill_value=variable.packing.zarr_fill,
        serializer=BytesCodec(endian="big" if reference.big_endian else "little"),
        compressors=tuple(FILTERS[name](width) for name in reference.filters),
        dimension_names=grid.dims,
        attributes=stored_attributes(variable),
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


def _create_heights(group: zarr.Group, output: Output) -> None:
    """The heights of an output's variables, as far as they are not there."""
    for height in sorted({v.height for v in output.variables if v.height is not None}):
        if height_name(height) not in group:
            create_height(group, height)


def create_height(root: zarr.Group, height: float) -> None:
    """A scalar height coordinate [m]."""
    attrs: dict[str, Any] = {
        "standard_name": "height",
        "long_name": "height above the surface",
        "units": "m",
        "positive": "up",
        "axis": "Z",
    }
    array = root.create_array(
        height_name(height), shape=(), dtype="f8", compressors=COMPRESSORS, attributes=attrs
    )
    array[...] = height


def _create_domain(root: zarr.Group, layout: Layout) -> None:
    """The mask itself, so that a reader can tell "outside" from "never written"."""
    assert layout.domain is not None
    array = root.create_array(
        DOMAIN,
        shape=layout.domain.shape,
        dtype="u1",
        compressors=COMPRESSORS,
        dimension_names=layout.grid.dims[1:],
        attributes={
            "long_name": "where the product has cells",
            "flag_values": [0, 1],
            "flag_meanings": "outside inside",
        },
    )
    array[...] = layout.domain.astype("u1")


def _json(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _create_coordinate(root: zarr.Group, name: str, axis: Axis) -> None:
    attrs = coordinate_attributes(name, axis)
    for part, values in coordinate_arrays(name, axis).items():
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
        array[...] = _storable(values)


def _storable(values: Array) -> Array:
    return values.astype(np.dtypes.StringDType()) if values.dtype.kind == "U" else values


def coordinate_arrays(name: str, axis: Axis) -> dict[str, Array]:
    """The coordinate as stored, and its bounds where the axis is time."""
    if not axis.is_time:
        return {name: axis.coordinate()}
    edges = in_unit(axis.edges, axis.unit, "s", up=False) // _time_quantum(axis)
    return {name: edges[:-1], f"{name}_bnds": np.stack([edges[:-1], edges[1:]], axis=1)}


def coordinate_attributes(name: str, axis: Axis) -> dict[str, Any]:
    """CF attributes of a coordinate."""
    if axis.is_time:
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
    whole_days = axis.unit == "month" or (axis.step % DAY == 0 and axis.origin % DAY == 0)
    return DAY if whole_days else 1
