"""Stores on S3-compatible storage: a server on loopback, behind a proxy that breaks requests."""

import json
import logging
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import numpy as np
import pytest
from faulty import FAULTS, Choice, Proxy, Request, always, at, sound
from moto.server import ThreadedMotoServer
from reportsworld import Reports, hourly
from toyworld import World
from werkzeug.serving import WSGIRequestHandler

from fluxengine import executors, lock, place
from fluxengine.errors import (
    ConfigError,
    FluxforgeError,
    LeaseLost,
    NoBucket,
    NotOurStore,
    RunLocked,
    StoreDenied,
    StoreUnreachable,
)
from fluxengine.lock import LOCK, Holder, Lease
from fluxengine.place import Prefix, StorageOptions
from fluxengine.repository import MAIN, Repository
from fluxengine.run import Summary, run
from fluxengine.status import of_store
from fluxengine.store import Store, open_dataset
from fluxengine.table_run import run as run_table
from fluxengine.task import Job, Outcome, run_block

BUCKET = "flux"
KEY, SECRET = "AKIDOFTHETEST", "nobody-may-ever-see-this"
RUN = """
import fluxengine.run
fluxengine.run.BLOCKS_PER_COMMIT = 2  # so that a run of seconds commits many times
from fluxengine.cli import script
script()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of an S3 server with one empty bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # Head and body of an answer in one packet: else each waits 40 ms for the other's receipt.
    WSGIRequestHandler.disable_nagle_algorithm = True
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_REGION", "us-east-1")
        url = f"http://{host}:{port}"
        boto3.client("s3", endpoint_url=url).create_bucket(Bucket=BUCKET)
        yield url
    moto.stop()


@pytest.fixture(scope="module")
def proxy(server: str) -> Iterator[Proxy]:
    with Proxy(server) as running:
        yield running


@pytest.fixture(autouse=True)
def _sound(proxy: Proxy) -> None:
    proxy.over.clear()
    proxy.restart()
    place._client.cache_clear()  # connections of the test before


@pytest.fixture
def options(proxy: Proxy) -> StorageOptions:
    return StorageOptions(endpoint_url=proxy.url, allow_http=True, lease=1)


@pytest.fixture
def root(options: StorageOptions) -> Prefix:
    """A prefix of its own."""
    made = place.at(f"s3://{BUCKET}/{uuid4().hex}/store", options)
    assert isinstance(made, Prefix)
    return made


@pytest.fixture
def cloud(tmp_path: Path, root: Prefix) -> World:
    """The twelve days, and a store in the bucket."""
    world = World(tmp_path, str(root), root.options)
    world.write(*range(1, 13))
    return world


def run_when_free(cloud: World) -> Summary:
    """The same run again; one that died holds its lease for some more seconds."""
    end = time.monotonic() + 10
    while True:
        try:
            return cloud.run()
        except RunLocked:
            assert time.monotonic() < end
            time.sleep(0.2)


# --- a whole run ---------------------------------------------------------------------------------


def test_a_run_into_a_bucket_gives_what_a_run_into_a_folder_gives(
    cloud: World, first_run: World, proxy: Proxy
) -> None:
    began = time.perf_counter()
    summary = cloud.run()
    seconds, requests = time.perf_counter() - began, len(proxy.seen)
    assert cloud.content() == first_run.content()
    assert set(summary.published.values()) == {"v1"}
    assert open_dataset(cloud.opened().root).identical(open_dataset(first_run.store))
    proxy.restart()
    assert cloud.run().did_nothing
    print(f"first run {seconds:.1f} s, {requests} requests; nothing to do: {len(proxy.seen)}")
    assert requests < 500
    assert len(proxy.seen) < 150


def test_requests_for_one_block_written(cloud: World, proxy: Proxy) -> None:
    counted = {}

    def counting(jobs: Iterator[Job]) -> Iterator[Outcome]:
        for job in jobs:
            proxy.restart()
            outcome = run_block(job)
            counted[job.name] = {m: proxy.count(m) for m in ("GET", "HEAD", "DELETE")}
            counted[job.name]["PUT"] = proxy.count("PUT", "/chunks/")  # not those of the lease
            yield outcome

    run(cloud.request(), lambda: nullcontext(counting))
    for name in ("toy-passes-0000-0-0-0", "toy-passes-0001-0-0-0", "toy-0000-0-0", "toy-0002-0-0"):
        print(name, counted[name])
        assert sum(counted[name].values()) < 30
    assert counted["toy-passes-0001-0-0-0"]["PUT"] == 2  # wind and its flag: one shard each


def test_the_command_line_on_two_workers(cloud: World, first_run: World) -> None:
    done = command(cloud, "run", "--json", "--profile", "local")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["published"]["toy"] == "v1"
    assert cloud.content() == first_run.content()
    told = [done.stdout, done.stderr]
    for words in (["status", "--json"], ["export", "toy", "-o", "nc"]):
        more = command(cloud, *words)
        assert more.returncode == 0, more.stderr
        told += [more.stdout, more.stderr]
    assert not any(secret in text for text in told for secret in (KEY, SECRET))
    assert not any(secret in stored for stored in objects(cloud) for secret in (KEY, SECRET))


def command(world: World, verb: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", RUN, verb, *words, "-c", str(world.run_file())],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=world.folder,
    )


def objects(world: World) -> list[str]:
    """Every object below a store, as text."""
    client = boto3.client("s3", endpoint_url=world.options.endpoint_url)
    prefix = world.address.partition(f"{BUCKET}/")[2]
    found = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    keys = [entry["Key"] for entry in found["Contents"]]
    assert len(keys) > 50
    bodies = [client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys]
    return [body.decode("latin1") for body in bodies] + keys


def test_what_travels_to_a_worker_holds_no_secret(cloud: World) -> None:
    jobs: list[Job] = []

    def spying(waiting: Iterator[Job]) -> Iterator[Outcome]:
        for job in waiting:
            jobs.append(job)
            yield run_block(job)

    run(cloud.request(), lambda: nullcontext(spying))
    sizes = []
    for job in jobs:
        travels = pickle.dumps((job.path, job.fork, job.upstream, job.previous))
        assert KEY.encode() not in travels and SECRET.encode() not in travels
        sizes.append(len(pickle.dumps(job.fork)))
        again = pickle.loads(travels)
        assert again[0] == job.path and hash(again[0]) == hash(job.path)
    print(f"{len(jobs)} forks of {min(sizes)} to {max(sizes)} bytes")


# --- what the run file may say -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "options", "complaint"),
    [
        ("gs://bucket/flux", {}, "stores on gs:// are not supported"),
        ("az://bucket/flux", {}, "stores on az:// are not supported"),
        ("s3:///flux", {}, "no address of a store"),
        ("s3://bucket/../flux", {}, "no address of a store"),
        ("s3://bucket/flux//x", {}, "no address of a store"),
        ("s3://b/f", {"endpoint_url": "http://127.0.0.1:9"}, "is not encrypted"),
        ("s3://b/f", {"endpoint_url": "https://me:pw@host"}, "may not hold a credential"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(
    address: str, options: dict[str, str], complaint: str, server: str
) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        place.at(address, StorageOptions(**options))
    assert "pw" not in str(caught.value) or "me:pw" not in str(caught.value)


def test_options_come_from_the_environment_where_the_run_file_says_nothing(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    found = place.at("s3://bucket/a/b/")
    assert isinstance(found, Prefix)
    assert str(found / "toy") == "s3://bucket/a/b/toy"
    assert found.options.endpoint_url == server and found.options.force_path_style
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(ConfigError, match="region of the bucket is not known"):
        place.at("s3://bucket")


def test_a_prefix_of_something_else_is_refused_and_left_alone(root: Prefix) -> None:
    (root / "thesis.tex").write("draft")
    with pytest.raises(NotOurStore, match="holds something else"):
        Store.at(root, create=True)
    with pytest.raises(NotOurStore, match="no store here yet"):
        Store.at(root / "thesis")
    assert (root / "thesis.tex").read() == "draft"


def test_a_dataset_whose_making_died_is_made_anew(cloud: World, first_run: World) -> None:
    root = cloud.opened(create=True).root
    for part in ("snapshots/1CECHNKREP0F1RSTCMT0", "refs/branch.main/ref.json"):
        (root / "toy-coarse" / part).write("half of it")
    assert cloud.opened().names == ()
    cloud.run()
    assert cloud.content() == first_run.content()


# --- faults --------------------------------------------------------------------------------------


def test_a_table_of_reports_lies_in_a_bucket_as_well(tmp_path: Path, root: Prefix) -> None:
    world = Reports(tmp_path)
    world.write("buoys/hist/a.txt", hourly("41001", "2002-08-31T20:00", 8))
    asked = replace(world.request(), store=Store.at(root, create=True), feeds=("buoys",))
    assert run_table(asked).rows == 8
    world.write("buoys/hist/b.txt", hourly("41002", "2002-08-31T20:00", 8))
    assert (run_table(asked).rows, run_table(asked).read) == (16, 0)
    world.run("", "", "buoys")
    assert [record["content"] for record in of_store(Store.at(root))] == [world.content()]
    assert open_dataset(root, "toy-reports", month="2002-08").sizes["report"] == 8


@pytest.fixture
def older(cloud: World) -> World:
    """A published version whose every file was revised since."""
    cloud.run()
    cloud.write(*range(1, 13), seed=1)
    return cloud


@pytest.fixture(scope="module")
def revised(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Where a clean run leads, in a folder, after every file was revised."""
    clean = World(tmp_path_factory.mktemp("revised"))
    clean.write(*range(1, 13), seed=1)
    clean.run()
    return clean


