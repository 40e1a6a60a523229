"""How a table lies in Zarr: a group for each month, in CF's discrete sampling geometry of points.

``2002-08/`` holds one array a column along ``report``; ``file`` points into ``source_path`` and
``source_feed``. ``_parts/2002-08/`` holds, of a table that merges, the rows which others were put
together from, so that a changed file can be taken out again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import zarr

from fluxengine import layout, metadata, table_book
from fluxengine.declare import Array, Packing, Variable
from fluxengine.digest import json_digest
from fluxengine.errors import StoreError, StoreMismatch
from fluxengine.ledger import GROUP
from fluxengine.metadata import DIGESTS
from fluxengine.outages import stored_values
from fluxengine.repository import Repository
from fluxengine.table_book import Book, MonthEntry
from fluxengine.table_rows import Month, dtype_of
from fluxengine.tables import FILE, FILES, ROW, SOURCE_FEED, SOURCE_PATH, TIME, Table, is_name

PARTS = "_parts"
REPORT, SOURCE = "report", "source_file"  # dimensions
ROWS_PER_CHUNK = 100_000
FOR_READERS = {"Conventions": "CF-1.11", "featureType": "point"}
OWN: dict[str, dict[str, Any]] = {
    TIME: {
        "standard_name": "time",
        "long_name": "time of the report, UTC",
        "units": "seconds since 1970-01-01 00:00:00",
        "calendar": "standard",
        "units_metadata": "leap_seconds: none",
        "axis": "T",
    },
    FILE: {"long_name": f"file that the report was read from, counted along {SOURCE} from 0"},
    ROW: {"long_name": "place of the report among those of its file, counted from 0"},
    FILES: {"long_name": "number of files that the report was put together from"},
}


def create(root: zarr.Group, table: Table, attrs: Mapping[str, Any], book: Book) -> None:
    """Write the template: attributes and an empty book."""
    described = {"format": layout.FORMAT, "dataset": table.name, "table": _described(table)}
    root.update_attributes({**FOR_READERS, **attrs, layout.MARK: json.dumps(described)})
    save(root, book)


def save(root: zarr.Group, book: Book) -> None:
    """Write the book, and the digests of the metadata that belong to no month."""
    table_book.write(root, book)
    root[GROUP].update_attributes({DIGESTS: json.dumps(_own_metadata(root), sort_keys=True)})


def is_table(root: zarr.Group) -> bool:
    """Whether a dataset is a table."""
    return "table" in layout.read_mark(root)


def is_table_in(repository: Repository) -> bool:
    """Whether the dataset of a repository is a table."""
    with stored_values(str(repository.path)):
        return is_table(repository.read(repository.tip()))


def check(root: zarr.Group, table: Table) -> None:
    """Compare a stored table with what a run would write into it.

    Raises
    ------
    StoreMismatch
    """
    stored, wanted = layout.read_mark(root).get("table"), _described(table)
    if stored != wanted:
        raise StoreMismatch(
            "it holds other columns than the run writes, or in another packing, or merged by"
            " others.",
            where=table.name,
            mend="Give the run a new store.",
        )


def _described(table: Table) -> dict[str, Any]:
    columns = {column.name: asdict(column.packing) for column in table.columns}
    return {"columns": columns, "merges": list(table.merges)}


def attributes(table: Table, book: Book) -> dict[str, Any]:
    """Global attributes, with what the keepers of the archives want told."""
    told = dict.fromkeys(line for text in book.notices.values() for line in text.splitlines())
    attrs = {
        "title": table.title,
        "summary": table.summary,
        "institution": "; ".join(dict.fromkeys(feed.provider for feed in table.feeds)),
        "license": "; ".join(f"{feed.name}: {feed.licence}" for feed in table.feeds),
        "references": "; ".join(f"{feed.name}: {feed.cite}" for feed in table.feeds),
    }
    return attrs | ({"notice": "\n".join(told)} if told else {})


def described(root: zarr.Group, attrs: Mapping[str, Any], book: Book) -> Book:
    """Bring the global attributes up to date, everywhere; gives the book that says so."""
    if all(root.attrs.get(name) == value for name, value in attrs.items()):
        return book
    root.update_attributes(dict(attrs))
    for month, entry in book.months.items():
        _refuse_altered([month] if month_metadata(root, month) != entry.metadata else [], root)
        _group(root, month).update_attributes(dict(attrs))
        book = book.with_month(month, replace(entry, metadata=month_metadata(root, month)))
    return book


def check_metadata(root: zarr.Group) -> None:
    """Before metadata are changed: damage must not be signed.

    Raises
    ------
    StoreError
    """
    _refuse_altered(list(_own_altered(root)), root)


def _refuse_altered(paths: list[str], root: zarr.Group) -> None:
    for path in paths:
        raise StoreError(
            f"the metadata of {path} are not as they were written.",
            where=str(layout.read_mark(root)["dataset"]),
            mend="`fluxforge verify` tells all that is damaged; bring the store back from a copy.",
        )


# --- months --------------------------------------------------------------------------------------


def read_month(root: zarr.Group, month: str) -> Month:
    """A month as it is stored.

    Raises
    ------
    StoreError
        Where it cannot be read.
    """
    with stored_values(f"{root.store_path} {month}"):
        group: Any = root[month]
        names = (group[name][...].tolist() for name in (SOURCE_FEED, SOURCE_PATH))
        sources = tuple(zip(*names, strict=True))
        dtype = stored_dtype(root)
        rows = _read_rows(group, dtype)
        parts = f"{PARTS}/{month}"
        there = parts in root
        return Month(sources, rows, _read_rows(root[parts], dtype) if there else rows[:0])


def wrong_heights(root: zarr.Group, month: str) -> list[str]:
    """Scalar height coordinates of a month that are not the height they are named after."""
    group: Any = root[month]
    names = [name for name in group.array_keys() if group[name].ndim == 0]
    return [name for name in names if f"height_{float(group[name][...]):g}m" != name]


def stored_dtype(root: zarr.Group) -> np.dtype[np.void]:
    """The dtype of a stored table's rows."""
    described = layout.read_mark(root)["table"]
    columns = tuple(
        Variable(name, "1", name, packing=Packing(**packing))
        for name, packing in described["columns"].items()
    )
    return dtype_of(Table("", columns, (), "", "", tuple(described["merges"])))


