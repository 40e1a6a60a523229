"""Loops over a block of points, to be compiled around the physics.

`fluxkernels.cpu` copies each of them with the names below standing for the records, the rows and
the physics that it wants looped over.
"""

from __future__ import annotations

from typing import Any

from fluxkernels.intrinsics import (
    BLOCK,
    get,
    in_widest_registers,
    load,
    peek,
    poke,
    put,
    save,
)

# Records, their first places in the scratch array, and what else is fixed before compiling.
INPUTS: Any = None
FIXED: Any = None
STATE: Any = None
KEPT: Any = None
OUTPUTS: Any = None
FIXED_ROW = STATE_ROW = KEPT_ROW = OUTPUT_ROW = PASSES = 0
OPTIONS: Any = None
# The physics, and loops that call other loops.
prepare: Any = None
guess: Any = None
step: Any = None
finish: Any = None
function: Any = None
one: Any = None
other: Any = None
prepare_all: Any = None
guess_all: Any = None
one_pass: Any = None
keep_all: Any = None
finish_all: Any = None
gather: Any = None
work: Any = None
scatter: Any = None


def gather_block(
    inputs: Any,
    steps: Any,
    factors: Any,
    offsets: Any,
    scratch: Any,
    first: int,
    count: int,
    begins: bool,
) -> None:
    """Bring a block of points into the rows, in the physics' units."""
    in_widest_registers()
    for row in range(len(inputs)):
        address, place = inputs[row], row * BLOCK
        factor, offset = factors[row], offsets[row]
        if steps[row] == 0:
            if begins:
                value = peek(scratch, address, 0) * factor + offset
                for i in range(BLOCK):
                    put(scratch, place + i, value)
        else:
            for i in range(count):
                put(scratch, place + i, peek(scratch, address, first + i) * factor + offset)
            for i in range(count, BLOCK):  # what is left of the last block: any point will do
                put(scratch, place + i, get(scratch, place))


def scatter_block(outputs: Any, scratch: Any, first: int, count: int) -> None:
    """Bring a block of results to those who asked for them."""
    in_widest_registers()
    for row in range(len(outputs)):
        address, place = outputs[row], OUTPUT_ROW + row * BLOCK
        if address != 0:
            for i in range(count):
                poke(address, first + i, get(scratch, place + i))


def prepare_block(scratch: Any) -> None:
    """Prepare each point."""
    in_widest_registers()
    for i in range(BLOCK):
        x = load(INPUTS, INPUTS, scratch, i)
        save(FIXED, scratch, FIXED_ROW + i, prepare(x, OPTIONS))


def guess_block(scratch: Any) -> None:
    """Make the first state of each point."""
    in_widest_registers()
    for i in range(BLOCK):
        x = load(INPUTS, INPUTS, scratch, i)
        fixed = load(FIXED, FIXED, scratch, FIXED_ROW + i)
        save(STATE, scratch, STATE_ROW + i, guess(x, fixed, OPTIONS))


def step_block(scratch: Any) -> None:
    """Take one step of a pass with each point."""
    in_widest_registers()
    for i in range(BLOCK):
        x = load(INPUTS, INPUTS, scratch, i)
        fixed = load(FIXED, FIXED, scratch, FIXED_ROW + i)
        state = load(STATE, STATE, scratch, STATE_ROW + i)
        save(STATE, scratch, STATE_ROW + i, step(x, fixed, state, OPTIONS))


def keep_block(scratch: Any) -> None:
    """Keep what is needed of the first pass."""
    in_widest_registers()
    for i in range(BLOCK):
        save(KEPT, scratch, KEPT_ROW + i, load(STATE, KEPT, scratch, STATE_ROW + i))


def finish_block(scratch: Any) -> None:
    """Make the outputs of each point."""
    in_widest_registers()
    for i in range(BLOCK):
        x = load(INPUTS, INPUTS, scratch, i)
        fixed = load(FIXED, FIXED, scratch, FIXED_ROW + i)
        kept = load(KEPT, KEPT, scratch, KEPT_ROW + i)
        state = load(STATE, STATE, scratch, STATE_ROW + i)
        save(OUTPUTS, scratch, OUTPUT_ROW + i, finish(x, fixed, kept, state, OPTIONS))


def map_block(scratch: Any) -> None:
    """Make the outputs of a function of one point."""
    in_widest_registers()
    for i in range(BLOCK):
        made = function(load(INPUTS, INPUTS, scratch, i), OPTIONS)
        save(OUTPUTS, scratch, OUTPUT_ROW + i, made)


def both_blocks(scratch: Any) -> None:
    """Run one loop after the other."""
    one(scratch)
    other(scratch)


def iterate_block(scratch: Any) -> None:
    """Solve a block: all passes, each with all points."""
    prepare_all(scratch)
    guess_all(scratch)
    one_pass(scratch)
    keep_all(scratch)
    for _ in range(1, PASSES):
        one_pass(scratch)
    finish_all(scratch)


def run(
    inputs: Any,
    steps: Any,
    factors: Any,
    offsets: Any,
    outputs: Any,
    scratch: Any,
    start: int,
    stop: int,
) -> None:
    """Solve the points from `start` to `stop`, block by block."""
    in_widest_registers()
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        gather(inputs, steps, factors, offsets, scratch, first, count, first == start)
        work(scratch)
        scatter(outputs, scratch, first, count)
