"""Archives that fail, stall and change: a web server and a bucket on loopback, and a folder."""

import errno
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import boto3
import fsspec
import pytest
import toyfiles
import xarray as xr
from faulty import Loopback
from moto.server import ThreadedMotoServer
from reportsworld import Reports, hourly
from toyworld import World, day

from fluxengine import executors, files, repository
from fluxengine.declare import Source
from fluxengine.errors import (
    ConfigError,
    DamagedFile,
    MissingFile,
    NoBucket,
    StoreDenied,
    StoreError,
    StoreUnreachable,
)
from fluxengine.files import FileId, local_copies, look
from fluxengine.grid import months
from fluxengine.plan import make_plan
from fluxengine.run import Summary, run
from fluxengine.stand import Request, _touches
from fluxengine.store import Store, open_dataset
from fluxengine.table_plan import make_plan as make_table_plan

DAYS = ("2020-01-30", "2020-01-31", "2020-02-01", "2020-02-02")
SOUND, STALL = 0, -1
Choice = Callable[[str, str], int]  # from method and path to SOUND, STALL or a status


@dataclass
class Web(Loopback):
    """A web server over a folder that fails as it is told, and notes what it was asked."""

    folder: Path
    choose: Choice = lambda method, path: SOUND
    seen: list[str] = field(default_factory=list)

    def _handler(self) -> Callable[..., SimpleHTTPRequestHandler]:
        web = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Nothing is told."""

            def send_head(self) -> Any:
                web.seen.append(f"{self.command} {self.path}")
                status = web.choose(self.command, self.path)
                if status == STALL:
                    web.over.wait(10)
                if status == SOUND:
                    return super().send_head()
                self.send_error(503 if status == STALL else status)
                return None

        return partial(Handler, directory=str(self.folder))

    def fail(self, status: int, part: str, method: str = "", times: int = 1_000_000) -> None:
        """Answer the next requests for what is named so with a status, or with nothing."""
        left = [times]

        def choose(asked: str, path: str) -> int:
            if part not in path or not asked.startswith(method) or not left[0]:
                return SOUND
            left[0] -= 1
            return status

        self.choose = choose


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits before an archive is asked again."""
    monkeypatch.setattr(repository, "WAITS", (0.0, 0.0))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    folder = tmp_path / "web"
    folder.mkdir()
    with Web(folder) as running:
        yield running


def write(web: Web, path: str, value: int) -> Path:
    """A day's file of the source `FINAL`."""
    file = web.folder / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({file.stem: [value] * 6}))
    return file


def request(root: str, folder: Path, source: Source = toyfiles.FINAL) -> Request:
    store = Store.at(folder / "store", create=True)
    first, last = (toyfiles.GRID.step_axis.day(at) for at in (29, 32))
    return Request(source, first, last, store, {"tiny": root})


def go(asked: Request) -> Summary:
    return run(asked, partial(nullcontext, executors.serial))


def first_numbers(folder: Path) -> list[float]:
    numbers: xr.DataArray = open_dataset(folder / "store", "final")["number"]
    return numbers[:, 0].fillna(0).values.tolist()


@pytest.fixture
def published(web: Web, tmp_path: Path) -> Request:
    """Four days of final files on the web, with preliminary ones beside them, as published."""
    for number, name in enumerate(DAYS, start=1):
        write(web, f"final/{name}.json", number)
        write(web, f"preliminary/{name}.json", 9)
    asked = request(web.url, tmp_path)
    assert not go(asked).marked
    return asked


# --- a web server that fails ---------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_a_server_that_fails_has_not_said_that_a_file_is_gone(
    web: Web, published: Request, tmp_path: Path, status: int
) -> None:
    web.fail(status, "final/2020-01-31")
    kind = StoreDenied if status == 403 else StoreUnreachable
    with pytest.raises(kind, match=rf"final/2020-01-31\.json: the archive does not .*: {status} "):
        go(published)
    assert first_numbers(tmp_path) == [1, 2, 3, 4]
    assert sum("GET /final/2020-01-31" in seen for seen in web.seen) == 1 + 3  # tried again


def test_a_server_that_fails_for_a_moment_is_asked_again(web: Web, published: Request) -> None:
    web.fail(503, "final/2020-01-31", times=3)  # each time HEAD and GET
    assert go(published).did_nothing


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_is_absent_where_the_server_says_so(web: Web, tmp_path: Path, status: int) -> None:
    for name in DAYS:
        write(web, f"preliminary/{name}.json", 9)
        write(web, f"final/{name}.json", 1)
    web.fail(status, "final/2020-01-31")
    assert not go(request(web.url, tmp_path)).marked
    assert first_numbers(tmp_path) == [1, 9, 1, 1]


def test_a_server_that_is_down_is_not_taken_for_an_empty_archive(tmp_path: Path) -> None:
    with Web(tmp_path) as gone:
        url = gone.url
    with pytest.raises(StoreUnreachable, match=r"does not answer.* connect "):
        go(request(url, tmp_path))


