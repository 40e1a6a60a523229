"""What bulk_flux does with arrays, whatever the physics."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fluxkernels import bulk_flux
from fluxkernels.cpu import BLOCK
from fluxkernels.fluxes import ATTRIBUTES, BulkFlux

PHYSICAL = {
    "wind_speed": (0.0, 40.0),
    "sea_surface_temperature": (268.0, 307.0),
    "air_temperature": (250.0, 312.0),
    "specific_humidity": (0.0, 0.03),
    "height_wind": (2.0, 30.0),
    "height_temperature": (2.0, 30.0),
    "height_humidity": (2.0, 30.0),
    "pressure": (90_000.0, 106_000.0),
    "latitude": (-90.0, 90.0),
    "boundary_layer_height": (100.0, 2000.0),
    "salinity": (0.0, 40.0),
    "shortwave_down": (0.0, 1200.0),
    "longwave_down": (100.0, 500.0),
    "albedo": (0.0, 1.0),
    "rain": (0.0, 0.01),
    "wave_speed": (1.0, 25.0),
    "wave_height": (0.1, 12.0),
    "current": (-2.0, 2.0),
    "at_height": (1.0, 40.0),
}
WAVES = {"wave_speed", "wave_height"}  # where they are NaN the wind makes the waves
RARE = WAVES | {"rain", "current", "at_height"}
quick = settings(max_examples=25)


@st.composite
def arguments(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """All physical arguments as arrays that broadcast against each other."""
    shapes = draw(
        hnp.mutually_broadcastable_shapes(num_shapes=len(PHYSICAL), max_dims=3, max_side=4)
    )
    return {
        name: draw(hnp.arrays(np.float64, shape, elements=st.floats(low, high)))
        for (name, (low, high)), shape in zip(PHYSICAL.items(), shapes.input_shapes, strict=True)
    }


def same(left: BulkFlux, right: BulkFlux) -> bool:
    """Equal to the last bit, NaN included."""
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(left, right, strict=True))


def pick(flux: BulkFlux, index: Any) -> BulkFlux:
    """Take the same points of every field."""
    return BulkFlux(*(np.asarray(values)[index] for values in flux))


def test_the_table_above_has_every_physical_argument() -> None:
    """A new argument must enter these tests."""
    names = set(inspect.signature(bulk_flux).parameters)
    choices = {"wind_kind", "cool_skin", "algorithm", "outputs", "dtype", "threads"}
    assert names - set(PHYSICAL) == choices


@quick
@given(arguments(), st.booleans(), st.sampled_from(["actual", "neutral"]))
def test_inputs_stay_and_calls_repeat(given_: dict[str, np.ndarray], cool: bool, kind: str) -> None:
    """No argument is changed, and a second call gives the same."""
    before = {name: array.copy() for name, array in given_.items()}
    first = bulk_flux(**given_, cool_skin=cool, wind_kind=kind)
    second = bulk_flux(**given_, cool_skin=cool, wind_kind=kind)
    assert same(first, second)
    assert all(np.array_equal(before[name], given_[name]) for name in given_)


@quick
@given(arguments(), st.booleans())
def test_broadcasting_is_that_of_numpy(given_: dict[str, np.ndarray], cool: bool) -> None:
    """Arguments broadcast beforehand, in any memory order, give the same."""
    full = np.broadcast_arrays(*given_.values())
    flux = bulk_flux(**given_, cool_skin=cool)
    copies = dict(zip(given_, (np.copy(a, order="F") for a in full), strict=True))
    transposed = dict(zip(given_, (a.T for a in full), strict=True))
    assert np.shape(flux.latent) == full[0].shape
    assert same(flux, bulk_flux(**copies, cool_skin=cool))
    assert same(BulkFlux(*(np.transpose(v) for v in flux)), bulk_flux(**transposed, cool_skin=cool))


@quick
@given(st.sampled_from(sorted({*PHYSICAL} - WAVES)), st.integers(0, 9_999), st.booleans())
def test_nan_stays_at_its_point(
    weather: dict[str, np.ndarray], name: str, place: int, masked: bool
) -> None:
    """A missing value, NaN or masked, spoils all outputs of its point and no other."""
    array = np.full(10_000, DEFAULTS[name]) if name not in weather else weather[name].copy()
    whole = bulk_flux(**(weather | {name: array}), cool_skin=True)
    array = array.copy()
    array[place] = np.nan
    values = np.ma.masked_invalid(array) if masked else array
    flux = bulk_flux(**(weather | {name: values}), cool_skin=True)
    others = np.arange(10_000) != place
    assert not any(isinstance(field, np.ma.MaskedArray) for field in flux)
    assert all(np.isnan(field[place]) for field in flux)
    assert same(pick(flux, others), pick(whole, others))


@pytest.mark.parametrize("name", sorted({*PHYSICAL} - WAVES))
def test_every_missing_argument_spoils_its_point(name: str) -> None:
    point = {"wind_speed": 7.0, "sea_surface_temperature": 300.0}
    point |= {"air_temperature": 299.0, "specific_humidity": 0.015}
    flux = bulk_flux(**(point | {name: np.array([np.nan, np.nan])}), cool_skin=True)
    assert all(np.isnan(field).all() for field in flux)


@pytest.mark.parametrize("algorithm", ["coare30", "coare35", "ncar", "ecmwf"])
def test_nan_stays_at_its_point_in_every_algorithm(
    weather: dict[str, np.ndarray], algorithm: str
) -> None:
    """The same of each of the others, in the four arguments that all must give."""
    whole = bulk_flux(**weather, algorithm=algorithm)
    assert np.isfinite(whole.latent).all()
    for place, name in enumerate(weather):
        spoilt = weather[name].copy()
        spoilt[place] = np.nan
        flux = bulk_flux(**(weather | {name: spoilt}), algorithm=algorithm)
        assert all(np.isnan(field[place]) for field in flux)
        others = np.arange(spoilt.size) != place
        assert same(pick(flux, others), pick(whole, others))


DEFAULTS = {
    name: parameter.default for name, parameter in inspect.signature(bulk_flux).parameters.items()
}
_whole: list[BulkFlux] = []


def whole_fluxes(weather: dict[str, np.ndarray]) -> BulkFlux:
    """Compute the ten thousand points at once, and once."""
    if not _whole:
        _whole.append(bulk_flux(**weather, cool_skin=True))
    return _whole[0]


def test_radiation_is_not_needed_without_a_cool_skin() -> None:
    """What is not used cannot be missing."""
    flux = bulk_flux(8.0, 300.0, 299.0, 0.015, shortwave_down=np.nan, longwave_down=np.nan)
    assert np.isfinite(flux.latent)


def test_chunks_equal_the_whole(weather: dict[str, np.ndarray]) -> None:
    """Blocks inside, and chunks outside, leave no trace in any bit."""
    whole = whole_fluxes(weather)
    assert whole.latent.size > 2 * BLOCK
    for chunk in (slice(0, 1), slice(1, BLOCK + 7), slice(BLOCK + 7, None), slice(3, None, 1000)):
        part = bulk_flux(**{name: array[chunk] for name, array in weather.items()}, cool_skin=True)
        assert same(part, pick(whole, chunk))


@pytest.mark.parametrize("name", sorted(PHYSICAL))
def test_every_argument_matters(weather: dict[str, np.ndarray], name: str) -> None:
    """Changing any one argument changes some flux; all of them are plumbed in."""
    base = dict(weather) | {k: DEFAULTS[k] for k in PHYSICAL if k not in weather}
    base |= (
        {"wave_speed": 8.0, "wave_height": 2.0, "rain": 1e-3, "current": 1.0, "at_height": 4.0}
        if name in RARE
        else {}
    )
    changed = base | {name: base[name] * 0.9 + (0.1 if name == "albedo" else 0.0)}
    if name in ("sea_surface_temperature", "air_temperature"):
        changed[name] = base[name] + 1.0
    before, after = bulk_flux(**base, cool_skin=True), bulk_flux(**changed, cool_skin=True)
    seen = ("latent", "rain_heat", "specific_humidity_at_height")
    assert max(np.mean(getattr(before, out) != getattr(after, out)) for out in seen) > 0.1


@pytest.mark.parametrize("changed", [{"cool_skin": True}, {"wind_kind": "neutral"}])
def test_every_choice_matters(weather: dict[str, np.ndarray], changed: dict[str, Any]) -> None:
    """So does each choice."""
    assert np.mean(bulk_flux(**weather).latent != bulk_flux(**weather, **changed).latent) > 0.9


@pytest.mark.parametrize(
    ("dtypes", "requested", "expected"),
    [
        ("ffff", None, "f4"),
        ("dddd", None, "f8"),
        ("fffd", None, "f8"),
        ("eeee", None, "f4"),
        (">f4 >f4 >f4 >f4", None, "f4"),
        ("iddd", None, "f8"),
        ("dddd", "float32", "f4"),
        ("ffff", np.float64, "f8"),
    ],
)
def test_output_dtype(dtypes: str, requested: Any, expected: str) -> None:
    """float32 in, float32 out; scalars and defaults do not decide."""
    values = (8.0, 300.0, 299.0, 0.015)
    kinds = dtypes.split() if " " in dtypes else dtypes
    given_ = [np.full(3, v, dtype) for v, dtype in zip(values, kinds, strict=True)]
    flux = bulk_flux(*given_, height_wind=np.float64(9.0), dtype=requested)
    assert {field.dtype for field in flux} == {np.dtype(expected)}


def test_float32_is_close_to_float64(weather: dict[str, np.ndarray]) -> None:
    """Computed in single precision: within 5 mW m-2 and 10 µN m-2."""
    single = {name: array.astype(np.float32) for name, array in weather.items()}
    for options in ({}, {"cool_skin": True}, {"height_temperature": 2.0, "height_humidity": 2.0}):
        double = bulk_flux(**single, **options, dtype=np.float64)
        flux = bulk_flux(**single, **options)
        np.testing.assert_allclose(flux.latent, double.latent, atol=5e-3, rtol=0)
        np.testing.assert_allclose(flux.sensible, double.sensible, atol=5e-3, rtol=0)
        np.testing.assert_allclose(flux.stress, double.stress, atol=1e-5, rtol=0)


def test_scalars_give_scalars() -> None:
    """Python numbers, NumPy scalars and 0-d arrays all give NumPy scalars."""
    for scalar in (float, np.float64, np.array):
        flux = bulk_flux(*(scalar(v) for v in (8.0, 300.0, 299.0, 0.015)))
        assert {type(field) for field in flux} == {np.float64}
    flux = bulk_flux(*(np.float32(v) for v in (8.0, 300.0, 299.0, 0.015)))
    assert {type(field) for field in flux} == {np.float32}


def test_empty_arrays_give_empty_arrays() -> None:
    """A chunk without points is a chunk."""
    flux = bulk_flux(np.empty((0, 3)), 300.0, np.full(3, 299.0), 0.015)
    assert {field.shape for field in flux} == {(0, 3)}


def test_read_only_and_strided_inputs() -> None:
    """Views as they come out of stores and reversed latitudes."""
    wind = np.linspace(0.0, 20.0, 12).reshape(3, 4)
    wind.flags.writeable = False
    flux = bulk_flux(wind, 300.0, 299.0, 0.015)
    backwards = bulk_flux(wind[::-1, ::2], 300.0, 299.0, 0.015)
    assert same(backwards, pick(flux, (slice(None, None, -1), slice(None, None, 2))))


def test_dataarrays_keep_dimensions_and_coordinates() -> None:
    """Dimensions broadcast by name."""
    xr = pytest.importorskip("xarray")
    wind = xr.DataArray([5.0, 8.0, np.nan], coords={"time": [1, 2, 3]}, dims="time")
    sea = xr.DataArray([299.0, 300.0], coords={"lat": [10.0, 11.0]}, dims="lat")
    flux = bulk_flux(wind, sea, 298.0, 0.015)
    assert flux.latent.dims == ("time", "lat")
    assert list(flux.stress.time) == [1, 2, 3]
    assert flux.latent.values[1, 1] == bulk_flux(8.0, 300.0, 298.0, 0.015).latent
    assert np.isnan(flux.latent.values[2]).all()


def test_dataarrays_carry_the_attributes_of_their_results() -> None:
    """None of an input's; and the standard names exist, with these units."""
    xr = pytest.importorskip("xarray")
    wind = xr.DataArray([5.0, 8.0], dims="time", attrs={"standard_name": "wind_speed", "note": "x"})
    flux = bulk_flux(wind, 300.0, 299.0, 0.015)
    assert {name: field.attrs for name, field in flux._asdict().items()} == ATTRIBUTES
    assert flux.latent.attrs["units"] == "W m-2"
    data = Path(pytest.importorskip("compliance_checker").__file__).parent / "data"
    entries = ElementTree.parse(data / "cf-standard-name-table.xml").iter("entry")
    units = {entry.get("id"): entry.findtext("canonical_units") for entry in entries}
    named = [a for a in ATTRIBUTES.values() if "standard_name" in a]
    assert len(named) > 10
    for attributes in named:
        canonical = str(units[attributes["standard_name"]]).replace("Pa", "N m-2")
        assert canonical == attributes["units"].replace("kg kg-1", "1"), attributes