def _read_rows(group: Any, dtype: np.dtype[np.void]) -> Array:
    rows = np.zeros(group[TIME].shape[0], dtype)
    for name in dtype.names or ():
        values = group[name][...]
        rows[name] = values.astype(dtype[name]) if dtype[name].kind == "S" else values
    return rows


def drop_month(root: zarr.Group, month: str) -> None:
    """Take a month out."""
    for path in (month, f"{PARTS}/{month}"):
        if path in root:
            del root[path]


def write_month(
    root: zarr.Group, table: Table, month: str, made: Month, attrs: Mapping[str, Any]
) -> MonthEntry:
    """Store a month in place of what was there."""
    drop_month(root, month)
    group = root.create_group(month, attributes={**FOR_READERS, **attrs})
    _write_rows(group, table, made.rows)
    for height in sorted({c.height for c in table.columns if c.height is not None}):
        layout.create_height(group, height)
    for name, at in ((SOURCE_FEED, 0), (SOURCE_PATH, 1)):
        _write(group, name, SOURCE, np.array([s[at] for s in made.sources], "U"), {})
    if len(made.parts):
        group = root.require_group(PARTS).create_group(month)
        _write_rows(group, table, made.parts)
    files, digest = len(made.sources), made.digest
    return MonthEntry(month, len(made.rows), files, digest, month_metadata(root, month))


def _write_rows(group: zarr.Group, table: Table, rows: Array) -> None:
    attrs = OWN | {column.name: _attributes(table, column) for column in table.columns}
    for name in rows.dtype.names or ():
        values = rows[name]
        _write(group, name, REPORT, values, attrs[name])


def _attributes(table: Table, column: Variable) -> dict[str, Any]:
    """CF attributes of a column; places and times are coordinates of the others."""
    attrs = layout.stored_attributes(column)
    if is_name(column):
        attrs.pop("units", None)
    if column.name in _places(table):
        return attrs
    known = attrs.get("coordinates", "").split()
    return attrs | {"coordinates": " ".join([TIME, *_places(table), *known])}


def _places(table: Table) -> list[str]:
    """Columns that say where a report was made, latitude first."""
    names = {column.standard_name: column.name for column in table.columns}
    return [names[place] for place in ("latitude", "longitude") if place in names]


def _write(group: zarr.Group, name: str, dim: str, values: Array, attrs: Mapping[str, Any]) -> None:
    text = values.dtype.kind in "SU"
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=(max(1, min(len(values), ROWS_PER_CHUNK)),),
        dtype="string" if text else values.dtype,
        compressors=layout.COMPRESSORS,
        dimension_names=(dim,),
        attributes=dict(attrs),
        config={"write_empty_chunks": True},
    )
    array[...] = values.astype(np.dtypes.StringDType()) if text else np.ascontiguousarray(values)


# --- metadata ------------------------------------------------------------------------------------


def month_metadata(root: zarr.Group, month: str) -> str:
    """Digest of all that describes a month to its readers."""
    paths = [path for path in (month, f"{PARTS}/{month}") if path in root]
    arrays = [f"{path}/{name}" for path in paths for name in _group(root, path).array_keys()]
    return json_digest(metadata.digests_of(root, sorted([*paths, *arrays])))


def _own_metadata(root: zarr.Group) -> dict[str, str]:
    arrays = [f"{GROUP}/{path}" for path, _ in _group(root, GROUP).members(max_depth=None)]
    return metadata.digests_of(root, ["", *arrays])


def altered(root: zarr.Group, book: Book) -> Iterator[str]:
    """Months, and other parts, whose metadata are not as they were written."""
    yield from _own_altered(root)
    for month, entry in book.months.items():
        if month in root and month_metadata(root, month) != entry.metadata:
            yield month


def _own_altered(root: zarr.Group) -> Iterator[str]:
    signed, found = json.loads(str(root[GROUP].attrs[DIGESTS])), _own_metadata(root)
    for path in sorted(signed.keys() | found.keys()):
        if signed.get(path) != found.get(path):
            yield path or "the dataset itself"


def stored_months(root: zarr.Group) -> list[str]:
    """Months that are there, whatever the book says."""
    return sorted(name for name in root.group_keys() if name not in (GROUP, PARTS))


def _group(root: zarr.Group, path: str) -> zarr.Group:
    found = root[path]
    if not isinstance(found, zarr.Group):
        raise StoreError(f"{path} is no group.", where=str(root.store_path))
    return found