def values(world: World, options: StorageOptions | None = None) -> dict[str, np.ndarray]:
    """What a reader of `main` sees, by dataset."""
    root, names = world.address or world.store, ("toy-passes", "toy-smooth", "toy")
    return {n: open_dataset(root, n, options=options)["wind"].values for n in names}


class Reader(threading.Thread):
    """Reads what is published, past the proxy, and notes what is neither the old nor the new."""

    def __init__(self, cloud: World, server: str, *known: dict[str, np.ndarray]) -> None:
        super().__init__(daemon=True)
        self.cloud, self.known, self.over = cloud, known, threading.Event()
        self.options = StorageOptions(endpoint_url=server, allow_http=True)
        self.reads, self.strange = 0, list[str]()

    def run(self) -> None:
        while not self.over.is_set():
            for name, seen in values(self.cloud, self.options).items():
                if not any(np.array_equal(seen, k[name], equal_nan=True) for k in self.known):
                    self.strange.append(name)
            self.reads += 1
            time.sleep(0.1)


def survives(cloud: World, proxy: Proxy, choose: Choice, clean: World) -> str:
    """Run under faults, and again without, with a reader beside; says how the first run ended."""
    reader = Reader(cloud, proxy.server, values(cloud, cloud.options), values(clean))
    reader.start()
    proxy.restart(choose)
    ended, told = "went through", ""
    try:
        cloud.run()
    except FluxforgeError as error:
        ended, told = type(error).__name__, str(error)
    assert SECRET not in told and KEY not in told
    proxy.restart()
    run_when_free(cloud)
    reader.over.set()
    reader.join(30)
    assert reader.reads > 1 and reader.strange == []
    assert cloud.content() == clean.content()
    return ended


