"""Elementary functions of one number, as the physics calls them and as vector units run them.

Physics imports `log`, `exp`, `atan`, `sin`, `power`, `sqrt` and `where` from here and calls them on
single numbers. As plain Python they are the standard library's. `fluxkernels.cpu` puts the
`VECTOR` ones below in their place, without branches, tables or calls, so that the compiler can run
a loop of them in vector registers; `fluxkernels.cuda` the GPU's own.

The polynomials are minimax fits made by the Remez exchange for this package, in the form named
beside each; the largest error of each is below half a unit in the last place of the result's
largest term. Outside the stated ranges, and for NaN, they may give any number: the physics keeps
their arguments inside, or asks for `log_or_nan` or `power_or_nan`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

NAN = math.nan
LOG2_E = 1.4426950408889634


def log(x: float) -> float:
    """Natural logarithm, for x > 0."""
    return math.log(x)


def exp(x: float) -> float:
    """Exponential function, for |x| < 87."""
    return math.exp(x)


def log2(x: float) -> float:
    """Logarithm to the base 2, for x > 0."""
    return math.log2(x)


def exp2(x: float) -> float:
    """Two to the power x, for |x| < 126."""
    return math.exp2(x)


def atan(x: float) -> float:
    """Inverse tangent, for 0 <= x <= 1."""
    return math.atan(x)


def sin(x: float) -> float:
    """Sine, for |x| <= pi / 2."""
    return math.sin(x)


def sqrt(x: float) -> float:
    """Square root; NaN unless x >= 0."""
    return math.sqrt(x) if x >= 0.0 else NAN


def where(condition: bool, chosen: float, otherwise: float) -> float:
    """Choose between two numbers that are both worked out: no branch."""
    return chosen if condition else otherwise


def power(base: float, exponent: float) -> float:
    """Real power, for a base > 0."""
    return math.pow(base, exponent)


def log_or_nan(x: float) -> float:
    """Natural logarithm; NaN unless x > 0."""
    return where(x > 0.0, log(where(x > 0.0, x, 1.0)), NAN)


def power_or_nan(base: float, exponent: float) -> float:
    """Real power; NaN unless base > 0."""
    return where(base > 0.0, power(where(base > 0.0, base, 1.0), exponent), NAN)


def split(x: float) -> tuple[float, float]:
    """Take x > 0 apart as m 2**k, with sqrt(1/2) <= m < sqrt(2)."""
    m, k = math.frexp(x)
    return (2.0 * m, k - 1.0) if m < _SQRT_HALF else (m, float(k))


def scaled(x: float, k: float) -> float:
    """Multiply x by 2**k, for a whole k."""
    return math.ldexp(x, int(k))


def nearest(x: float) -> float:
    """Round to the nearest whole number."""
    return float(round(x))


_SQRT_HALF = math.sqrt(0.5)
_LN2 = 0.6931471805599453


def _log64(x: float) -> float:
    # x = m 2**k, s = (m - 1) / (m + 1); log x = k log 2 + 2 s + s**3 p(s**2)
    m, k = split(x)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    z2 = z * z
    high = (0.18183890876100578 + z * 0.15306339761918925) + z2 * 0.14867996586628413
    low = (0.666666666666681 + z * 0.3999999999901471) + z2 * (
        0.28571428818404854 + z * 0.2222219165419079
    )
    return (k * _LN2 + 2.0 * s) + (s * z) * (low + (z2 * z2) * high)


def _log2_64(x: float) -> float:
    # x = m 2**k, s = (m - 1) / (m + 1); log2 x = k + s p(s**2)
    m, k = split(x)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    z2 = z * z
    high = (0.320598378743866 + z * 0.2623413017145677) + z2 * (
        0.22075562385421327 + z * 0.2150859935468012
    )
    low = (2.8853900817779268 + z * 0.9617966939260213) + z2 * (
        0.5770780163339131 + z * 0.4121985877202046
    )
    return k + s * (low + (z2 * z2) * high)


def _raise64(r: float, k: float) -> float:
    # 2**(k + r) for |r| <= 1/2; 2**r = 1 + r p(r)
    r2 = r * r
    r4 = r2 * r2
    a = (0.6931471805599453 + r * 0.24022650695910133) + r2 * (
        0.05550410866482174 + r * 0.009618129107593278
    )
    b = (0.0013333558146379001 + r * 0.00015403530458155926) + r2 * (
        1.525273386756687e-05 + r * 1.3215434775924955e-06
    )
    c = (1.0178046452517172e-07 + r * 7.073867667807327e-09) + r2 * 4.4573883744244937e-10
    return scaled(1.0 + r * ((a + r4 * b) + (r4 * r4) * c), k)


def _exp64(x: float) -> float:
    k = nearest(x * LOG2_E)
    return _raise64(x * LOG2_E - k, k)


def _exp2_64(x: float) -> float:
    k = nearest(x)
    return _raise64(x - k, k)


def _power64(base: float, exponent: float) -> float:
    return _exp2_64(exponent * _log2_64(base))


def _atan64(x: float) -> float:
    # atan x = x + x**3 p(x**2)
    z = x * x
    z2 = z * z
    z4 = z2 * z2
    a = (-0.3333333333333237 + z * 0.19999999999866605) + z2 * (
        -0.14285714278618883 + z * 0.11111110908203392
    )
    b = (-0.09090905470360285 + z * 0.0769226379396467) + z2 * (
        -0.06666284465288384 + z * 0.05879870034651757
    )
    c = (-0.0525078191761943 + z * 0.04713563963753946) + z2 * (
        -0.04197385561492052 + z * 0.03621797131024878
    )
    d = (-0.029258871089618263 + z * 0.021221118537457596) + z2 * (
        -0.013204654715701314 + z * 0.006718296224569635
    )
    e = (-0.002645344269357701 + z * 0.0007487836598596848) + z2 * (
        -0.00013468402801280243 + z * 1.1511030713066946e-05
    )
    p = (a + z4 * b) + (z4 * z4) * ((c + z4 * d) + (z4 * z4) * e)
    return x + (x * z) * p


def _sin64(x: float) -> float:
    # sin x = x + x**3 p(x**2)
    z = x * x
    z2 = z * z
    a = (-0.16666666666666666 + z * 0.008333333333333115) + z2 * (
        -0.0001984126984118591 + z * 2.7557319207778946e-06
    )
    b = (-2.5052106605935457e-08 + z * 1.6058927802151318e-10) + z2 * (
        -7.642712051977573e-13 + z * 2.718487269164765e-15
    )
    return x + (x * z) * (a + (z2 * z2) * b)


def _log32(x: float) -> float:
    # x = m 2**k, f = m - 1; log x = k log 2 + f + f**2 p(f)
    m, k = split(x)
    f = m - 1.0
    f2 = f * f
    a = (-0.4999998198154283 + f * 0.33334225442822124) + f2 * (
        -0.2500249104616581 + f * 0.19953613437342
    )
    b = (-0.16552333804376115 + f * 0.14979285792614394) + f2 * (
        -0.14441875071271223 + f * 0.08733630712308339
    )
    return (k * _LN2 + f) + f2 * (a + (f2 * f2) * b)


def _log2_32(x: float) -> float:
    # x = m 2**k, f = m - 1; log2 x = k + f p(f)
    m, k = split(x)
    f = m - 1.0
    f2 = f * f
    a = (1.4426948685578427 - f * 0.7213471284536437) + f2 * (
        0.4809225287653439 - f * 0.36072119628526944
    )
    b = (0.28765667897116404 - f * 0.23851942081458433) + f2 * (
        0.21737933530265105 - f * 0.21030343107169736
    )
    f4 = f2 * f2
    return k + f * (a + f4 * (b + f4 * 0.12541266222628467))


def _raise32(r: float, k: float) -> float:
    # 2**(k + r) for |r| <= 1/2; 2**r = 1 + r p(r)
    r2 = r * r
    a = 0.6931472062789011 + r * 0.2402265134657605
    b = 0.055503277247911154 + r * 0.009618003802600894
    c = 0.0013400296375089885 + r * 0.00015476326132793893
    return scaled(1.0 + r * (a + r2 * (b + r2 * c)), k)


def _exp32(x: float) -> float:
    k = nearest(x * LOG2_E)
    return _raise32(x * LOG2_E - k, k)


def _exp2_32(x: float) -> float:
    k = nearest(x)
    return _raise32(x - k, k)


def _power32(base: float, exponent: float) -> float:
    return _exp2_32(exponent * _log2_32(base))


def _atan32(x: float) -> float:
    # atan x = x + x**3 p(x**2)
    z = x * x
    z2 = z * z
    a = (-0.333329870612677 + z * 0.19990396650443523) + z2 * (
        -0.14185975377857013 + z * 0.10573932066632828
    )
    b = (-0.0736670560135834 + z * 0.041121850447224204) + z2 * (
        -0.015132528929371449 + z * 0.0026222424650864514
    )
    return x + (x * z) * (a + (z2 * z2) * b)


def _sin32(x: float) -> float:
    # sin x = x + x**3 p(x**2)
    z = x * x
    a = -0.1666666660643718 + z * 0.008333330494545908
    b = -0.00019840803900826235 + z * (2.7522612006672843e-06 - z * 2.3846575986390714e-08)
    return x + (x * z) * (a + (z * z) * b)


def _root(x: float) -> float:
    return math.sqrt(x)


VECTOR: Mapping[str, Mapping[Callable[..., Any], Callable[..., Any]]] = {
    dtype: dict(zip((log, power, log2, exp2, exp, atan, sin, sqrt), makers, strict=True))
    for dtype, makers in {
        "float64": (_log64, _power64, _log2_64, _exp2_64, _exp64, _atan64, _sin64, _root),
        "float32": (_log32, _power32, _log2_32, _exp2_32, _exp32, _atan32, _sin32, _root),
    }.items()
}
"""What runs on a CPU in place of each function, by the dtype of its numbers."""
