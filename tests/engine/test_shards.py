"""What a task puts together is what Zarr would have written, as far as any reader can tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from zarr.storage import MemoryStore, StorePath

from fluxengine import layout
from fluxengine.errors import StoreMismatch
from fluxengine.shards import Alike, Encoding, Shard, store_all

FILL = {"u1": 255, "<i2": -32768, "<f4": np.nan, "<f8": np.nan}


def stored(shape: tuple[int, ...], shards: tuple[int, ...], chunks: tuple[int, ...], dtype: str):
    """An array as a dataset's variables are stored."""
    return zarr.create_array(
        MemoryStore(),
        name="values",
        shape=shape,
        shards=shards,
        chunks=chunks,
        dtype=dtype,
        fill_value=FILL[dtype],
        compressors=layout.COMPRESSORS,
        config={"write_empty_chunks": True},
    )


@st.composite
def arrays(draw: st.DrawFn) -> tuple[Any, Any]:
    """A stored array, and values for all of its cells."""
    chunks = draw(st.tuples(*[st.integers(1, 3)] * 3))
    times = draw(st.tuples(*[st.integers(1, 3)] * 3))
    shards = tuple(n * k for n, k in zip(chunks, times, strict=True))
    shape = draw(st.tuples(*[st.integers(1, 2 * n + 1) for n in shards]))
    dtype = draw(st.sampled_from(sorted(FILL)))
    return stored(shape, shards, chunks, dtype), draw(hnp.arrays(dtype, shape))


def shards_of(array: Any) -> Any:
    """Index and cells of each shard."""
    counts = [-(-n // shard) for n, shard in zip(array.shape, array.shards, strict=True)]
    for index in np.ndindex(*counts):
        ends = zip(index, array.shards, array.shape, strict=True)
        yield index, tuple(slice(i * n, min((i + 1) * n, end)) for i, n, end in ends)


@given(arrays(), st.data())
def test_zarr_reads_what_was_given_in_whatever_parts(pair: Any, data: st.DataObject) -> None:
    array, values = pair
    made = []
    for index, cells in shards_of(array):
        made.append(Shard(array, index))
        left = values[cells]
        while len(left):
            several = data.draw(st.integers(1, len(left)))
            given = left[:several].copy()
            made[-1].append(given)
            given[...] = 0  # it is nobody's any more
            left = left[several:]
    store_all(made)
    np.testing.assert_array_equal(array[...], values)
    np.testing.assert_array_equal(zarr.open_array(array.store_path, mode="r")[...], values)


@given(arrays())
def test_its_chunks_are_those_that_zarr_writes(pair: Any) -> None:
    """The same ones at each place of the index, whatever their order in the file."""
    array, values = pair
    array[...] = values
    theirs = {index: chunks(array, index) for index, _ in shards_of(array)}
    for index, cells in shards_of(array):
        shard = Shard(array, index)
        shard.append(values[cells])
        store_all([shard])
        assert chunks(array, index) == theirs[index]
    np.testing.assert_array_equal(array[...], values)


def chunks(array: Any, index: tuple[int, ...]) -> dict[int, bytes]:
    """Packed chunks of a shard by their place, by the form that Zarr's specification gives."""
    key = array.metadata.encode_chunk_key(index)
    content = zarr.core.sync.sync((array.store_path / key).get()).to_bytes()
    several = int(np.prod([s // c for s, c in zip(array.shards, array.chunks, strict=True)]))
    table = np.frombuffer(content[-16 * several - 4 : -4], "<u8").reshape(several, 2)
    return {
        place: b"" if offset == 2**64 - 1 else content[offset : offset + size]
        for place, (offset, size) in enumerate(table.tolist())
    }


@given(
    st.lists(hnp.arrays("<f4", 9000, elements=st.sampled_from([0, -0.0, np.nan, 1])), max_size=4)
)
def test_cells_that_arrays_have_alike_are_packed_once(several: list[Any]) -> None:
    """Each as if there were no others: not one bit of them is taken for another."""
    alike, encoding = Alike(), Encoding("<f4", 1, True)
    for cells in several:
        packed = alike.packed(encoding, cells)
        assert packed == encoding(cells)
        assert alike.packed(encoding, cells.copy()) is packed


def test_cells_are_packed_again_for_another_encoding() -> None:
    alike, cells = Alike(), np.arange(256, dtype="u1")
    one, other = (alike.packed(Encoding("|u1", 1, said), cells) for said in (True, False))
    assert len(one) == len(other) + 4  # a checksum


def test_steps_that_were_not_given_have_no_values() -> None:
    array = stored((5, 2), (4, 2), (1, 2), "u1")
    shard = Shard(array, (0, 0))
    shard.append(np.array([[1, 2], [3, 4]], "u1"))
    store_all([shard])
    assert array[...].tolist() == [[1, 2], [3, 4], [255, 255], [255, 255], [255, 255]]


def test_zarr_can_change_a_part_of_it() -> None:
    array = stored((4, 4), (4, 4), (2, 2), "<f4")
    shard = Shard(array, (0, 0))
    shard.append(np.arange(16, dtype="<f4").reshape(4, 4))
    store_all([shard])
    array[1, 1] = 99
    wanted = np.arange(16.0).reshape(4, 4)
    wanted[1, 1] = 99
    np.testing.assert_array_equal(array[...], wanted)


def test_a_damaged_index_is_told() -> None:
    array = stored((2, 2), (2, 2), (1, 2), "u1")
    shard = Shard(array, (0, 0))
    shard.append(np.ones((2, 2), "u1"))
    store_all([shard])
    path: StorePath = array.store_path / array.metadata.encode_chunk_key((0, 0))
    content = bytearray(zarr.core.sync.sync(path.get()).to_bytes())
    content[-12] ^= 1
    zarr.core.sync.sync(path.set(zarr.core.buffer.cpu.Buffer.from_bytes(bytes(content))))
    with pytest.raises(ValueError, match="checksum"):
        array[...]


@pytest.mark.parametrize(
    "other",
    [
        {"shards": None},
        {"compressors": [zarr.codecs.BloscCodec()]},
        {"compressors": None},
        {"filters": [zarr.codecs.TransposeCodec(order=(1, 0))]},
    ],
)
def test_an_array_that_is_stored_otherwise_is_refused(other: dict[str, Any]) -> None:
    as_ours = {"shards": (2, 2), "compressors": layout.COMPRESSORS}
    array = zarr.create_array(
        MemoryStore(), name="a", shape=(2, 2), chunks=(1, 2), dtype="u1", **(as_ours | other)
    )
    with pytest.raises(StoreMismatch, match="other codecs than this fluxforge writes"):
        Shard(array, (0, 0))
