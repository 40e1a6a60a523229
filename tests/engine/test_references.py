"""Archives by reference: the same values as a copy, read where they lie, and never wrong ones."""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from pathlib import Path

import boto3
import fsspec
import numpy as np
import pytest
import toynetcdf
from depths import SECRET, World, as_if_far_away, assert_same, bytes_of, day
from faulty import Proxy
from faulty import Request as Asked
from moto.server import ThreadedMotoServer
from toynetcdf import CHUNKED, DEPTH, FORMS, LATE, PAIRS, PRODUCT, ZIPPED, numbers
from werkzeug.serving import WSGIRequestHandler

from fluxengine import config, references, requested
from fluxengine.declare import Reference
from fluxengine.errors import (
    ChangedFile,
    ConfigError,
    DeclarationError,
    StoreMismatch,
    StoreUnreachable,
)
from fluxengine.estimate import Resources, estimates
from fluxengine.explain import explain
from fluxengine.ledger import FAILED_STEP, KEPT, VALID
from fluxengine.place import StorageOptions
from fluxengine.plan import make_plan
from fluxengine.run import run
from fluxengine.store import Store, open_dataset, read_published
from fluxengine.task import Job, Outcome, run_block
from fluxengine.verify import verify

BUCKET, KEY = "depths", "AKIDOFTHETEST"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Ten days of files, in three blocks."""
    made = World(tmp_path)
    made.write(*range(1, 11))
    return made


# --- the same values -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_file_gives_what_a_copy_gives(tmp_path: Path, form: str) -> None:
    source, told = FORMS[form]
    world = World(tmp_path, source)
    for number in range(1, 11):
        toynetcdf.write(world.file(number), numbers(day(number)), **told)
    assert world.run("copy").marked == world.run("reference").marked == ()
    assert_same(world, "depth")
    raw = read_published(world.store("reference"), "depth")["depth"][...]
    assert np.array_equal(raw, np.stack([numbers(day(n)) for n in range(1, 11)]))
    assert world.findings() == []


def test_chunks_that_a_file_leaves_out_hold_no_values(tmp_path: Path) -> None:
    world = World(tmp_path)
    for number in range(1, 11):
        raw = numbers(day(number))
        raw[4:] = toynetcdf.FILL
        toynetcdf.write(world.file(number), raw, rows=slice(0, 4), **ZIPPED)
    world.run("copy")
    assert world.run().marked == ()
    assert_same(world, "depth")
    assert world.findings() == []


def test_a_product_of_either_has_the_same_keys_and_content(world: World) -> None:
    world = replace(world, dataset=PRODUCT)
    for by in ("copy", "reference"):
        assert world.run(by).blocks == {"depth": 3, "doubled": 3}
    assert_same(world, "doubled")
    keys = [
        [world.ledger(by, name).record(n)["key"] for name in ("depth", "doubled") for n in range(3)]
        for by in ("copy", "reference")
    ]
    assert keys[0] == keys[1]
    assert world.run().did_nothing


def test_plan_and_run_agree_on_requests_and_bytes(world: World) -> None:
    world = replace(world, dataset=PRODUCT, days=8)
    expected = {e.dataset: e for e in estimates(make_plan(world.request()), Resources())}
    actual = world.run().actual
    for name in ("depth", "doubled"):
        assert expected[name].gets == actual[name].traffic.gets
        assert expected[name].puts == actual[name].traffic.puts
    # Each file once to be decoded, and its two chunks once through their references.
    assert actual["depth"].traffic.gets == 8 * 3
    assert actual["depth"].traffic.puts == 2  # the flags of two blocks


def test_lineage_names_the_files(world: World) -> None:
    world.run()
    point = {"time": "2020-01-02", "lat": "50", "lon": "30"}
    told = explain(world.store("reference"), "depth", point)
    file = told.files["2020-01-02"]
    assert file["path"] == str(world.file(2))
    assert file["sha256"] == hashlib.sha256(world.file(2).read_bytes()).hexdigest()
    copied = world.run("copy") and explain(world.store("copy"), "depth", point)
    assert told.values == copied.values


# --- OISST ---------------------------------------------------------------------------------------


def oisst_world(folder: Path, days: int, write: Callable[[Path, date], None]) -> World:
    from fluxrecipes.sources import oisst

    world = World(folder, oisst.OISST, days=days)
    for number in range(1, days + 1):
        file = world.archive / oisst.path(day(number))
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, day(number))
    return world


def simulated(file: Path, when: date) -> None:
    from fluxrecipes.nature.files.oisst import write

    rough = np.random.default_rng(when.toordinal()).normal(size=(180, 360)).repeat(4, 0)
    fields = {"sst": 15 + rough, "anom": rough, "err": 0.2 + rough**2 / 100}
    fields = {name: values.repeat(4, 1) for name, values in fields.items()}
    fields["sst"][:200, :400] = np.nan
    fields["ice"] = np.full((720, 1440), np.nan)
    fields["ice"][:40] = 0.5
    write(file, when, fields, name=file.name)


def assert_small_and_same(world: World) -> None:
    for by in ("copy", "reference"):
        summary = world.run(by)
        seconds = summary.actual["oisst"].task_seconds / world.days
        stored = bytes_of(world.folder / by)
        traffic = summary.actual["oisst"].traffic
        print(f"{by}: {stored:,} bytes stored, {seconds:.2f} s a file, {traffic}")
    assert_same(world, "oisst")
    assert bytes_of(world.folder / "reference") < 0.05 * bytes_of(world.folder / "copy")
    assert verify(world.store("reference"), "oisst").findings == ()


def test_oisst_by_reference_equals_its_copy_in_a_twentieth_of_the_bytes(tmp_path: Path) -> None:
    assert_small_and_same(oisst_world(tmp_path, 2, simulated))


def test_the_real_oisst_file(tmp_path: Path, real_data: Path) -> None:
    real = date(2026, 7, 1)
    given = real_data / "oisst" / "oisst-avhrr-v02r01.20260701.nc"

    world = oisst_world(tmp_path, 0, simulated)
    world.archive.mkdir()
    shutil.copy(given, world.archive)
    dated = replace(world.request(), first=real, last=real)
    for by in ("copy", "reference"):
        referred = world.request(by).by_reference
        one = replace(dated, store=world.store(by), by_reference=referred)
        made = run(one, lambda: nullcontext(as_if_far_away)).actual["oisst"]
        print(f"{by}: {bytes_of(tmp_path / by):,} bytes, {made.task_seconds:.2f} s, {made.traffic}")
    assert_same(world, "oisst")
    assert bytes_of(tmp_path / "reference") < 0.05 * bytes_of(tmp_path / "copy")


# --- drift ---------------------------------------------------------------------------------------

DRIFTS = {
    "its scale_factor is 0.02, not 0.01": {"scale": 0.02},
    "its add_offset is 4.0, not 5.0": {"offset": 4.0},
    "its _FillValue is -32768, not -999": {"fill": -32768},
    "its data type is int32, not int16": {"dtype": "i4"},
    "its chunks are (1, 8, 12), not (4, 12)": {"chunksizes": (1, 8, 12)},
    "its chunks are (2, 4, 12), not (4, 12)": {"chunksizes": (2, 4, 12)},
    "its filters are zlib, not shuffle, zlib": {"shuffle": False},
    "its filters are fletcher32, shuffle, zlib, not shuffle, zlib": {"fletcher32": True},
    "its filters are none, not shuffle, zlib": {"zlib": False, "shuffle": False},
    "its bytes are big-endian": {"dtype": ">i2", "endian": "big"},
}


def test_a_file_of_another_form_is_a_failed_step_that_says_why(tmp_path: Path) -> None:
    world = World(tmp_path, days=len(DRIFTS) + 1)
    world.write(1)
    for number, form in enumerate(DRIFTS.values(), 2):
        world.write(number, **form)
    for number, (words, mark) in enumerate(zip(DRIFTS, world.run().marked, strict=True), 2):
        assert words in mark and "by copy" in mark and str(world.file(number)) in mark
    assert world.ledger().states[:, 0].tolist() == [VALID] + [FAILED_STEP] * len(DRIFTS)
    assert np.isnan(world.depth()[1:]).all() and world.findings() == []
    world.run("copy")  # decodes and packs again
    assert (world.ledger("copy").states == VALID).all()
    assert np.array_equal(world.depth()[0], world.depth("copy")[0], equal_nan=True)
    assert world.run().did_nothing  # until a file is another one
    world.write(6)
    assert world.run().blocks == {"depth": 1}
    assert world.ledger().states[5, 0] == VALID


def test_a_drifted_file_in_one_piece_where_all_others_are_netcdf3(tmp_path: Path) -> None:
    """As in ERA5's old form: each file has a packing of its own."""
    source, told = FORMS["NetCDF3"]
    world = World(tmp_path, source)
    for number in range(1, 11):
        scale = 0.01 if number < 4 else 0.01 + number / 1000
        toynetcdf.write(world.file(number), numbers(day(number)), scale=scale, **told)
    marked = world.run().marked
    assert len(marked) == 7 and "its scale_factor is 0.014, not 0.01" in marked[0]
    assert (world.ledger().states == VALID).sum() == 3


