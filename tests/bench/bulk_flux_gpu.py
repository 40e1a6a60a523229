"""Speed of `bulk_flux` on this computer's GPU, its arrays there before and after.

Run it with ``make gpu``. The median of five turns, each of as many calls as fill a second, for the
three fluxes and for all outputs; the array library is torch.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from bulk_flux import K, weather

from fluxkernels import bulk_flux

TURN = 1.0  # s


def rate(points: int, dtype: torch.dtype, skin: bool, outputs: list[str] | None) -> float:
    """Points a second."""
    given = weather(min(points, 1_000_000))
    repeats = points // len(given["u"])
    wind, sea, air, humidity = (
        torch.as_tensor(np.tile(values, repeats), dtype=dtype, device="cuda")
        for values in (given["u"], given["ts"] + K, given["t"] + K, given["q"])
    )

    def call() -> None:
        bulk_flux(wind, sea, air, humidity, latitude=30.0, cool_skin=skin, outputs=outputs)
        torch.cuda.synchronize()

    call()  # compiled, and memory at hand
    begun = time.perf_counter()
    call()
    calls = max(1, int(TURN / (time.perf_counter() - begun)))
    turns = []
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(calls):
            call()
        turns.append((time.perf_counter() - begun) / calls)
    return float(repeats * len(given["u"]) / np.median(turns))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=50_000_000)
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        print("No GPU that torch can use: nothing is measured.")
        return
    print(f"{torch.cuda.get_device_name()}; {chosen.points} points, medians of 5 turns")
    print(f"{'':34}{'no skin':>14}{'cool skin':>14}")
    for dtype in (torch.float32, torch.float64):
        for label, outputs in (("three fluxes", ["sensible", "latent", "stress"]), ("all", None)):
            rates = [rate(chosen.points, dtype, skin, outputs) / 1e9 for skin in (False, True)]
            name = f"{str(dtype).removeprefix('torch.')}, outputs: {label}"
            print(f"{name:34}" + "".join(f"{value:9.2f} G/s" for value in rates))


if __name__ == "__main__":
    main()