def slowly(*values: str) -> list[Any]:
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


@pytest.mark.parametrize("fault", ["503", *slowly("cut", "close", "lose")])
def test_now_and_then_a_request_fails(
    older: World, revised: World, proxy: Proxy, fault: str
) -> None:
    dice = random.Random(fault)
    began = time.perf_counter()

    def some(request: Request) -> str | None:
        return fault if dice.random() < 0.04 else None

    ended = survives(older, proxy, some, revised)
    print(f"{fault}: {ended}, {time.perf_counter() - began:.1f} s")


@pytest.mark.parametrize("which", ["conditional", *slowly("all")])
def test_every_write_loses_its_first_reply(
    cloud: World, first_run: World, proxy: Proxy, which: str
) -> None:
    lost: set[str] = set()

    def once(request: Request) -> str | None:
        conditional = "/refs/" in request.path or LOCK in request.path
        if not request.is_write or request.path in lost or not (conditional or which == "all"):
            return None
        lost.add(request.path)
        return "lose"

    proxy.restart(once)
    cloud.run()
    broken = proxy.broken
    proxy.restart()
    assert cloud.content() == first_run.content()
    assert all(cloud.opened().repository(n).versions == ("v1",) for n in cloud.opened().names)
    print(f"{broken} lost replies, none of them noticed")
    assert broken >= (
        100 if which == "all" else 13
    )  # for each dataset two branches and a tag, and the lease


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["lose", "close", "503"])
def test_every_second_write_of_a_branch_a_tag_or_the_lease_fails(
    older: World, revised: World, proxy: Proxy, fault: str
) -> None:
    count: dict[str, int] = {}

    def every_second(request: Request) -> str | None:
        if request.method != "PUT" or not ("/refs/" in request.path or LOCK in request.path):
            return None
        count[request.path] = count.get(request.path, 0) + 1
        return fault if count[request.path] % 2 else None

    ended = survives(older, proxy, every_second, revised)
    print(f"{fault} at {sum(count.values())} conditional writes: {ended}")
    store = older.opened()
    assert all(store.repository(n).versions == ("v1", "v2") for n in store.names)


