"""What can be wrong with a call, each with a code that stays the same between releases.

Every error is a `KernelError` and also the built-in it stands for, so callers may catch
either. All of them survive pickling: a worker's error reaches the client unchanged.
"""

from __future__ import annotations

from typing import ClassVar


class KernelError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    what : str
        What is wrong.
    where : str
        The argument, and the place in it, that is wrong.
    mend : str
        What the caller can do about it.
    """

    code: ClassVar[str] = "FK100"

    def __init__(self, what: str, where: str = "", mend: str = "") -> None:
        # Exactly the constructor's arguments: that is what pickle calls it with again.
        super().__init__(what, where, mend)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        """Join code, place, fault and remedy into one paragraph."""
        place = f"{self.where}: " if self.where else ""
        remedy = f" {self.mend}" if self.mend else ""
        return f"[{self.code}] {place}{self.what}{remedy}"


class UnknownAlgorithmError(KernelError, ValueError):
    """`algorithm` names no bulk algorithm of this package."""

    code = "FK101"


class UnknownWindKindError(KernelError, ValueError):
    """`wind_kind` is neither ``"actual"`` nor ``"neutral"``."""

    code = "FK102"


class ShapeError(KernelError, ValueError):
    """Shapes that do not broadcast against each other, or labels that do not agree."""

    code = "FK103"


class NotNumericError(KernelError, TypeError):
    """An argument is not an array of real numbers."""

    code = "FK104"


class HeightError(KernelError, ValueError):
    """A height is zero or negative."""

    code = "FK105"


class OutOfRangeError(KernelError, ValueError):
    """A value is far outside what its unit allows: another unit, or a fill value."""

    code = "FK106"


class DtypeError(KernelError, TypeError):
    """`dtype` is neither float32 nor float64, or masks are not boolean."""

    code = "FK107"


class UnknownOutputError(KernelError, ValueError):
    """`outputs` names what no bulk algorithm gives, or nothing."""

    code = "FK108"


class TimeError(KernelError, ValueError):
    """Times are missing, no times, not increasing, too far apart, or not along the arrays."""

    code = "FK109"


class PlaceError(KernelError, TypeError):
    """Arrays that lie in different memories, or in one that this package does not know."""

    code = "FK110"


class MissingPackageError(KernelError, ImportError):
    """A package that only some computers need is not installed."""

    code = "FK111"


class UnsupportedOptionError(KernelError, ValueError):
    """An option that the algorithm chosen does not know, or a value that it cannot have."""

    code = "FK112"


class UnknownInputError(KernelError, ValueError):
    """`by` names what is no physical argument of a bulk flux."""

    code = "FK113"


class UnknownFormulaError(KernelError, ValueError):
    """`formula` or `over` names no way of taking saturation."""

    code = "FK114"


class SampleError(KernelError, ValueError):
    """A sample is too small, or too uniform, for what is to be learned from it."""

    code = "FK115"


class GridError(KernelError, ValueError):
    """Coordinates are not those of a regular grid, or a window does not fit on it."""

    code = "FK116"


class SettingsError(KernelError, ValueError):
    """The settings of a network contradict themselves."""

    code = "FK117"


class NotFiniteError(KernelError, ValueError):
    """NaN or infinity where a network was promised a value."""

    code = "FK118"


class DeviceError(KernelError, RuntimeError):
    """The device asked for is not there."""

    code = "FK119"


class WeightsError(KernelError, ValueError):
    """A file of weights cannot be used; the errors below say why."""

    code = "FK120"


class PickledWeightsError(WeightsError):
    """A pickle: reading it would run whatever code its author put in."""

    code = "FK121"


class DamagedWeightsError(WeightsError):
    """The bytes are not those that were saved, or never were a file of weights."""

    code = "FK122"


class ArchitectureError(WeightsError):
    """The weights are of another network than was asked for, or of one not known here."""

    code = "FK123"


class PurposeError(WeightsError):
    """The weights were trained for another sensor, pass or vocabulary than was asked for."""

    code = "FK124"


class TensorsError(WeightsError):
    """The file lacks tensors of the network, has others, or of other shapes."""

    code = "FK125"


class OutOfMemory(KernelError, MemoryError):
    """Not even one window at a time fits in memory."""

    code = "FK126"
