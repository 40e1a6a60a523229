"""Which satellites serve on which day, and how their passes become one."""

from datetime import date, timedelta

import numpy as np
import pytest
import xarray as xr

from fluxengine import registry
from fluxengine.errors import ConfigError, UnknownName
from fluxengine.grid import days
from fluxrecipes import vocabulary as cf
from fluxrecipes.constellation import (
    CODES,
    DOUBTFUL,
    NO_SATELLITE,
    RECORD,
    SURE,
    Constellation,
    codes,
    source_of,
)
from fluxrecipes.products import deepflux
from fluxrecipes.sources import rss
from fluxrecipes.stages.merge import MergeSatellites
from fluxrecipes.stages.regrid import ObservationTime, Regrid

SOURCES = {name: registry.source(f"rss-{name}") for name in RECORD}
NEWEST = Constellation.of("newest", SOURCES, {})

# Wang et al. (2026), Table 3. A period there ends the day before a satellite's last in Table 2.
TABLE_3 = [
    ("1992-01-01", "1995-05-08", "f10 f11"),
    ("1995-05-09", "1997-05-13", "f10 f11 f13"),
    ("1997-05-14", "1997-11-13", "f10 f11 f13 f14"),
    ("1997-11-15", "1999-12-23", "f11 f13 f14"),
    ("1999-12-24", "2000-05-15", "f11 f13 f14 f15"),
    ("2000-05-17", "2003-10-31", "f13 f14 f15"),
    ("2003-11-01", "2006-08-13", "f13 f14 f15 f16"),
    ("2006-09-01", "2006-12-19", "f13 f14 f16"),
    ("2006-12-20", "2008-08-07", "f13 f14 f16 f17"),
    ("2008-08-09", "2009-11-03", "f13 f16 f17"),
    ("2009-11-05", "2020-12-31", "f16 f17"),
]


@pytest.mark.parametrize(("first", "last", "satellites"), TABLE_3)
def test_the_satellites_of_a_day_are_those_of_the_paper(
    first: str, last: str, satellites: str
) -> None:
    for day in (first, last):
        assert sorted(NEWEST.order(date.fromisoformat(day))) == satellites.split()


def test_every_day_of_the_record_has_a_satellite() -> None:
    day = date(1992, 1, 1)
    while day <= date(2020, 12, 31):
        assert NEWEST.order(day), day
        day += timedelta(days=1)


def test_the_newest_is_believed_first_but_not_where_it_is_in_doubt() -> None:
    assert NEWEST.order(date(2007, 1, 1)) == ("f17", "f16", "f14", "f13")
    assert NEWEST.order(date(2016, 2, 29)) == ("f17", "f16")
    assert NEWEST.order(date(2016, 3, 1)) == ("f16", "f17")
    assert NEWEST.order(date(2016, 7, 1)) == ("f17", "f16")
    assert "f15" in NEWEST.order(date(2006, 8, 13))
    assert "f15" not in NEWEST.order(date(2006, 8, 14))


def test_one_local_time_is_kept_by_a_chain_of_three() -> None:
    chain = Constellation.of("fixed-local-time", SOURCES, {})
    found = {chain.order(date(year, 7, 1)) for year in range(1992, 2021)}
    assert found == {("f11",), ("f13",), ("f17",)}
    assert chain.order(date(1995, 5, 8)) == ("f11",)
    assert chain.order(date(1995, 5, 9)) == ("f13",)
    assert chain.order(date(2006, 12, 19)) == ("f13",)
    assert chain.order(date(2006, 12, 20)) == ("f17",)
    by_name = {i.sensor: i for i in rss.INSTRUMENTS}
    hours = [
        by_name[chain.order(date(year, 7, 1))[0]].crossing(date(year, 7, 1))
        for year in range(1992, 2021)
    ]
    assert max(hours) - min(hours) < 1.3


def test_a_ranking_puts_the_closest_first_and_the_newest_where_it_says_nothing() -> None:
    ranked = Constellation.of("closest-to-in-situ", SOURCES, {"2007-02": ("f13", "f16")})
    assert ranked.order(date(2007, 2, 9)) == ("f13", "f16", "f17", "f14")
    assert ranked.order(date(2007, 3, 9)) == NEWEST.order(date(2007, 3, 9))


