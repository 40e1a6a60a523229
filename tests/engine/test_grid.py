"""Blocks and windows: pure arithmetic, so every rule is a property over many grids."""

from datetime import date
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxengine.errors import ConfigError, DeclarationError
from fluxengine.grid import DAY, WHOLE, Axis, Grid, Halo, days, degrees, labels, months

LON = degrees(0, 360, 15, block=8, periodic=True)

lengths = st.integers(1, 40)
blocks = st.integers(0, 45)
halos = st.tuples(st.integers(0, 9), st.integers(0, 9))


@st.composite
def axes(draw: st.DrawFn, *, periodic: bool = False) -> Axis:
    step = draw(st.integers(1, 7))
    origin = draw(st.integers(-50, 50))
    return Axis("count", origin, step, draw(lengths), draw(blocks), periodic=periodic)


@given(st.builds(lambda a, b, c: Grid(time=a, lat=b, lon=c), axes(), axes(), axes(periodic=True)))
def test_blocks_own_every_cell_exactly_once(grid: Grid) -> None:
    owned = np.zeros(grid.shape, int)
    tiles = set()
    for block in grid.blocks():
        owned[tuple(block.spans.values())] += 1
        tiles.add(grid.tile(block))
        assert block.shape == owned[tuple(block.spans.values())].shape
    assert (owned == 1).all()
    assert tiles == set(range(grid.tiles))


@given(axes(), halos, st.data())
def test_a_window_is_the_blocks_extent_plus_halo_cut_off_at_the_ends(
    axis: Axis, halo: tuple[int, int], data: st.DataObject
) -> None:
    grid = Grid(x=axis)
    block = grid.block((data.draw(st.integers(0, axis.blocks - 1)),))
    (window,) = grid.window(block.spans, Halo({"x": halo}), grid).values()
    span = block.spans["x"]
    low, high = max(0, span.start - halo[0]), min(axis.length, span.stop + halo[1])
    assert window.tolist() == list(range(low, high))


@given(axes(periodic=True), halos, st.data())
def test_a_window_wraps_on_a_periodic_axis_however_wide_the_block(
    axis: Axis, halo: tuple[int, int], data: st.DataObject
) -> None:
    grid = Grid(lon=axis)
    block = grid.block((data.draw(st.integers(0, axis.blocks - 1)),))
    (window,) = grid.window(block.spans, Halo({"lon": halo}), grid).values()
    span = block.spans["lon"]
    wanted = range(span.start - halo[0], span.stop + halo[1])
    assert window.tolist() == [cell % axis.length for cell in wanted]


@given(axes(), axes(), halos, st.data())
def test_a_window_on_another_resolution_covers_the_extent_and_no_more(
    own: Axis, other: Axis, halo: tuple[int, int], data: st.DataObject
) -> None:
    grid, source = Grid(x=own), Grid(x=other)
    block = grid.block((data.draw(st.integers(0, own.blocks - 1)),))
    (window,) = grid.window(block.spans, Halo({"x": halo}), source).values()
    span = block.spans["x"]
    low, high = own.edges[span.start] - halo[0] * own.step, own.edges[span.stop]
    high += halo[1] * own.step
    overlapping = (other.edges[:-1] < high) & (other.edges[1:] > low)
    assert window.tolist() == np.flatnonzero(overlapping).tolist()


def test_a_one_degree_block_reads_its_quarter_degree_cells() -> None:
    coarse = Grid(time=days("2020-01-01", "2020-01-31"), lat=degrees(-60, 60, 1, block=30))
    fine = Grid(time=days("2019-12-01", "2020-12-31"), lat=degrees(-90, 90, 0.25))
    window = coarse.window(coarse.block((0, 1)).spans, Halo({"time": (6, 0)}), fine)
    assert window["time"].tolist() == list(range(31 - 6, 31 + 30))
    assert window["lat"].tolist() == list(range((90 - 30) * 4, 90 * 4))


def test_a_longitude_tile_at_the_seam_reads_across_it() -> None:
    grid = Grid(lon=LON)
    window = grid.window(grid.block((2,)).spans, Halo({"lon": (1, 2)}), grid)
    assert window["lon"].tolist() == [15, 16, 17, 18, 19, 20, 21, 22, 23, 0, 1]


def test_a_label_axis_is_followed_by_label_whatever_the_order() -> None:
    ours, theirs = Grid(orbit=labels("ascending", "descending")), labels("descending", "ascending")
    window = ours.window({"orbit": slice(0, 1)}, Halo(), Grid(orbit=theirs))
    assert window["orbit"].tolist() == [1]


