"""Places in the engine where a process may be made to die, as a power cut would end it."""

import os
from pathlib import Path
from typing import Any

from fluxengine import layout, ledger, repository, run, store, task, traffic
from fluxengine.task import Job, Outcome

DIED = 77  # exit code
ARMED = "FLUXFORGE_TEST_DEATH"  # a file whose removal is the next worker's death

# Where: what owns a function, its name, and whether death comes before or after the call.
POINTS: dict[str, tuple[Any, str, str]] = {
    "before the template": (layout, "create", "before"),
    "before the template is committed": (ledger, "create", "after"),
    "after a dataset is made": (store.Store, "create", "after"),
    "amid an extension": (layout, "extend", "after"),
    "after an extension": (repository.Repository, "extend", "after"),
    "before a block is written": (task, "store_all", "before"),
    "amid a block": (traffic.CountedStore, "set", "before"),
    "after a block is written": (task, "store_all", "after"),
    "before a merge": (repository.Repository, "commit", "before"),
    "between merge and ledger": (ledger, "write", "before"),
    "amid the ledger's rows": (ledger, "_write_records", "before"),
    "between ledger and commit": (ledger, "write", "after"),
    "after a commit": (repository.Repository, "commit", "after"),
    "before publication": (run, "_publish", "before"),
    "before main moves": (repository.Repository, "_move_main", "before"),
    "between main and its tag": (repository.Repository, "_tag", "before"),
    "between two datasets' publication": (repository.Repository, "publish", "after"),
    "before the product is noted": (run, "remember_product", "before"),
}


def arm(point: str, call: int) -> None:
    """Make this process die at a point, the so many-th time that it is passed."""
    owner, name, when = POINTS[point]
    inner, left = getattr(owner, name), call

    def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and when == "before":
            os._exit(DIED)
        result = inner(*args, **kwargs)
        if left == 0:
            os._exit(DIED)
        return result

    setattr(owner, name, deadly)


def write_then_die(job: Job) -> Outcome:
    """A block, by a worker that dies once it has written it, as long as a death is armed."""
    made = task.run_block(job)
    try:
        Path(os.environ[ARMED]).unlink()
    except FileNotFoundError:
        return made
    os._exit(DIED)