def test_what_a_rule_needs_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="f17 is not among"):
        Constellation.of("fixed-local-time", {n: SOURCES[n] for n in ("f11", "f13")}, {})
    with pytest.raises(ConfigError, match="needs a ranking"):
        Constellation.of("closest-to-in-situ", SOURCES, {})


def test_what_is_no_satellite_is_refused_in_words() -> None:
    for name in ("oisst", "rss-f17-monthly", "f17-3day", "era5"):
        with pytest.raises(ConfigError, match="no wind on the ascending and descending passes"):
            source_of(name)
    for name, near in (("F17", "'f17'"), ("f99", "f10, f10-ghrc, f11"), ("insitu", "Known: ")):
        with pytest.raises(UnknownName, match=f"no satellite '{name}'.*{near}"):
            source_of(name)
    assert source_of("f17") is source_of("rss-f17")


def test_codes_of_satellites_are_their_own_and_newcomers_come_above() -> None:
    assert {f"f{code}": code for code in (10, 11, 13, 14, 15, 16, 17, 18)}.items() <= CODES.items()
    assert codes(("f17", "zeta", "alpha")) == {17: "f17", 225: "zeta", 212: "alpha"}


def test_a_newcomers_code_stays_whatever_satellites_come_beside_it() -> None:
    """It is stored: another one's name must not stand for it some day."""
    (alone,) = codes(("mwx",))
    for beside in (("aaa",), ("zzz", "f17"), RECORD):
        assert codes((*beside, "mwx"))[alone] == "mwx"
        assert codes(("mwx", *beside))[alone] == "mwx"


def test_codes_of_newcomers_fit_the_flag_and_are_none_of_the_built_in_ones() -> None:
    found = {code for at in range(999) for code in codes((f"newcomer-{at}",))}
    assert found == set(range(100, 256))


def test_newcomers_with_one_code_are_refused_with_both_names() -> None:
    with pytest.raises(ConfigError, match=r"'sat15' and 'sat39' give the same satellite code, "):
        codes(("f17", "sat15", "sat39"))
    assert codes(("sat15", "sat15")) == codes(("sat15",))


# --- merging -------------------------------------------------------------------------------------

WIND, RAIN = cf.wind_speed, cf.rain_rate
SEEN, N, R = cf.OBSERVED, cf.NO_OBSERVATION, cf.NO_RETRIEVAL


def pass_of(wind: list[int], rain: list[int], value: float) -> dict[str, xr.DataArray]:
    """A day of one satellite: states of five cells; its values are all `value`."""
    coords = {"time": np.array(["2016-02-01"], "datetime64[ns]")}

    def made(values: list[float]) -> xr.DataArray:
        return xr.DataArray(np.array([values]), coords, ("time", "lon"))

    found = {
        "pass_time": made(
            [value / 10 if {w, r} & {SEEN} else np.nan for w, r in zip(wind, rain, strict=True)]
        )
    }
    for name, state in (("wind_speed", wind), ("rain_rate", rain)):
        found |= {
            name: made([value if s == SEEN else np.nan for s in state]),
            f"{name}_count": made([16.0 if s == SEEN else 0.0 for s in state]),
            f"{name}_state": made(state).astype("u1"),
        }
    return found


def merged(
    constellation: Constellation, **passes: dict[str, xr.DataArray]
) -> dict[str, list[float]]:
    stage = MergeSatellites((WIND, RAIN), constellation, ("rain_rate",))
    given = {f"{sensor}_{n}": a for sensor, one in passes.items() for n, a in one.items()}
    assert set(stage.inputs) == set(given)
    made = stage.load()(given)
    assert set(made) == {v.name for v in stage.outputs}
    return {name: values[0].values.tolist() for name, values in made.items()}


TWO = Constellation("newest", (("f16", date(2003, 11, 1), None), ("f17", date(2006, 12, 20), None)))


