"""What can be asked of `fluxforge simulate`."""

from __future__ import annotations

import re
from datetime import date

import pytest
from typer.testing import CliRunner

from fluxengine.errors import ConfigError
from fluxrecipes import commands
from fluxrecipes.nature.files import table
from fluxrecipes.nature.orbits import SATELLITES
from fluxrecipes.nature.record import _README

FIRST, LAST = date(2005, 6, 1), date(2005, 6, 3)


def test_all_means_every_output_and_the_satellites_that_fly():
    chosen = table.select(FIRST, LAST, outputs="all", satellites="all", hours="all")
    assert chosen.outputs == tuple(output.name for output in table.OUTPUTS)
    assert chosen.satellites == ("f13", "f14", "f15", "f16", "amsre", "windsat")
    assert chosen.hours == tuple(range(24))
    names = [kind.name for kind in chosen.kinds()]
    assert len(names) == len(set(names))
    assert {"rss-f13", "oisst", "era5", "era5-accum", "ndbc", "gtmba", "truth"} <= set(names)


def test_order_and_blanks_do_not_matter():
    chosen = table.select(FIRST, LAST, satellites="windsat, f13", hours="12,0,12")
    assert [one.name for one in chosen.flown()] == ["f13", "windsat"]
    assert chosen.hours == (0, 12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"outputs": "rss,era6"}, "'era6' is not known.*oisst"),
        ({"outputs": ","}, "nothing is named"),
        ({"satellites": "f12"}, "'f12' is not known.*f13"),
        ({"satellites": "gmi"}, "2014-03-04 to now.*f13, f14"),
        ({"outputs": "era5", "hours": "24"}, "'24' is not known"),
        ({"outputs": "truth", "resolution": "0.5"}, "'0.5' is not known.*1, 0.25"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(options, words):
    with pytest.raises(ConfigError, match=words):
        table.select(FIRST, LAST, **options)


def test_a_satellite_of_another_time_matters_only_where_its_maps_are_asked_for():
    assert table.select(FIRST, LAST, outputs="oisst", satellites="f17").satellites == ()


@pytest.mark.parametrize("output", ["truth", "reanalysis"])
@pytest.mark.parametrize(("first", "last"), [("1988-01-01", "1989-12-31"), ("2030-01-01",) * 2])
def test_stores_are_refused_for_days_beyond_their_time_axis(output, first, last):
    period = date.fromisoformat(first), date.fromisoformat(last)
    with pytest.raises(ConfigError, match=f"{output}.* from 1990-01-01 to 2029-12-31; no day of"):
        table.select(*period, outputs=f"oisst,{output}")
    every = table.select(*period, outputs="all", satellites="all")
    assert output not in every.outputs and "oisst" in every.outputs


def test_a_period_that_reaches_onto_the_time_axis_is_taken():
    chosen = table.select(date(1989, 12, 31), date(1990, 1, 1), outputs="truth")
    assert chosen.outputs == ("truth",)


def test_resolution_is_of_the_truth_alone():
    chosen = table.select(FIRST, LAST, outputs="truth", resolution="all")
    assert [kind.name for kind in chosen.kinds()] == ["truth", "truth-0.25"]
    assert chosen.needs_hours()
    assert not table.select(FIRST, LAST, outputs="truth").needs_hours()


def test_no_satellite_maps_outside_its_series():
    (kind,) = table.select(
        date(2009, 11, 1), date(2009, 11, 30), satellites="f13", outputs="rss"
    ).kinds()
    assert kind.serves(date(2009, 11, 4)) and not kind.serves(date(2009, 11, 5))
    assert not SATELLITES["f13"].flies(date(1995, 5, 8))


def test_help_and_readme_name_every_output():
    import typer

    app = typer.Typer()
    app.command()(commands.simulate)
    text = re.sub(r"[\s│]+", " ", CliRunner().invoke(app, ["--help"], terminal_width=200).output)
    for output in table.OUTPUTS:
        assert output.name in text
        assert f"{output.folder}/" in _README


def test_options_that_make_no_sense_are_told(tmp_path):
    with pytest.raises(ConfigError, match="before the first"):
        commands.simulate(tmp_path / "a", first="2019-01-02", last="2019-01-01")
    with pytest.raises(ConfigError, match="negative"):
        commands.simulate(tmp_path / "a", seed=-1)
    assert not (tmp_path / "a").exists()