def test_a_download_that_fails_once_is_tried_again(web: Web, tmp_path: Path) -> None:
    for name in DAYS:
        write(web, f"final/{name}.json", 5)
    web.fail(503, "final/2020-01-31", "GET", times=1)
    assert not go(request(web.url, tmp_path)).marked
    assert first_numbers(tmp_path) == [5, 5, 5, 5]


def test_a_download_that_keeps_failing_stops_the_run_and_marks_no_day(
    web: Web, tmp_path: Path
) -> None:
    for name in DAYS:
        write(web, f"final/{name}.json", 5)
    web.fail(503, "final/2020-01-31", "GET")
    with pytest.raises(StoreUnreachable, match=r"final/2020-01-31\.json: .* 503 Service Unavail"):
        go(request(web.url, tmp_path))
    assert not Store.at(tmp_path / "store").repository("final").versions


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_vanished_before_it_was_fetched(web: Web, status: int) -> None:
    write(web, "final/2020-01-31.json", 1)
    web.fail(status, "2020-01-31", "GET")
    planned = FileId(f"{web.url}/final/2020-01-31.json", -1, "")
    with pytest.raises(MissingFile, match="vanished"), local_copies(planned):
        pass


@pytest.mark.parametrize("limit", ["LOOK", "STALL"])
def test_a_server_that_stalls_is_given_up(
    web: Web, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    write(web, "final/2020-01-31.json", 1)
    monkeypatch.setattr(files, limit, 0.2)
    web.fail(STALL, "2020-01-31")
    planned = FileId(f"{web.url}/final/2020-01-31.json", -1, "")
    ask: Callable[[], Any] = partial(look, web.url, ["final/2020-01-31.json"])
    if limit == "STALL":
        ask = local_copies(planned).__enter__
    began = time.monotonic()
    with pytest.raises(StoreUnreachable, match="nothing came for too long"):
        ask()
    assert time.monotonic() - began < 8


def test_settings_of_fsspec_are_kept_beside_the_limits(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(web, "final/2020-01-31.json", 1)
    given = {"client_kwargs": {"headers": {"X-Who": "us"}}}
    monkeypatch.setitem(fsspec.config.conf, "http", given)
    system, _ = files._opened(web.url, total=7.0)
    assert system.client_kwargs["headers"] == {"X-Who": "us"}
    assert system.client_kwargs["timeout"].total == 7
    assert look(web.url, ["final/2020-01-31.json"])[0] is not None


@pytest.mark.parametrize("root", ["nosuch://archive", "ftp://127.0.0.1:9/archive"])
def test_an_address_that_leads_nowhere_is_said_in_words(root: str) -> None:
    with pytest.raises(StoreError, match=r"archive (cannot be reached|does not)"):
        look(root, ["2020/day.json"])


# --- changes -------------------------------------------------------------------------------------


def test_a_file_on_the_web_that_changed_at_the_same_size_is_read_again(
    web: Web, published: Request, tmp_path: Path
) -> None:
    assert go(published).did_nothing
    file = write(web, "final/2020-01-31.json", 7)
    os.utime(file, (1e9, 1e9))  # the server tells whole seconds
    assert go(published).blocks == {"final": 1}
    assert first_numbers(tmp_path) == [1, 7, 3, 4]
    assert go(published).did_nothing


@dataclass
class Watched:
    """What a person would see while files are looked for and read."""

    seen: dict[str, list[int]] = field(default_factory=dict)

    def begin(self, dataset: str, blocks: int) -> None:
        """Blocks are not looked at here."""

    def advance(self, dataset: str) -> None:
        """Neither is this."""

    @contextmanager
    def watch(self, what: str, files: int) -> Iterator[Callable[[], None]]:
        told = self.seen[what] = [files]
        yield lambda: told.append(1)


def test_looking_for_files_on_the_web_and_reading_new_ones_is_shown(
    published: Request, world: World
) -> None:
    web, local = Watched(), Watched()
    make_plan(published, web)
    assert web.seen["looking for final"] == [4, 1, 1, 1, 1]
    make_plan(world.request(), local)
    for what in ("looking for toy-passes", "reading toy-passes"):
        assert local.seen[what] == [12, *[1] * 12]


def test_files_of_several_days_and_folders_of_a_bucket_are_counted_once(
    bucket: Any, tmp_path: Path
) -> None:
    for name in ("2030/a.npy", "2031/b.npy"):
        bucket.put_object(Bucket="arch", Key=name, Body=b"1")
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"1")
    days = ["2030/a.npy", "2030/a.npy", "2030/c.npy", "2031/b.npy"]
    for root, counted in ((str(tmp_path), 3), ("s3://arch", 2)):
        seen = Watched()
        assert sum(file is not None for file in look(root, days, partial(seen.watch, "days"))) == 3
        assert seen.seen["days"] == [counted, *[1] * counted]


@pytest.mark.parametrize("name", ["ETag", "Last-Modified", "modify", "LastModified", "mtime"])
def test_each_kind_of_archive_tells_states_apart(name: str) -> None:
    assert files._stamp({"size": 3, name: "now"}) == "now"
    assert files._stamp({"size": 3, name: None}) == ""


# --- a bucket ------------------------------------------------------------------------------------


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an S3 server with an empty bucket `arch`; fsspec is told of it as well."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    host, port = moto.get_host_and_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOFTHETEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket="arch")
    yield client
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    moto.stop()


def upload(bucket: Any, world: World, *days: int) -> None:
    for number in days:
        key = str(world.file(number).relative_to(world.archive))
        bucket.put_object(Bucket="arch", Key=key, Body=world.file(number).read_bytes())


def test_what_comes_into_a_bucket_is_seen_by_a_process_that_lives_on(
    bucket: Any, world: World
) -> None:
    upload(bucket, world, *range(1, 12))
    asked = replace(world.request(), archives={"toy": "s3://arch"})
    (mark,) = go(asked).marked
    assert mark.startswith("toy-passes 2020-01-12: no file")
    world.write(5, seed=9)
    upload(bucket, world, 5, 12)
    summary = go(asked)
    assert summary.marked == () and summary.blocks["toy-passes"] == 2
    assert make_plan(asked).is_empty


@pytest.mark.parametrize("path", ["", "/toy/passes"])
def test_a_bucket_that_is_not_there_is_no_empty_archive(
    bucket: Any, world: World, path: str
) -> None:
    asked = replace(world.request(), archives={"toy": f"s3://arhc{path}"})
    with pytest.raises(NoBucket, match=r"s3://arhc.*no such bucket .*`archives`"):
        make_plan(asked)


def test_a_table_is_told_of_a_bucket_that_is_not_there(bucket: Any, tmp_path: Path) -> None:
    world = Reports(tmp_path)
    world.write("moorings/tao/a_dy.txt", hourly("A", "2002-08-01", 2))
    asked = world.request()
    asked = replace(asked, archives={**asked.archives, "buoys": "s3://arhc/buoys"})
    with pytest.raises(NoBucket, match="no such bucket"):
        make_table_plan(asked)


def test_an_empty_bucket_is_an_empty_archive(bucket: Any, world: World) -> None:
    assert look("s3://arch", ["2020/a.npy"]) == [None]


# --- a folder ------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_looked_at_marks_its_day(made: World) -> None:
    before = made.content()
    made.file(5).unlink()
    made.file(5).symlink_to(made.file(5))
    (mark,) = made.run().marked
    assert "2020-01-05" in mark and "Too many levels of symbolic links" in mark
    assert made.content() == before


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_disk_that_fails_for_one_file_marks_its_day(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def failing(path: Any, stat: Callable[..., Any] = os.stat, **more: Any) -> Any:
        if str(path) == str(world.file(5)):
            raise OSError(number, os.strerror(number), str(path))
        return stat(path, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", failing)
        patch.setattr(files, "file_digest", lambda path: failing(path) and "00" * 32)
        (planned,) = world.plan(8).datasets[0].will_run[1:]
        assert planned.why == ("never written",)
        (mark,) = world.run(8).marked
    assert "2020-01-05" in mark and os.strerror(number) in mark
    assert world.run(8).marked == ()


@pytest.mark.parametrize("name", ["", "2020"])
def test_a_folder_that_cannot_be_listed_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)

    def refusing(path: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(StoreDenied, match="cannot be read: Permission denied"):
        look(str(tmp_path), [f"{name}/a_*.npy".lstrip("/")])


def test_a_notice_that_is_no_text_is_refused_in_words(world: World) -> None:
    (world.archive / "NOTICE.txt").write_bytes("für alle".encode("latin-1"))
    with pytest.raises(DamagedFile, match=r"NOTICE\.txt: it is no text in UTF-8\. Save it"):
        world.plan()
    (world.archive / "NOTICE.txt").write_bytes("für alle".encode())
    assert world.plan().datasets[0].stand.layout.attrs["notice"] == "für alle"


# --- periods -------------------------------------------------------------------------------------


def test_a_period_without_data_is_the_same_error_with_a_store_and_without(made: World) -> None:
    asked = made.request()
    asked = replace(asked, first=day(1).replace(year=1919), last=day(12).replace(year=1919))
    for store in (asked.store, None):
        with pytest.raises(ConfigError, match=r"nothing lies between 1919-01-01 .*2020-01-01"):
            make_plan(replace(asked, store=store))


def test_a_period_within_a_stored_month_is_no_period_without_data() -> None:
    stored = months("2020-01", block=4, chunk=1).between(day(1), day(150))
    assert stored.length == 4
    assert not stored.meets(day(5), day(9)) and _touches(stored, day(5), day(9))
    assert not _touches(stored, date(1919, 1, 5), date(1919, 1, 9))
    assert not _touches(stored, date(2020, 5, 30), date(2020, 5, 31))
