"""Executors: where blocks are computed. Serial in this process, or on a Dask cluster."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from fluxengine.declare import Product, wants_gpu
from fluxengine.errors import FluxforgeError, RunFailed
from fluxengine.task import Job, Outcome, run_block

if TYPE_CHECKING:
    from dask.typing import Key
    from distributed import Client, Future


TICK = 0.02  # seconds between two looks for a block that is done
GLANCE = 5.0  # seconds between two looks for workers


class Executor(Protocol):
    """Runs jobs and yields their outcomes in any order, with few in flight."""

    def __call__(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Run each job once."""


def serial(jobs: Iterable[Job]) -> Iterator[Outcome]:
    """One block after the other, in this process."""
    return map(run_block, jobs)


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

    def execute(jobs: Iterable[Job]) -> Iterator[Outcome]:
        from distributed import as_completed

        waiting, resources = iter(jobs), _gpu_share(client)
        submitted: dict[Key, Job] = {}

        def submit(job: Job) -> Future[Outcome]:
            future = _submit(client, job, resources)
            submitted[future.key] = job
            return future

        running = as_completed(submit(job) for job in islice(waiting, in_flight))
        while not running.is_empty():
            done = _done(running, client, wait)
            # Next ones first, since a commit may take a while; one that failed may be tried again.
            well = sum(future.status == "finished" for future in done)
            for following in islice(waiting, well):
                running.add(submit(following))
            known = _outcomes(client, done)
            for future in done:
                job = submitted.pop(future.key)
                outcome = known.get(future.key) or _result(future, job)
                if outcome is None:
                    running.add(submit(_in_smaller_batches(job)))
                else:
                    yield outcome

    return execute


def _done(running: Any, client: Client, wait: float) -> list[Future[Outcome]]:
    """The next blocks that are done. A nanny gives a worker up that dies while it starts."""
    seen = glanced = time.monotonic()
    while not running.has_ready():
        time.sleep(TICK)
        now = time.monotonic()
        if now - glanced < min(GLANCE, wait):
            continue
        glanced = now
        if _has_workers(client):
            seen = now
        elif now - seen > wait:
            raise RunFailed(
                f"no worker is left, and none came within {wait:g} s. Finished blocks are kept.",
                mend="Run the same command again; where workers die, give each more `memory`.",
            )
    found: list[Future[Outcome]] = running.next_batch(block=False)
    return found


def _outcomes(client: Client, done: list[Future[Outcome]]) -> dict[Key, Outcome]:
    """Outcomes in one request, where it can be had: one for each took a worker's time of a block.

    A block that failed, or whose outcome was lost with its worker, is absent: ask it by itself.
    """
    wanted = {future.key: future for future in done if future.status == "finished"}
    try:
        found: dict[Key, Outcome] = client.gather(wanted, errors="skip")
    except Exception:  # such as a lost scheduler: each future says so in words
        return {}
    return found


def _has_workers(client: Client) -> bool:
    """Also true where the scheduler does not answer: its blocks end as cancelled."""
    workers = _workers(client)
    return workers is None or bool(workers)


def _workers(client: Client) -> dict[str, Any] | None:
    """What the scheduler knows of each worker; None where it does not answer."""
    try:
        # A client that has just lost its scheduler knows nothing at all.
        found: dict[str, Any] | None = client.scheduler_info(n_workers=-1).get("workers")
    except (OSError, TimeoutError):
        return None
    return found


def _in_smaller_batches(job: Job) -> Job:
    """The job with half the steps at once."""
    return replace(job, batch=-(-(job.batch or len(job.block.steps)) // 2))


def _gpu_share(client: Client) -> dict[str, float]:
    """What a block with a stage for a GPU takes of a worker that has one."""
    workers = _workers(client)
    if workers is None:
        raise _gone()
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
        raise _gone() from error


def _gone() -> RunFailed:
    return RunFailed(
        "the cluster is gone: its scheduler does not answer. Finished blocks are kept.",
        mend="Start it again, then run the same command.",
    )


def _result(future: Future[Outcome], job: Job) -> Outcome | None:
    """The outcome of a block; None where it shall be tried in smaller batches.

    Whatever else comes back becomes an error in words.
    """
    from distributed import CancelledError, KilledWorker

    try:
        outcome: Outcome = future.result()
    except FluxforgeError:
        raise
    except KilledWorker as error:
        if isinstance(job.dataset, Product) and job.batch != 1 and len(job.block.steps) > 1:
            return None  # most likely for want of memory
        raise RunFailed(
            "workers died again and again while they made one block, most likely for want of"
            " memory. Finished blocks are kept.",
            where=str(future.key),
            mend="Give each worker more `memory` in the run file, then run again.",
        ) from error
    except CancelledError as error:
        raise _gone() from error
    except Exception as error:  # such as a plug-in that is not installed there
        cause = error.__cause__ or error
        what = " ".join(f"{type(cause).__name__}: {cause}".split()).rstrip(".")
        raise RunFailed(
            f"a worker failed: {what}. Finished blocks are kept.",
            where=str(future.key),
            mend="Are fluxforge and its plug-ins installed there? `fluxforge --debug` shows more.",
        ) from error
    return outcome