@pytest.mark.parametrize("chunked", [False, True])
def test_coordinates_keep_their_attributes(chunked: bool) -> None:
    """Those of every input, and none of them on the fluxes; with one output or many."""
    xr = pytest.importorskip("xarray")
    named = {
        "lat": {"standard_name": "latitude", "units": "degrees_north"},
        "lon": {"standard_name": "longitude", "units": "degrees_east"},
        "platform": {"long_name": "who measured"},
    }
    coords = {"lon": ("lon", [0.0, 1.0, 2.0], named["lon"]), "platform": ((), 7, named["platform"])}
    wind = xr.DataArray([5.0, 8.0], {"lat": [1.0, 2.0]}, "lat", attrs={"note": "of the wind"})
    sea = xr.DataArray(
        np.full((2, 3), 300.0),
        {"lat": ("lat", [1.0, 2.0], named["lat"]), **coords},
        ("lat", "lon"),
        attrs={"units": "degC", "valid_min": 0.0},
    )
    if chunked:
        pytest.importorskip("dask.array")
        sea = sea.chunk(lon=2)
    for outputs in (None, ["latent"]):
        flux = bulk_flux(wind, sea, 299.0, 0.015, outputs=outputs)
        assert (flux.latent.chunks is not None) == chunked
        assert flux.latent.attrs == ATTRIBUTES["latent"]
        assert {name: values.attrs for name, values in flux.latent.coords.items()} == named
    assert sea.attrs == {"units": "degC", "valid_min": 0.0}


