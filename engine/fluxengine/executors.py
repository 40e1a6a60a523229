"""Executors: where blocks are computed. Serial in this process, or on a Dask cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import uuid4

from fluxengine.declare import Product, wants_gpu
from fluxengine.errors import FluxforgeError, RunFailed
from fluxengine.task import Job, Outcome, run_block

if TYPE_CHECKING:
    from dask.typing import Key
    from distributed import Client, Future

Result = TypeVar("Result")
Ticks = Generator[None, None, Result]
"""Gives nothing now and then while it waits, and returns what came."""

TICK = 0.02  # seconds between two looks for a block that is done
GLANCE = 5.0  # seconds between two looks for workers
KEPT = "Finished blocks are kept."


class Executor(Protocol):
    """Runs jobs and yields their outcomes in any order, with few in flight.

    Now and then it may yield None: while it waits, whoever asked can look at the time.
    """

    def __call__(self, jobs: Iterable[Job]) -> Iterator[Outcome | None]:
        """Run each job once."""


Mapped = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""Takes a function of one item and items; gives what it makes of them, in their order."""


def serial(jobs: Iterable[Job]) -> Iterator[Outcome]:
    """One block after the other, in this process."""
    return one_by_one(run_block, jobs)


def one_by_one(function: Callable[[Any], Result], items: Iterable[Any]) -> Iterator[Result]:
    """As `map`, but a StopIteration that the function raises is an error, not the end."""
    for item in items:
        yield function(item)


def refusing(jobs: Iterable[Job]) -> Iterator[Outcome]:
    """Raise if anything is to be computed: for plans that must be empty."""
    for job in jobs:
        raise RunFailed(f"{job.name} would be computed, but nothing may be.")
    return iter(())


def on_cluster(client: Client, *, in_flight: int, wait: float = 300.0) -> Executor:
    """Blocks as Dask tasks, at most `in_flight` submitted and not yet gathered.

    Without any worker for `wait` seconds the run ends in words: others may never come.

    Blocks with a stage for a GPU go to workers that declare the resource ``GPU``, two at a time:
    one computes, the other reads or writes. Where no worker declares one, they go anywhere.
    """

    def execute(jobs: Iterable[Job]) -> Iterator[Outcome | None]:
        from distributed import as_completed

        waiting, resources = iter(jobs), _gpu_share(client)
        submitted: dict[Key, Job] = {}

        def submit(job: Job) -> Future[Outcome]:
            future = _submit(client, job, resources)
            submitted[future.key] = job
            return future

        def need_gpu() -> bool:
            return bool(resources) and all(wants_gpu(job.dataset) for job in submitted.values())

        watch = _Watch(client, wait, KEPT, need_gpu)
        running = as_completed(submit(job) for job in islice(waiting, in_flight))
        while not running.is_empty():
            yield from watch.until(running.has_ready)
            done: list[Future[Outcome]] = running.next_batch(block=False)
            # Next ones first, since a commit may take a while; one that failed may be tried again.
            well = sum(future.status == "finished" for future in done)
            for following in islice(waiting, well):
                running.add(submit(following))
            known = yield from _outcomes(watch, done)
            # What is known first: another one may be the end of the run.
            for future in sorted(done, key=lambda future: future.key not in known):
                outcome = known.get(future.key)
                if outcome is None and future.status in ("pending", "lost"):
                    running.add(future)  # the worker that held it is gone: it is made again
                    continue
                job = submitted.pop(future.key)
                outcome = outcome or (yield from _outcome(watch, future, job))
                if outcome is None:
                    running.add(submit(_in_smaller_batches(job)))
                else:
                    yield outcome

    return execute


