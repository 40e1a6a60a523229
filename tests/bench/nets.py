"""Speed of the networks on this computer's CPU: a window or field of 120 × 360 cells.

Run it with ``make bench-nets``. The best and the median of fifteen calls, on two threads.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from fluxkernels.nets.gdcm import COMPACT, GDCM
from fluxkernels.nets.mpfnet import MPFNet, MPFNetSettings
from fluxkernels.nets.predict import Predictor

CALLS = 15
TRAINING = 4  # windows a step
POINTS = 1000  # a field, as drawn in training


def timed(name: str, call: Callable[[], object], windows: int = 1) -> None:
    """Print the time of a call for each of its windows."""
    call()
    turns = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        call()
        turns.append((time.perf_counter() - begun) / windows)
    print(f"{name:44} {min(turns) * 1e3:6.0f} {statistics.median(turns) * 1e3:6.0f}", flush=True)


def sample(batch: int, steps: int, fields: int) -> tuple[Tensor, Tensor]:
    """Random values and masks."""
    values = torch.randn(batch, steps, fields, 120, 360)
    return values, torch.rand_like(values) > 0.5


def complete() -> None:
    """GDCM, running and training."""
    values, masks = sample(TRAINING, COMPACT.steps, COMPACT.variables + COMPACT.context)
    for precision in ("fp32", "bf16"):
        run = Predictor(GDCM(COMPACT), batch=1, precision=precision)
        timed(f"GDCM compact, a window, {precision}", lambda run=run: run(values[:1], masks[:1]))
    for lower in (False, True):
        net = GDCM(COMPACT)

        def step(net: GDCM = net, lower: bool = lower) -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=lower):
                loss = net(values, masks).square().mean()
            loss.backward()

        timed(f"  training, a window, {'bf16' if lower else 'fp32'}", step, TRAINING)


def retrieve() -> None:
    """MPFNet, at all cells and at some."""
    net = MPFNet(MPFNetSettings(predictors=5, outputs=2))
    values, masks = sample(1, 1, 5)
    some = torch.randperm(120 * 360)[:POINTS]
    place = [where[some][None] for where in net.cells(values)]
    points = [x.flatten(3).permute(0, 3, 1, 2)[:, some] for x in (values, masks)]

    def train() -> None:
        reading = net.read(net.encode(values[:, 0], masks[:, 0]), *place, *points)
        (reading.mean.square() + reading.log_variance).mean().backward()

    timed(f"MPFNet, training, a field and {POINTS} points", train)
    for precision in ("fp32", "bf16"):
        run = Predictor(net, batch=1, precision=precision)
        timed(f"MPFNet, all 43,200 cells, {precision}", lambda run=run: run(values, masks))


if __name__ == "__main__":
    torch.set_num_threads(2)
    print(f"{'ms':>49}   best median")
    complete()
    retrieve()
