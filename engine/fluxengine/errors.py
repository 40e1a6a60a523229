"""The typed errors of fluxforge: what went wrong, where, and how to mend it.

Every error a user can meet derives from `FluxforgeError` and carries a stable ``code``; most also
derive from the built-in exception they stand for, so that ``except ValueError`` keeps working.
"""

from __future__ import annotations


class FluxforgeError(Exception):
    """Base of all fluxforge errors.

    Parameters
    ----------
    what : str
        What went wrong, in plain words.
    where : str, optional
        The file, option or dataset it concerns.
    mend : str, optional
        What the user can do about it.
    """

    code = "FF000"

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        super().__init__(what, where, mend)
        self.what, self.where, self.mend = what, where, mend

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.mend)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        if not self.mend:
            return f"{place}{self.what}"
        stop = "" if self.what.endswith((".", "!", "?", ":")) else "."
        return f"{place}{self.what}{stop} {self.mend}"


def _rebuild(kind: type[FluxforgeError], what: str, where: str, mend: str) -> FluxforgeError:
    """Make the error again after it travelled from a worker."""
    return kind(what, where=where, mend=mend)


class DeclarationError(FluxforgeError, TypeError):
    """A product, source or stage contradicts itself."""

    code = "FF101"


class UnknownName(FluxforgeError, KeyError):
    """No source, product or option of that name."""

    code = "FF102"
    __str__ = FluxforgeError.__str__  # KeyError would print the repr of its arguments


class ConfigError(FluxforgeError, ValueError):
    """A run file or an option cannot be used as it stands."""

    code = "FF201"


class DamagedFile(FluxforgeError, ValueError):
    """An input file's bytes are not what its format says."""

    code = "FF301"


class WrongFile(DamagedFile):
    """A sound file that belongs to another sensor, day or variable."""

    code = "FF302"


class MissingFile(FluxforgeError, FileNotFoundError):
    """An input file is not in its archive."""

    code = "FF303"
    __str__ = FluxforgeError.__str__  # OSError would print its errno form


class OutOfRange(FluxforgeError, ValueError):
    """A value cannot be stored in the variable's packing, or fails its valid range."""

    code = "FF304"


class DriftedFile(DamagedFile):
    """A sound file that is packed or laid out otherwise than what refers to it says."""

    code = "FF305"


class NotOurStore(FluxforgeError, ValueError):
    """A place that holds something else than a fluxforge store."""

    code = "FF401"


class StoreMismatch(FluxforgeError, ValueError):
    """A dataset's layout differs from what the run would write into it."""

    code = "FF402"


class NoSpace(FluxforgeError, OSError):
    """The disk is full."""

    code = "FF403"
    __str__ = FluxforgeError.__str__


class StoreError(FluxforgeError, OSError):
    """The storage refused or lost an operation."""

    code = "FF404"
    __str__ = FluxforgeError.__str__


class RunLocked(FluxforgeError, RuntimeError):
    """Another run holds this store."""

    code = "FF405"


class PublicationConflict(FluxforgeError, RuntimeError):
    """The published version moved while this run was working."""

    code = "FF406"


class LeaseLost(FluxforgeError, RuntimeError):
    """Another run took the store over, because this one did not renew its lease in time."""

    code = "FF407"


class StoreDenied(StoreError, PermissionError):
    """Credentials are missing, have expired or do not suffice."""

    code = "FF408"


class StoreUnreachable(StoreError, ConnectionError):
    """The object store does not answer, or refuses again and again."""

    code = "FF409"


class NoBucket(StoreError):
    """There is no bucket of that name."""

    code = "FF410"


class ChangedFile(StoreError):
    """A provider's file that stored values are read from changed, or is gone, since its ingest."""

    code = "FF411"


class CodeMismatch(FluxforgeError, RuntimeError):
    """A worker has other code or weights than the client that planned the run."""

    code = "FF501"


class GateFailed(FluxforgeError, ValueError):
    """A finished block did not pass one of its product's quality checks."""

    code = "FF502"


class RunFailed(FluxforgeError, RuntimeError):
    """The run stopped before publication."""

    code = "FF503"


class ClusterFailed(FluxforgeError, RuntimeError):
    """No worker came: a cluster did not start, or its workers did not."""

    code = "FF504"


class VersionMismatch(FluxforgeError, RuntimeError):
    """Workers or their scheduler have other versions of what a run depends on."""

    code = "FF505"