def mapped_on(client: Client, *, wait: float = 300.0) -> Mapped:
    """Any function of a module instead of blocks; without any worker it ends as `on_cluster`."""

    def mapped(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        from distributed import KilledWorker
        from distributed.client import ClosedClientError

        watch = _Watch(client, wait)
        try:
            futures = client.map(function, list(items), pure=False)
        except ClosedClientError as error:
            raise _gone() from error
        for future in futures:
            try:
                yield _waited(watch.gathered(future))
            except FluxforgeError:
                raise
            except KilledWorker as error:
                raise _killed("one part of the work", future) from error
            except Exception as error:
                raise _in_words(error, future) from error

    return mapped


# --- waiting for workers -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Watch:
    """Waits for workers, and looks now and then whether any are left.

    Parameters
    ----------
    client : distributed.Client
    wait : float
        Seconds without a worker after which others are not hoped for any more.
    kept : str
        What becomes of what was done, for the words of an error.
    need_gpu : callable
        Whether nothing but workers with a GPU can help at the moment.
    """

    client: Client
    wait: float
    kept: str = ""
    need_gpu: Callable[[], bool] = lambda: False

    def until(
        self, done: Callable[[], bool], pause: Callable[[float], object] = time.sleep
    ) -> Ticks[None]:
        """Wait until it is done. A nanny gives a worker up that dies while it starts."""
        seen = glanced = time.monotonic()
        while not done():
            pause(TICK)
            now = time.monotonic()
            if now - glanced < min(GLANCE, self.wait):
                continue
            glanced, gpu = now, self.need_gpu()
            if _has_workers(self.client, gpu):
                seen = now
            elif now - seen > self.wait:
                raise _left(self.wait, gpu, self.kept)
            yield

    def gathered(self, futures: Any, errors: str = "raise") -> Ticks[Any]:
        """What futures came to. Dask itself waits for ever for what was lost with its worker."""
        loop: Any = self.client.loop
        request = self.client.gather(futures, errors=errors, asynchronous=True)
        asked = asyncio.run_coroutine_threadsafe(request, loop.asyncio_loop)
        try:
            yield from self.until(asked.done, partial(wait_for, [asked]))
            return asked.result()
        finally:
            asked.cancel()


def _waited(ticks: Ticks[Result]) -> Result:
    """What comes at last, for those who do not look at the time."""
    while True:
        try:
            next(ticks)
        except StopIteration as ended:
            found: Result = ended.value
            return found


def _has_workers(client: Client, with_gpu: bool = False) -> bool:
    """Also true where the scheduler does not answer: its blocks end as cancelled."""
    workers = _workers(client)
    if workers is None:
        return True
    return any(not with_gpu or "GPU" in worker["resources"] for worker in workers.values())


def _workers(client: Client) -> dict[str, Any] | None:
    """What the scheduler knows of each worker; None where it does not answer."""
    try:
        # A client that has just lost its scheduler knows nothing at all.
        found: dict[str, Any] | None = client.scheduler_info(n_workers=-1).get("workers")
    except (OSError, TimeoutError):
        return None
    return found


# --- blocks as tasks -----------------------------------------------------------------------------


def _outcomes(watch: _Watch, done: list[Future[Outcome]]) -> Ticks[dict[Key, Outcome]]:
    """Outcomes in one request, where it can be had: one for each took a worker's time of a block.

    A block that failed, or whose outcome was lost with its worker, is absent: ask it by itself.
    """
    wanted = {future.key: future for future in done if future.status == "finished"}
    if not wanted:
        return {}
    try:
        found = yield from watch.gathered(wanted, errors="skip")
    except FluxforgeError:
        raise
    except Exception:  # such as a lost scheduler: each future says so in words
        return {}
    return {key: outcome for key, outcome in found.items() if outcome is not None}


def _outcome(watch: _Watch, future: Future[Outcome], job: Job) -> Ticks[Outcome | None]:
    """The outcome of a block; None where it shall be tried in smaller batches.

    Whatever else comes back becomes an error in words.
    """
    from distributed import KilledWorker

    try:
        outcome: Outcome = yield from watch.gathered(future)
    except FluxforgeError:
        raise
    except KilledWorker as error:
        if isinstance(job.dataset, Product) and job.batch != 1 and len(job.block.steps) > 1:
            return None  # most likely for want of memory
        raise _killed("one block", future, KEPT) from error
    except Exception as error:  # such as a plug-in that is not installed there
        raise _in_words(error, future, KEPT) from error
    return outcome


def _in_smaller_batches(job: Job) -> Job:
    """The job with half the steps at once."""
    return replace(job, batch=-(-(job.batch or len(job.block.steps)) // 2))


def _gpu_share(client: Client) -> dict[str, float]:
    """What a block with a stage for a GPU takes of a worker that has one."""
    workers = _workers(client)
    if workers is None:
        raise _gone(KEPT)
    has_gpu = any("GPU" in worker["resources"] for worker in workers.values())
    return {"GPU": 0.5} if has_gpu else {}


def _submit(client: Client, job: Job, gpu_share: dict[str, float]) -> Future[Outcome]:
    from distributed.client import ClosedClientError

    # A key of its own for every attempt: Dask must never give back the result of an earlier run.
    key = f"{job.name}-{uuid4().hex[:8]}"
    resources = gpu_share if wants_gpu(job.dataset) else None
    try:
        return client.submit(run_block, job, key=key, pure=False, resources=resources)
    except ClosedClientError as error:
        raise _gone(KEPT) from error


# --- what went wrong, in words -------------------------------------------------------------------


def _left(wait: float, gpu: bool, kept: str) -> RunFailed:
    kind, mend = "worker", "where workers die, give each more `memory`."
    if gpu:
        kind, mend = "worker with a GPU", "other workers do not declare the resource GPU."
    return RunFailed(
        f"no {kind} is left, and none came within {wait:g} s. {kept}".rstrip(),
        mend=f"Run the same command again; {mend}",
    )


def _gone(kept: str = "") -> RunFailed:
    return RunFailed(
        f"the cluster is gone: its scheduler does not answer. {kept}".rstrip(),
        mend="Start it again, then run the same command.",
    )


def _killed(what: str, future: Future[Any], kept: str = "") -> RunFailed:
    return RunFailed(
        f"workers died again and again while they made {what}, most likely for want of"
        f" memory. {kept}".rstrip(),
        where=str(future.key),
        mend="Give each worker more `memory` in the run file, then run again.",
    )


def _in_words(error: Exception, future: Future[Any], kept: str = "") -> RunFailed:
    from distributed import CancelledError

    if isinstance(error, CancelledError):
        return _gone(kept)
    cause = error.__cause__ or error
    what = " ".join(f"{type(cause).__name__}: {cause}".split()).rstrip(".")
    return RunFailed(
        f"a worker failed: {what}. {kept}".rstrip(),
        where=str(future.key),
        mend="Are fluxforge and its plug-ins installed there? `fluxforge --debug` shows more.",
    )
