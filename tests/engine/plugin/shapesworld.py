"""An archive of scenes, maps and heights for the plug-in `toyshapes`, and a store."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from toyshapes import sources
from toyworld import content, day

from fluxengine import executors
from fluxengine.declare import Dataset
from fluxengine.run import Summary, run
from fluxengine.stand import Request
from fluxengine.store import Store


@dataclass
class Shapes:
    """An archive of scenes, maps and heights, and a store."""

    folder: Path

    def write(self, path: str, shape: tuple[int, ...], seed: int, low: float, high: float) -> None:
        file = self.folder / "archive" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.random.default_rng(seed).uniform(low, high, shape).astype("f4"))

    def scene(self, number: int, seed: int = 0) -> None:
        name = sources.SCENES[number - 1]
        shape = sources.LINES, sources.PIXELS
        self.write(sources.scene_path(name), shape, 100 * seed + number, 269, 273)

    def map(self, number: int, seed: int = 0) -> None:
        self.write(sources.day_path(day(number)), (8, 8), 1000 * seed + number, -1, 1)

    def height(self, seed: int = 0) -> None:
        self.write("height.npy", (8, 8), seed, 0, 900)

    def write_all(self, seed: int = 0) -> None:
        for number in range(1, 8):
            self.scene(number, seed)
        for number in range(1, 13):
            self.map(number, seed)
        self.height(seed)

    def read(self, path: str) -> np.ndarray:
        return np.load(self.folder / "archive" / path).astype("f8")

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def request(self, product: Dataset, last: int | None = 12) -> Request:
        period = (None, None) if last is None else (day(1), day(last))
        store = Store.at(self.store, create=True)
        return Request(product, *period, store, {"shapes": str(self.folder / "archive")})

    def run(self, product: Dataset, last: int | None = 12) -> Summary:
        return run(self.request(product, last), lambda: nullcontext(executors.serial))

    def content(self) -> dict[str, str]:
        return content(Store.at(self.store))