def test_a_cell_is_given_by_the_first_satellite_whatever_rain_took_from_it() -> None:
    """The second cell: another's wind would be there, of an hour without rain."""
    f17 = pass_of([SEEN, R, SEEN, N, R], [SEEN, SEEN, R, N, R], value=17)
    f16 = pass_of([SEEN, SEEN, N, SEEN, N], [SEEN, SEEN, N, SEEN, N], value=16)
    made = merged(TWO, f17=f17, f16=f16)
    assert made["satellite"] == [17, 17, 17, 16, NO_SATELLITE]
    np.testing.assert_array_equal(made["wind_speed"], [17, np.nan, 17, 16, np.nan])
    np.testing.assert_array_equal(made["rain_rate"], [17, 17, np.nan, 16, np.nan])
    assert made["wind_speed_state"] == [SEEN, R, SEEN, SEEN, R]
    assert made["rain_rate_state"] == [SEEN, SEEN, R, SEEN, R]
    assert made["rain_rate_count"] == [16, 16, 0, 16, 0]
    np.testing.assert_allclose(made["pass_time"], [1.7, 1.7, 1.7, 1.6, np.nan])
    assert set(made["satellite_quality"]) == {SURE}


def test_a_satellite_in_doubt_fills_what_others_leave_and_is_marked() -> None:
    def in_march(one: dict[str, xr.DataArray]) -> dict[str, xr.DataArray]:
        march = np.array(["2016-03-15"], "datetime64[ns]")
        return {name: values.assign_coords(time=march) for name, values in one.items()}

    f17 = in_march(pass_of([SEEN, SEEN, N, N, N], [SEEN, SEEN, N, N, N], value=17))
    f16 = in_march(pass_of([SEEN, N, SEEN, N, N], [SEEN, N, SEEN, N, N], value=16))
    made = merged(TWO, f17=f17, f16=f16)
    assert made["satellite"] == [16, 17, 16, NO_SATELLITE, NO_SATELLITE]
    assert made["satellite_quality"] == [SURE, DOUBTFUL, SURE, SURE, SURE]


def test_a_satellite_out_of_its_period_or_without_a_file_gives_nothing() -> None:
    never, failed = 0, 1  # the engine's flags
    f17 = pass_of([never] * 5, [failed] * 5, value=17)
    f16 = pass_of([SEEN, R, N, SEEN, SEEN], [SEEN, R, N, SEEN, SEEN], value=16)
    made = merged(TWO, f17=f17, f16=f16)
    assert made["satellite"] == [16, NO_SATELLITE, NO_SATELLITE, 16, 16]
    assert made["wind_speed_state"] == [SEEN, R, N, SEEN, SEEN]


def test_the_time_of_a_cell_is_the_middle_one_and_no_mean_over_midnight() -> None:
    fine = np.full((1, 4, 8), 23.9)
    fine[0, :, :4] = np.array([0.1] * 5 + [23.8] * 11).reshape(4, 4)
    flags = np.full(fine.shape, 2, "u1")
    flags[0, :, 4:] = 254
    flags[0, 0, 4] = 2
    axes = {"time": [0], "lat": np.arange(4.0), "lon": np.arange(8.0)}
    given = {
        "pass_time": xr.DataArray(fine, axes, tuple(axes)),
        "pass_time_flag": xr.DataArray(flags, axes, tuple(axes)),
    }
    (found,) = ObservationTime().load()(given).values()
    assert found.values.tolist() == [[[23.8, 23.9]]]
    none = given | {"pass_time_flag": given["pass_time_flag"] * 0}
    assert np.isnan(ObservationTime().load()(none)["pass_time"].values).all()


def test_the_record_reads_each_satellite_over_its_own_period() -> None:
    product = deepflux.merged(deepflux.Options())
    assert [read.prefix for read in product.reads] == [f"{name}_" for name in RECORD]
    for read, name in zip(product.reads, RECORD, strict=True):
        axis = read.dataset.grid.step_axis
        assert read.partial and (axis.origin, axis.size) == (
            SOURCES[name].grid.step_axis.origin,
            SOURCES[name].grid.step_axis.size,
        )
    assert Regrid.of(WIND)[0] in product.publishes
    assert days("1987-07-09", block=30) == product.grid.step_axis
