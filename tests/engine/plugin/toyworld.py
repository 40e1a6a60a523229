"""A small world for tests of the engine: an archive of files, a store, and runs over them."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np
from toyfields import products, source

from fluxengine import executors
from fluxengine.declare import Dataset
from fluxengine.ledger import Record
from fluxengine.place import StorageOptions
from fluxengine.plan import Plan, make_plan
from fluxengine.run import Summary, run
from fluxengine.stand import Request
from fluxengine.status import of_store
from fluxengine.store import Store

FIRST = date(2020, 1, 1)
RUN_FILE = """\
product: toy
period: {{first: {first}, last: {last}}}
options: {options}
archives: {{toy: {archive}}}
profiles:
  serial: {{store: {store}, storage: {storage}, cluster: {{kind: serial}}}}
  local: {{store: {store}, storage: {storage}, cluster: {{kind: local, workers: 2, memory: 2GiB}}}}
"""


def day(number: int) -> date:
    """Day 1 is the first of the archive."""
    return FIRST + timedelta(days=number - 1)


@dataclass
class World:
    """An archive with files of some days, and a store; in-process runs are serial.

    The store is a folder beside the archive, or what `address` says.
    """

    folder: Path
    address: str = ""
    options: StorageOptions = field(default_factory=StorageOptions)

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def opened(self, create: bool = False) -> Store:
        return Store.at(self.address or self.store, self.options, create=create)

    def file(self, number: int) -> Path:
        return self.archive / source.path(day(number))

    def write(self, *numbers: int, seed: int = 0, dtype: str = "<i2") -> None:
        """Files of some days: the same values for the same day and seed, whatever the dtype."""
        for number in numbers:
            random = np.random.default_rng([number, seed])
            raw = random.integers(100, 3000, (2, 24, 48))
            raw[random.random(raw.shape) < 0.2] = source.FILL
            path = self.file(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, raw.astype(dtype))

    def request(
        self, last: int = 12, first: int = 1, product: Dataset | None = None, **options: object
    ) -> Request:
        wanted = product or products.toy(products.Options(**options))
        store = self.opened(create=True)
        return Request(wanted, day(first), day(last), store, {"toy": str(self.archive)})

    def plan(self, *args: int, **options: object) -> Plan:
        return make_plan(self.request(*args, **options))

    def run(
        self, *args: int, strict: bool = False, accept_code: bool = False, **options: object
    ) -> Summary:
        request = self.request(*args, **options)
        workers = partial(nullcontext, executors.serial)
        return run(request, workers, strict=strict, accept_code=accept_code)

    def content(self) -> dict[str, str]:
        """One digest a dataset: equal content, equal digest."""
        return content(self.opened())

    def run_file(self, last: int = 12, options: str = "{}", **changes: object) -> Path:
        path = self.folder / "run.yaml"
        known = {"archive": self.archive, "store": self.address or self.store} | changes
        known["storage"] = self.options.model_dump_json(exclude_unset=True)
        path.write_text(RUN_FILE.format(first=FIRST, last=day(last), options=options, **known))
        return path


def content(store: Store | Path) -> dict[str, str]:
    """One digest a dataset: equal content, equal digest."""
    opened = store if isinstance(store, Store) else Store.at(store)
    return {record["dataset"]: record["content"] for record in of_store(opened)}


def record_of(store: Path, dataset: str, block: str) -> Record:
    """What the ledger noted of a block."""
    repository = Store.at(store).repository(dataset)
    book = repository.ledger(repository.tip())
    found = book.record(book.grid.number(book.grid.block(tuple(map(int, block.split("-"))))))
    assert found is not None
    return found