@pytest.mark.parametrize("fault", ["expired", *slowly("denied")])
def test_credentials_that_end_in_the_middle(
    cloud: World, first_run: World, proxy: Proxy, fault: str
) -> None:
    proxy.restart(lambda request: fault if request.number > 120 else None)
    with pytest.raises(StoreDenied, match=r"expired|refuses these credentials") as caught:
        cloud.run()
    assert KEY not in str(caught.value)
    proxy.restart()
    run_when_free(cloud)  # the lease could not be given back either
    assert cloud.content() == first_run.content()


def test_a_snapshot_that_is_refused_is_not_called_lost(cloud: World, proxy: Proxy) -> None:
    cloud.run()
    repository = cloud.opened().repository("toy-passes")
    known = repository.tip()
    fresh = Repository.open(repository.path)  # which has not read it yet
    proxy.restart(lambda request: "expired")
    with pytest.raises(StoreDenied, match=r"expired|refuses these credentials"):
        fresh.read(known)


def test_no_credentials_at_all(cloud: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(place, "TRIES", 1)
    with pytest.raises(FluxforgeError, match=r"no credentials|does not answer"):
        cloud.opened()


def test_a_bucket_that_is_not_there(options: StorageOptions) -> None:
    with pytest.raises(NoBucket, match=r"^s3://elsewhere/flux.*there is no such bucket"):
        Store.at("s3://elsewhere/flux", options, create=True)


@pytest.mark.parametrize("fault", ["503", "close", "stall"])
def test_a_server_that_never_answers_ends_in_words(
    cloud: World, proxy: Proxy, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "TRIES", 3)
    monkeypatch.setattr(place, "REQUEST", place.timedelta(seconds=1))
    proxy.restart(always(fault))
    began = time.perf_counter()
    with pytest.raises(StoreUnreachable, match="does not answer"):
        cloud.opened(create=True)
    print(f"{fault} always: an error after {time.perf_counter() - began:.1f} s")
    proxy.over.set()


# --- the lease -----------------------------------------------------------------------------------


def test_two_runs_on_one_store_one_fails_at_once_and_nothing_is_lost(
    cloud: World, first_run: World
) -> None:
    ends: list[object] = []
    ready = threading.Barrier(2)

    def one() -> None:
        request = cloud.request()
        ready.wait()
        began = time.perf_counter()
        try:
            ends.append(run(request, _serial))
        except RunLocked as error:
            ends.append((time.perf_counter() - began, str(error)))

    cloud.opened(create=True)
    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [end for end in ends if isinstance(end, tuple)]
    assert len(ends) == 2 and len(refused) == 1
    seconds, told = refused[0]
    print(f"refused after {seconds:.2f} s: {told}")
    assert seconds < 1
    assert cloud.content() == first_run.content()


def _serial() -> object:
    return nullcontext(executors.serial)


def test_a_held_store_says_who_holds_it_since_when_and_until_when(root: Prefix) -> None:
    with lock.held(root), pytest.raises(RunLocked) as caught:
        Lease.take(root / LOCK)
    told = str(caught.value)
    assert f"process {os.getpid()} on " in told
    assert "since 20" in told and "its lease ends at " in told and " UTC" in told
    Lease.take(root / LOCK).give_back()  # free again at once


def test_a_lease_outlasts_its_seconds_while_its_holder_lives(root: Prefix) -> None:
    with lock.held(root) as mine:
        time.sleep(root.options.lease + 1.5)
        with pytest.raises(RunLocked):
            Lease.take(root / LOCK)
        mine.check()


def test_an_expired_lease_is_taken_over_and_its_holder_writes_no_more(root: Prefix) -> None:
    late = Lease.take(root / LOCK)  # nobody renews it
    time.sleep(root.options.lease + 2.1)
    following = Lease.take(root / LOCK)
    with pytest.raises(LeaseLost, match="another one took the store over"):
        late.check()
    late.give_back()
    following.check()
    assert Holder.read((root / LOCK).read() or "", 1).run == following.holder.run


def test_an_expired_lease_that_nobody_took_is_still_ones_own(root: Prefix) -> None:
    late = Lease.take(root / LOCK)
    time.sleep(root.options.lease + 1.5)
    late.check()


def test_of_many_that_want_an_expired_lease_one_gets_it(root: Prefix) -> None:
    Lease.take(root / LOCK)
    time.sleep(root.options.lease + 2.1)
    won, barrier = [], threading.Barrier(8)

    def want() -> None:
        barrier.wait()
        with suppress(RunLocked):
            won.append(Lease.take(root / LOCK))

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_a_run_whose_lease_was_taken_over_commits_and_publishes_nothing(
    cloud: World, first_run: World
) -> None:
    cloud.run()
    store = cloud.opened()
    cloud.write(5, seed=1)
    with store.locked() as mine:
        repository = mine.repository("toy")
        tip, main = repository.tip(), repository.tip(MAIN)
        found = (store.root / LOCK).look()
        assert found is not None
        theirs = Holder.of_this_run(60).text  # as if this process had been stopped for a minute
        assert (store.root / LOCK).put_over(theirs, found.tag)
        with pytest.raises(LeaseLost):
            repository.commit([], None, [], {})
        with pytest.raises(LeaseLost):
            repository._move_main(tip, main)
    assert (repository.tip(), repository.tip(MAIN)) == (tip, main)
    assert (store.root / LOCK).read() == theirs  # what is not ours is not given back


def test_a_killed_run_lets_go_after_its_lease_and_the_same_command_goes_on(
    cloud: World, first_run: World, proxy: Proxy
) -> None:
    path = cloud.run_file(options="{pause: 0.05}")
    dying = subprocess.Popen(
        [sys.executable, "-c", RUN, "run", "-c", str(path), "--profile", "serial"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: proxy.count("PUT", "toy-coarse/refs/branch.work") >= 2)
    dying.send_signal(signal.SIGKILL)
    dying.wait()
    with pytest.raises(RunLocked, match=f"process {dying.pid} on"):
        cloud.run()
    began = time.perf_counter()
    summary = run_when_free(cloud)
    print(
        f"free after {time.perf_counter() - began - summary.seconds:.1f} s, then {summary.blocks}"
    )
    assert "toy-passes" not in summary.blocks
    assert cloud.content() == first_run.content()


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


# --- minutes -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_any_one_request_fails(
    cloud: World, tmp_path: Path, first_run: World, proxy: Proxy, fault: str
) -> None:
    """A fault at each 17th request of a first run in turn."""
    cloud.run()
    requests, ends = len(proxy.seen), Counter[str]()
    for number in range(0, requests, 17):
        one = World(tmp_path, f"s3://{BUCKET}/{uuid4().hex}", cloud.options)
        proxy.restart(at(number, fault=fault))
        try:
            one.run()
            ends["went through"] += 1
        except FluxforgeError as error:
            ends[type(error).__name__] += 1
        proxy.restart()
        run_when_free(one)
        assert one.content() == first_run.content()
    print(f"{fault} at each 17th of {requests} requests: {dict(ends)}")


@pytest.mark.slow
def test_one_request_in_the_middle_is_never_answered(
    older: World, revised: World, proxy: Proxy
) -> None:
    began = time.perf_counter()
    ended = survives(older, proxy, at(150, 201, fault="stall"), revised)
    print(f"stalled twice: {ended} after {time.perf_counter() - began:.0f} s")


@pytest.mark.slow
def test_a_server_that_stalls_for_good_in_the_middle_is_an_error_within_minutes(
    cloud: World, first_run: World, proxy: Proxy
) -> None:
    proxy.restart(lambda request: "stall" if request.number > 150 else None)
    began = time.perf_counter()
    with pytest.raises(StoreUnreachable):
        cloud.run()
    print(f"stalled for good: an error after {time.perf_counter() - began:.0f} s")
    proxy.over.set()
    proxy.restart(sound)
    run_when_free(cloud)
    assert cloud.content() == first_run.content()