def test_a_label_that_the_input_lacks_is_named() -> None:
    ours = Grid(orbit=labels("ascending", "noon"))
    with pytest.raises(DeclarationError, match="noon"):
        ours.window({"orbit": slice(0, 2)}, Halo(), Grid(orbit=labels("ascending")))


def test_an_axis_that_only_the_input_has_is_read_whole() -> None:
    source = Grid(time=days("2020-01-01", "2020-01-31"), orbit=labels("ascending", "descending"))
    grid = Grid(time=source.step_axis)
    window = grid.window({"time": slice(0, 2)}, Halo(), source)
    assert window["orbit"].tolist() == [0, 1]


def test_an_axis_that_the_input_lacks_is_no_part_of_its_window() -> None:
    source = Grid(time=days("2020-01-01", "2020-01-31"))
    grid = Grid(time=source.step_axis, orbit=labels("ascending", "descending"))
    window = grid.window({"time": slice(3, 5), "orbit": slice(0, 2)}, Halo(), source)
    assert {name: cells.tolist() for name, cells in window.items()} == {"time": [3, 4]}


def test_axes_that_count_different_things_do_not_meet() -> None:
    with pytest.raises(DeclarationError, match="arcsec"):
        Grid(lat=degrees(0, 10, 1)).window({"lat": slice(0, 1)}, Halo(), Grid(lat=labels("a")))


def test_a_part_of_a_month_is_no_month() -> None:
    with pytest.raises(ConfigError, match="no whole month lies between 2019-01-01 and 2019-01-30"):
        months("1987-08", block=12).between(date(2019, 1, 1), date(2019, 1, 30))


@given(st.integers(0, 60), st.integers(0, 60))
def test_between_keeps_the_days_that_both_have(first: int, last: int) -> None:
    axis = days("2020-01-11", "2020-02-09")  # 30 days
    begin, end = (date.fromordinal(date(2020, 1, 1).toordinal() + n) for n in (first, last))
    wanted = range(max(first, 10), min(last, 39) + 1)
    if len(wanted) == 0:
        with pytest.raises(ConfigError, match="nothing lies between"):
            axis.between(begin, end)
        return
    kept = axis.between(begin, end)
    assert kept.length == len(wanted)
    assert kept.coordinate()[0] == np.datetime64("2020-01-01") + wanted[0]


def test_an_open_end_is_closed_by_the_period() -> None:
    axis = days("2020-01-01", block=4)
    with pytest.raises(DeclarationError, match="open"):
        axis.length  # noqa: B018
    closed = axis.between(date(2020, 1, 1), date(2020, 1, 10))
    assert (closed.length, closed.blocks) == (10, ceil(10 / 4))


def test_steps_are_called_as_people_call_them() -> None:
    hourly = Axis("s", 18262 * DAY, 3600, 48)
    assert Grid(time=days("2020-01-01", "2020-01-31")).step_name(30) == "2020-01-31"
    assert Grid(time=hourly).step_name(25) == "2020-01-02T01:00"
    assert Grid(orbit=labels("ascending", "descending")).step_name(1) == "descending"
    assert Grid(scene=Axis("count", 100, 1, 5)).step_name(2) == "102"


def test_steps_before_1970_have_their_names_too() -> None:
    assert Grid(time=days("1969-12-31", "1970-01-01")).step_name(0) == "1969-12-31"


def test_coordinates_are_day_starts_and_cell_centres() -> None:
    assert degrees(-60, 60, 1).coordinate()[[0, -1]].tolist() == [-59.5, 59.5]
    assert days("2020-01-01", "2020-01-02").coordinate()[1] == np.datetime64("2020-01-02")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: degrees(0, 10, 3), "no whole number"),
        (lambda: days("2020-01-31", "2020-01-01"), "positive"),
        (lambda: degrees(0, 360, 1, block=30, chunk=7), "whole chunks"),
        (lambda: Axis("count", 0, 1, None, periodic=True), "without an end"),
    ],
)
def test_an_impossible_axis_cannot_be_made(make: object, complaint: str) -> None:
    with pytest.raises(DeclarationError, match=complaint):
        make()  # type: ignore[operator]


def test_halos_add_up() -> None:
    both = Halo({"time": (6, 0)}) + Halo({"time": (1, 2), "lon": (3, 3)})
    assert (both("time"), both("lon"), both("lat")) == ((7, 2), (3, 3), (0, 0))


def test_whole_means_one_block() -> None:
    assert degrees(0, 360, 1, block=WHOLE).blocks == 1