def test_flags_of_a_file_alone_tell_a_filter_that_one_chunk_skips(world: World) -> None:
    """HDF5 may leave a filter out for a chunk: then its bytes are not what the file promises."""
    import h5py

    world.write(6, zlib=True, shuffle=True)
    with h5py.File(world.file(6), "r+") as file:
        plain = numbers(day(6))[:4].astype("<i2").tobytes()
        file["d"].id.write_direct_chunk((0, 0, 0), plain, filter_mask=0b11)
    world.run("copy")
    summary = world.run()
    assert ["cannot be read in place" in mark for mark in summary.marked] == [True]
    assert world.ledger("copy").states[5, 0] == VALID
    assert world.ledger().states[5, 0] == FAILED_STEP


def test_damaged_files_are_never_wrong_values(world: World) -> None:
    random = np.random.default_rng(0)
    for number in range(1, 11):
        body = bytearray(world.file(number).read_bytes())
        for at in random.integers(0, len(body), 1 + number // 4):
            body[at] ^= 1 << int(random.integers(8))
        world.file(number).write_bytes(body[: len(body) - (number == 9) * 100])
    world.write(10)
    for by in ("copy", "reference"):
        world.run(by)
    good = world.ledger().states[:, 0] == VALID
    print(f"{int(good.sum())} of 10 damaged files could be read, by reference")
    assert np.array_equal(world.depth()[good], world.depth("copy")[good], equal_nan=True)
    assert not (good & (world.ledger("copy").states[:, 0] != VALID)).any()
    assert np.isnan(world.depth()[~good]).all()
    assert world.findings() == []


# --- files that change, and go -------------------------------------------------------------------


def in_place(file: Path, change: Callable[[bytearray], None]) -> None:
    """Change bytes and nothing else: same inode, size and time, as a disk that rots."""
    stat = file.stat()
    body = bytearray(file.read_bytes())
    change(body)
    with file.open("r+b") as opened:
        opened.write(body)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_verify_finds_a_flipped_byte_of_a_file(tmp_path: Path) -> None:
    source, told = FORMS["in one piece"]  # no codec that would notice
    world = World(tmp_path, source)
    for number in range(1, 11):
        toynetcdf.write(world.file(number), numbers(day(number)), **told)
    world.run()

    def flip(body: bytearray) -> None:
        at = body.index(numbers(day(7))[3].tobytes())
        body[at + 5] ^= 4

    in_place(world.file(7), flip)
    assert world.findings() == ["2020-01-07: other values than were written"]


def test_a_file_that_changed_is_refused_until_it_is_taken_again(world: World) -> None:
    world.run()
    older = world.file(3).stat().st_mtime - 1e6
    world.write(3, seed=1)
    os.utime(world.file(3), (older, older))  # a mirror keeps the provider's times
    with pytest.raises(ChangedFile, match=r"20200103.nc, .* changed since it was ingested. Run"):
        world.depth()
    assert len(world.findings()) == 2 and "20200103.nc" in world.findings()[0]
    assert world.run().blocks == {"depth": 1}
    world.run("copy")
    assert_same(world, "depth")
    assert world.findings() == []


def test_a_file_with_other_times_but_the_same_bytes_changes_nothing_downstream(
    world: World,
) -> None:
    world = replace(world, dataset=PRODUCT)
    world.run()
    before = world.content("reference")
    os.utime(world.file(3))
    shutil.copy2(world.file(8), world.folder / "restored")  # the same time, another inode
    (world.folder / "restored").replace(world.file(8))
    with pytest.raises(ChangedFile):
        world.depth()
    assert world.run().blocks == {"depth": 2}
    assert world.content("reference") == before and world.findings() == []
    assert world.run().did_nothing


def test_a_file_that_is_gone(world: World) -> None:
    world = replace(world, dataset=PRODUCT)
    world.run()
    away = world.file(3).rename(world.folder / "away.nc")
    with pytest.raises(ChangedFile, match=r"20200103.nc, .* is gone from its archive. Bring"):
        world.depth()
    assert world.findings()[0].endswith(
        "20200103.nc, which its values are read from, is gone from its archive."
    )
    assert world.run().did_nothing  # no reason to give values up: it may come back
    away.rename(world.file(3))
    assert world.findings() == []
    world.depth()


def test_a_product_stops_at_a_file_that_is_gone(world: World) -> None:
    world.run()
    world.file(3).rename(world.folder / "away.nc")
    with pytest.raises(ChangedFile, match="is gone from its archive"):
        replace(world, dataset=PRODUCT).run()
    world.file(3).parent.joinpath("elsewhere").mkdir()
    (world.folder / "away.nc").rename(world.file(3))
    assert replace(world, dataset=PRODUCT).run().blocks == {"doubled": 3}


def test_a_damaged_revision_takes_the_values_with_it(world: World) -> None:
    """A copy would keep them; what referred to the old file cannot."""
    for by in ("copy", "reference"):
        world.run(by)
    world.file(3).write_bytes(b"<html>come back later</html>")
    assert "cannot be read" in world.run().marked[0]
    world.run("copy")
    assert world.ledger("copy").states[2, 0] == KEPT
    assert world.ledger().states[2, 0] == FAILED_STEP
    assert np.isnan(world.depth()[2]).all() and world.findings() == []
    world.write(3, seed=1)
    for by in ("copy", "reference"):
        world.run(by)
    assert_same(world, "depth")


def test_a_preliminary_file_is_replaced_by_the_final_one(tmp_path: Path) -> None:
    world = World(tmp_path, LATE)
    world.write(*range(1, 10))
    early = world.archive / toynetcdf.preliminary(day(10))
    toynetcdf.write(early, numbers(day(10), seed=5), **ZIPPED)
    assert world.run().marked == ()
    world.file(10).write_bytes(b"half a file")
    assert "kept" in world.run().marked[0]  # the preliminary file is still there to be read
    assert world.ledger().states[9, 0] == KEPT and world.findings() == []
    assert np.nanmax(np.abs(world.depth()[9] - unpacked(10, seed=5))) < 1e-4
    world.write(10)
    assert world.run().blocks == {"depth": 1}
    early.unlink()
    assert np.nanmax(np.abs(world.depth()[9] - unpacked(10))) < 1e-4
    assert world.findings() == []


def unpacked(number: int, seed: int = 0) -> np.ndarray:
    return DEPTH.packing.unpack(numbers(day(number), seed))


def test_an_unfinished_run_goes_on_and_a_record_grows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(jobs: Iterable[Job]) -> Iterator[Outcome]:
        yield run_block(next(iter(jobs)))
        raise KeyboardInterrupt

    monkeypatch.setattr("fluxengine.run.BLOCKS_PER_COMMIT", 1)
    with pytest.raises(KeyboardInterrupt):
        run(world.request(), lambda: nullcontext(cut))
    assert world.run().blocks == {"depth": 2}
    world.write(*range(11, 17))
    longer = replace(world, days=16)
    summary = longer.run()
    assert summary.blocks == {"depth": 2}  # the last one had room
    # Two days of it are read as they are stored, for its shard of flags; six from their files.
    assert summary.actual["depth"].traffic.gets == 2 * (2 + 2) + 6 * 3
    longer.run("copy")
    assert_same(longer, "depth")


def test_an_archive_that_moved_is_referred_to_where_it_is_now(world: World) -> None:
    world.run()
    shutil.move(world.archive, world.folder / "mirror")
    moved = replace(world, root=str(world.folder / "mirror"))
    assert moved.run().blocks == {"depth": 3}
    moved.run("copy")
    assert_same(moved, "depth")


# --- what is refused -----------------------------------------------------------------------------


def test_a_copy_does_not_become_references_nor_the_other_way_round(world: World) -> None:
    for by, other in (("copy", "reference"), ("reference", "copy")):
        world.run(by)
        wrong = replace(world.request(other), store=world.store(by))
        with pytest.raises(StoreMismatch, match=f"stored by {by}; the run wants it by {other}"):
            run(wrong, lambda: nullcontext(as_if_far_away))


def test_what_cannot_be_referred_to_is_said_before_anything_is_made(world: World) -> None:
    none = replace(CHUNKED, references=())
    with pytest.raises(ConfigError, match="depth: its files cannot be read in place"):
        replace(world, dataset=none).run()
    for root, words in (
        (str(world.archive) + " é", "letters, digits"),
        ("https://example.org/depths", "only a folder and a bucket"),
    ):
        with pytest.raises(ConfigError, match=words):
            make_plan(replace(world, root=root).request())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Reference("depth", "d", (4, 12), ("szip",)), "filter 'szip'.*Known are shuffle"),
        (Reference("height", "d", (4, 12)), "no variable 'height' to refer to"),
        (Reference("depth", "d", (1, 4, 12)), "a length for each axis but the first"),
    ],
)
def test_a_declaration_that_contradicts_itself(wrong: Reference, words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        references.of(replace(CHUNKED, references=(wrong,)), "/archive")


def test_a_run_file_says_which_archives(world: World) -> None:
    text = (
        "product: doubled\nperiod: {first: 2020-01-01, last: 2020-01-10}\n"
        "archives: {a: ./archive, b: {root: s3://bucket/b, by: reference}}\n"
        "profiles: {local: {store: ./store}}\n"
    )
    path = world.folder / "run.yaml"
    path.write_text(text)
    archives = config.load(path).archives
    assert archives["a"].root == str(world.archive) and archives["a"].by == "copy"
    assert archives["b"].root == "s3://bucket/b" and archives["b"].by == "reference"
    path.write_text(text.replace("doubled", "toy"))  # a product that is installed
    run_file = config.load(path)
    asked = requested.of_product(run_file, run_file.profile("local"), create=False)
    assert asked.by_reference == {"b"} and asked.archives["b"] == "s3://bucket/b"
    path.write_text(text.replace("by: reference", "by: magic"))
    with pytest.raises(ConfigError, match=r"archives.b.*by"):
        config.load(path)


# --- buckets -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of an S3 server with one bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # Head and body of an answer in one packet: else each waits 40 ms for the other's receipt.
    WSGIRequestHandler.disable_nagle_algorithm = True
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """An empty bucket, seen through a proxy that counts; credentials in the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    with Proxy(server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield proxy
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def upload(world: World, *days: int) -> None:
    client = boto3.client("s3")
    for number in days:
        key = f"mirror/{toynetcdf.path(day(number))}"
        client.put_object(Bucket=BUCKET, Key=key, Body=world.file(number).read_bytes())


def test_an_archive_in_a_bucket(world: World, bucket: Proxy) -> None:
    upload(world, *range(1, 5))
    there = replace(world, root=f"s3://{BUCKET}/mirror", days=4)
    there.run("copy")
    bucket.restart()
    assert there.run().marked == ()
    asked = bucket.count("GET", ".nc")
    print(f"4 files: {asked} GET requests of them by reference")
    assert asked == 4 * 3  # to be decoded, and each chunk once in place
    assert_same(there, "depth")
    assert there.findings() == [] and there.run().did_nothing
    stored = [f.read_bytes() for f in (world.folder / "reference").rglob("*") if f.is_file()]
    assert not any(secret.encode() in body for body in stored for secret in (KEY, SECRET))

    world.write(3, seed=1)
    upload(world, 3)
    with pytest.raises(ChangedFile, match=r"s3://depths/mirror/2020/depth_20200103.nc, .* changed"):
        there.depth()
    assert there.run().blocks == {"depth": 1}
    there.run("copy")
    assert_same(there, "depth")
    boto3.client("s3").delete_object(Bucket=BUCKET, Key="mirror/2020/depth_20200103.nc")
    with pytest.raises(ChangedFile, match=r"chunk depth/c/2/\d/0 is read from is gone"):
        there.depth()


def test_files_of_several_days_in_a_bucket(tmp_path: Path, bucket: Proxy) -> None:
    """Two of them for each day, each known by an ETag of its own."""
    there = World(tmp_path, PAIRS, f"s3://{BUCKET}/mirror", days=5)

    def put(name: str, seed: int) -> None:
        days = [day(number) for number in range(1, 6)]
        file = tmp_path / name
        toynetcdf.write(file, np.stack([numbers(d, seed) for d in days]), days=days, **ZIPPED)
        key = f"mirror/{toynetcdf.pentad_path(day(1), name)}"
        boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())

    put("depth", 0)
    put("height", 1)
    there.run("copy")
    bucket.restart()
    assert there.run().marked == ()
    # Both files for each of two blocks; in place two chunks of each variable for each day.
    assert bucket.count("GET", ".nc") == 2 * 2 + 5 * 4
    assert_same(there, "depth")
    assert there.findings() == [] and there.run().did_nothing
    put("height", 2)
    with pytest.raises(ChangedFile, match=r"s3://depths/mirror/2020/height_1.nc, .* changed"):
        read_published(there.store("reference"), "depth")["height"][...]
    assert there.run().blocks == {"depth": 2}
    there.run("copy")
    assert_same(there, "depth")


def test_a_store_in_a_bucket_as_well(world: World, bucket: Proxy) -> None:
    upload(world, *range(1, 5))
    there = replace(world, root=f"s3://{BUCKET}/mirror", days=4)
    cloud = Store.at(f"s3://{BUCKET}/store", StorageOptions(), create=True)
    run(replace(there.request(), store=cloud), lambda: nullcontext(as_if_far_away))
    there.run("copy")
    copied = there.depth("copy")
    assert open_dataset(cloud.root, "depth")["depth"].values.tobytes() == copied.tobytes()
    assert verify(cloud, "depth").findings == ()


def test_a_bucket_that_breaks_replies_off(world: World, bucket: Proxy) -> None:
    upload(world, *range(1, 5))
    there = replace(world, root=f"s3://{BUCKET}/mirror", days=4)
    there.run()

    def choose(request: Asked) -> str | None:
        return ("cut", "503", "close")[request.number % 3] if request.number % 5 < 3 else None

    bucket.restart(choose)
    np.testing.assert_allclose(there.depth()[0], unpacked(1), rtol=1e-6)
    print(f"{bucket.broken} of {len(bucket.seen)} requests broken")
    assert bucket.broken > 4 and there.findings() == []


def test_a_bucket_that_never_answers(
    world: World, bucket: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world, *range(1, 5))
    there = replace(world, root=f"s3://{BUCKET}/mirror", days=4)
    there.run()
    monkeypatch.setattr("fluxengine.repository.PATIENCE", 1.0)
    bucket.restart(lambda request: "stall" if ".nc" in request.path else None)
    with pytest.raises(StoreUnreachable, match="no answer for 1 seconds"):
        there.depth()
    bucket.over.set()


def test_no_credentials_for_the_files(
    world: World, bucket: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world, *range(1, 5))
    there = replace(world, root=f"s3://{BUCKET}/mirror", days=4)
    there.run()
    bucket.restart(lambda request: "denied" if ".nc" in request.path else None)
    with pytest.raises(PermissionError, match="refuses these credentials"):
        there.depth()
