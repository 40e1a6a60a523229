"""Bulk fluxes: the front door, in SI units, for arrays of all kinds."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fluxkernels import coare, ecmwf, ncar
from fluxkernels.compile import Algorithm
from fluxkernels.errors import UnknownAlgorithmError, UnknownWindKindError, UnsupportedOptionError
from fluxkernels.evaluation import evaluate
from fluxkernels.fluxes import BulkFlux, some
from fluxkernels.limits import conversions
from fluxkernels.solving import Processor, Solve
from fluxkernels.surface_layer import ANY, EQUAL, GIVEN, LEVEL, OWN, TEN, Options


def bulk_flux(
    wind_speed: ArrayLike,
    sea_surface_temperature: ArrayLike,
    air_temperature: ArrayLike,
    specific_humidity: ArrayLike,
    *,
    height_wind: ArrayLike = 10.0,
    height_temperature: ArrayLike = 10.0,
    height_humidity: ArrayLike = 10.0,
    pressure: ArrayLike = 101300.0,
    latitude: ArrayLike = 45.0,
    boundary_layer_height: ArrayLike = 600.0,
    salinity: ArrayLike = 35.0,
    wind_kind: str = "actual",
    cool_skin: bool = False,
    shortwave_down: ArrayLike = 150.0,
    longwave_down: ArrayLike = 370.0,
    albedo: ArrayLike = 0.055,
    rain: ArrayLike = 0.0,
    wave_speed: ArrayLike = math.nan,
    wave_height: ArrayLike = math.nan,
    current: ArrayLike = 0.0,
    at_height: ArrayLike = 10.0,
    algorithm: str = "coare36",
    outputs: Collection[str] | None = None,
    dtype: DTypeLike | None = None,
    threads: int | None = None,
) -> BulkFlux:
    """Turbulent fluxes of heat, moisture and momentum between sea and air.

    All physical arguments may be arrays of any shapes that broadcast; none is changed. A NaN
    (or a masked point, or a negative wind) gives NaN at that point in every output, and
    touches no other point. Objects of pandas are taken by position, and refused where their
    indices differ. Arrays on an NVIDIA GPU, CuPy's or torch's, stay there: the fluxes are
    computed by it, and none may stand beside an array in main memory.

    Parameters
    ----------
    wind_speed : array_like
        m s-1, relative to the water, or to the ground if there is a `current`. A negative speed
        counts as missing.
    sea_surface_temperature : array_like
        Kelvin; of the interface, or with `cool_skin` of the water just below it. Below the
        freezing point of the salinity the surface is taken for ice.
    air_temperature : array_like
        Kelvin, at `height_temperature`; not potential temperature.
    specific_humidity : array_like
        kg kg-1, at `height_humidity`.
    height_wind, height_temperature, height_humidity : array_like, optional
        Metres above the sea.
    pressure : array_like, optional
        Pa, at sea level.
    latitude : array_like, optional
        Degrees north; gives COARE the acceleration of gravity.
    boundary_layer_height : array_like, optional
        Metres; scales COARE's gustiness of an unstable boundary layer.
    salinity : array_like, optional
        Practical salinity of the surface.
    wind_kind : {"actual", "neutral"}, optional
        ``"neutral"``: `wind_speed` is the 10-m equivalent neutral wind, as scatterometers and
        microwave radiometers report it (see Notes).
    cool_skin : bool, optional
        Compute the interface's cooling below the temperature given. The radiation arguments
        are used only then.
    shortwave_down, longwave_down : array_like, optional
        Radiation at the surface, W m-2, downward. The defaults are those of COARE 3.5.
    albedo : array_like, optional
        Of the surface for shortwave; 0.055 is COARE's constant. To give *net* shortwave,
        pass it as `shortwave_down` with ``albedo=0``.
    rain : array_like, optional
        kg m-2 s-1; enters `rain_heat` only.
    wave_speed : array_like, optional
        Phase speed (m s-1) of the waves at the spectral peak; where it is NaN, or nowhere given,
        the wind alone makes the roughness.
    wave_height : array_like, optional
        Significant height (m) of the waves, used where there is a `wave_speed`; where it is NaN it
        comes from their age and the wind.
    current : array_like, optional
        Of the water along the wind, m s-1: the fluxes are those of the wind over the water.
        Leave it out where the wind comes from a scatterometer or a radiometer, which see the
        water's roughness and so that wind already.
    at_height : array_like, optional
        Metres above the sea: where the outputs `wind_speed_at_height`,
        `air_temperature_at_height` and `specific_humidity_at_height` are wanted, such as a
        buoy's sensors.
    algorithm : {"coare36", "coare35", "coare30", "ncar", "ecmwf"}, optional
        Bulk algorithm; the last two know neither `cool_skin` nor waves.
    outputs : collection of str, optional
        Fields of the result that are wanted; the others are None, and cost no memory. By
        default all; one at least.
    dtype : dtype, optional
        float32 or float64, to compute in and for the outputs; by default float32 when all arrays
        are float32, else float64.
    threads : int, optional
        Default: one for each processor that this process may use; a single one for few points,
        or when called from a thread that is not the main one.

    Returns
    -------
    BulkFlux
        Named tuple of arrays of the broadcast shape; of NumPy scalars when all inputs are
        scalars; of DataArrays, with dimensions and coordinates kept and CF attributes, when one
        is a DataArray; on the GPU when one is.

    Raises
    ------
    UnknownAlgorithmError, UnknownWindKindError, UnknownOutputError, UnsupportedOptionError
        FK101, FK102, FK108, FK112.
    ShapeError, NotNumericError, HeightError, DtypeError
        FK103, FK104, FK105 (a height not above zero), FK107.
    OutOfRangeError
        FK106: a value that its unit does not allow, such as a temperature in °C, a humidity
        in g kg-1, a pressure in hPa, or a fill value.
    PlaceError, MissingPackageError
        FK110 (arrays in different memories), FK111 (no compiler for the GPU).

    Notes
    -----
    COARE 3.6 (Fairall et al., 1996b, 2003; Edson et al., 2013), without its warm layer, with
    the numerics of NOAA's Python `coare36vn_zrf_et`: exactly ten passes, and 0 °C taken for
    273.16 K inside. 3.5 and 3.0 as NOAA's Python `coare35vn` and Fortran `cor30a` have them:
    they know neither salinity nor ice, and 3.0 makes three passes. Temperatures are converted
    at the door by 273.15 K.

    NCAR's is Large and Yeager (2009), ECMWF's that of the IFS cycles 40r1 to 45r1, both with the
    numerics of AeroBulk (Brodeau et al., 2017), five passes, and the humidity of the surface of
    their own papers. Their coefficients are relative to the air at `height_wind`, to which they
    bring temperature and humidity.

    The *equivalent neutral wind* is COARE's: the mean wind that would blow at 10 m under
    neutral stratification with the same stress and roughness, U10N = (u* / kappa) (U / S)
    log(10 / zo), where S is the mean wind U with gustiness. Gustiness is thus taken out of
    it, as it is out of the mean wind. From a neutral wind, u* = kappa (S / U) U10N /
    log(10 / zo) holds in every pass, the mean wind follows as U = U10N (log(z / zo) -
    psi(z / L)) / log(10 / zo), and Charnock's number comes from U10N itself; S / U is taken at
    `height_wind`. Where the iteration settles,
    ``bulk_flux(flux.neutral_wind_10m, ..., wind_kind="neutral")`` gives `flux` again. In a
    near-calm far from neutral COARE keeps the first of its passes: there it does so only
    nearly, and in extreme stability COARE's neutral wind may even come out negative.

    References
    ----------
    Fairall, C. W., et al., 1996a: J. Geophys. Res., 101, 1295-1308 (cool skin).
    Fairall, C. W., et al., 1996b: J. Geophys. Res., 101, 3747-3764.
    Fairall, C. W., et al., 2003: J. Climate, 16, 571-591.
    Edson, J. B., et al., 2013: J. Phys. Oceanogr., 43, 1589-1610.
    Large, W. G., and S. G. Yeager, 2009: Climate Dyn., 33, 341-364.
    ECMWF, 2021: IFS documentation CY47R3, part IV, chapter 3.
    Brodeau, L., et al., 2017: J. Phys. Oceanogr., 47, 5-28.

    Examples
    --------
    >>> import numpy as np
    >>> flux = bulk_flux(np.array([4.0, 12.0]), 300.15, 298.65, 0.0165)
    >>> flux.latent.round(1)
    array([ 85.5, 213.9])
    """
    inputs = {
        "wind_speed": wind_speed,
        "sea_surface_temperature": sea_surface_temperature,
        "air_temperature": air_temperature,
        "specific_humidity": specific_humidity,
        "height_wind": height_wind,
        "height_temperature": height_temperature,
        "height_humidity": height_humidity,
        "pressure": pressure,
        "latitude": latitude,
        "boundary_layer_height": boundary_layer_height,
        "salinity": salinity,
        "shortwave_down": shortwave_down,
        "longwave_down": longwave_down,
        "albedo": albedo,
        "rain": rain,
        "wave_speed": wave_speed,
        "wave_height": wave_height,
        "current": current,
        "at_height": at_height,
    }
    wanted = some(outputs)
    physics = physics_for(inputs, algorithm, wind_kind, cool_skin)

    def make(processor: Processor) -> Solve:
        return processor.solver(physics, conversions(inputs), threads)

    return BulkFlux(*evaluate(make, inputs, wanted, dtype))


def all_arguments(*observations: Any, **options: Any) -> dict[str, Any]:
    """Arguments of a call of `bulk_flux`, by name, with those that were left out."""
    call = inspect.signature(bulk_flux).bind(*observations, **options)
    call.apply_defaults()
    return call.arguments


class _Origin(NamedTuple):
    """What makes an algorithm, and what it can."""

    make: Callable[[Options], Algorithm]
    version: int = 0
    skin_and_waves: bool = False


_ALGORITHMS = {
    "coare30": _Origin(coare.algorithm, 30, True),
    "coare35": _Origin(coare.algorithm, 35, True),
    "coare36": _Origin(coare.algorithm, 36, True),
    "ncar": _Origin(ncar.algorithm),
    "ecmwf": _Origin(ecmwf.algorithm),
}


def physics_for(
    inputs: Mapping[str, Any], algorithm: str, wind_kind: str, cool_skin: bool
) -> Algorithm:
    """Choose the physics, no more general than the inputs need."""
    neutral = _is_neutral(wind_kind)
    if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
        raise UnknownAlgorithmError(
            f"there is no bulk algorithm {algorithm!r}.",
            "algorithm",
            f"Choose one of: {', '.join(_ALGORITHMS)}.",
        )
    origin = _ALGORITHMS[algorithm]
    skin, waves = _is_on("cool_skin", cool_skin), _is_given(inputs["wave_speed"])
    high = _is_given(inputs["wave_height"])
    for name, asked in (("cool_skin", skin), ("wave_speed", waves), ("wave_height", high)):
        if asked and not origin.skin_and_waves:
            mend = "Leave it out, or choose a version of COARE."
            raise UnsupportedOptionError(f"{algorithm} has no use for it here.", name, mend)
    levels = _levels(inputs)
    to = _output_level(inputs, levels)
    return origin.make(Options(origin.version, neutral, skin, waves, levels, to))


def _levels(inputs: Mapping[str, Any]) -> int:
    """Tell which heights are known to be equal."""
    heights = [inputs[f"height_{name}"] for name in ("wind", "temperature", "humidity")]
    if not all(isinstance(height, int | float) for height in heights):
        return ANY
    wind, temperature, humidity = heights
    if temperature != humidity:
        return ANY
    return EQUAL if temperature == wind else LEVEL


def _output_level(inputs: Mapping[str, Any], levels: int) -> int:
    """Tell what is known of the height to reduce to."""
    height = inputs["at_height"]
    if levels == EQUAL and _is_number(height, inputs["height_wind"]):
        return OWN
    return TEN if _is_number(height, 10.0) else GIVEN


def _is_given(value: Any) -> bool:
    return not (isinstance(value, float) and math.isnan(value))


def _is_number(value: Any, number: float) -> bool:
    """Tell whether a value is this number, for all points."""
    return isinstance(value, int | float) and value == number


def _is_on(name: str, value: Any) -> bool:
    """Tell whether a switch is on, which is the same for all points."""
    if not isinstance(value, bool | np.bool_ | int):
        what = f"a {type(value).__name__} is no switch, which is on or off for all points."
        raise UnsupportedOptionError(what, name, "Pass True or False.")
    return bool(value)


def _is_neutral(wind_kind: Any) -> bool:
    if not isinstance(wind_kind, str) or wind_kind not in ("actual", "neutral"):
        raise UnknownWindKindError(
            f"{wind_kind!r} is no kind of wind.",
            "wind_kind",
            'Choose "actual" (as measured) or "neutral" (10-m equivalent neutral).',
        )
    return wind_kind == "neutral"