@pytest.mark.parametrize("labelled", [False, True])
def test_only_the_outputs_asked_for(labelled: bool) -> None:
    """The others are None; what is given is the same."""
    xr = pytest.importorskip("xarray")
    wind = np.array([3.0, 9.0])
    given_ = xr.DataArray(wind, dims="time") if labelled else wind
    whole = bulk_flux(wind, 300.0, 299.0, 0.015)
    for names in (["stress"], ("latent", "stress"), "latent"):
        flux = bulk_flux(given_, 300.0, 299.0, 0.015, outputs=names)
        for name, field in flux._asdict().items():
            if name == names or (not isinstance(names, str) and name in names):
                assert np.array_equal(field, getattr(whole, name))
            else:
                assert field is None


def test_dask_arrays_stay_lazy() -> None:
    """A chunked DataArray is computed when asked for, chunk by chunk."""
    xr = pytest.importorskip("xarray")
    pytest.importorskip("dask.array")
    wind = xr.DataArray(np.linspace(0.0, 20.0, 12, dtype=np.float32), dims="time").chunk(time=5)
    flux = bulk_flux(wind, 300.0, 299.0, 0.015)
    assert flux.latent.chunks == ((5, 5, 2),)
    assert flux.latent.dtype == np.float32
    expected = bulk_flux(wind.values, 300.0, 299.0, 0.015).latent
    assert np.array_equal(flux.latent.compute(scheduler="synchronous"), expected)


@pytest.mark.parametrize("threads", [2, 3, 16])
def test_threads_leave_no_trace(weather: dict[str, np.ndarray], threads: int) -> None:
    """Points are cut between threads at whole blocks: not a bit depends on where."""
    many = {name: np.tile(array, 7) for name, array in weather.items()}
    assert many["wind_speed"].size > 3 * 16384
    assert same(bulk_flux(**many, threads=threads), bulk_flux(**many, threads=1))
