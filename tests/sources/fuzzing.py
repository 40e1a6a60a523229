"""Damage files on purpose: a reader refuses them in the project's words, or what it gives is sound.

Readers run in a process of their own, so that a library that crashes, loops or takes all memory is
seen as what it is. `FLUXFORGE_FUZZ=1000 pytest tests/sources/test_fuzz.py` looks longer and
elsewhere each time.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FLUXFORGE_FUZZ", "12"))
SECONDS = 20.0  # an honest file takes less than one
TIMES_ITS_SIZE = 10  # as much memory may be taken
FUZZ = settings(
    max_examples=EXAMPLES,
    derandomize="FLUXFORGE_FUZZ" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
MAGICS = (b"\x1f\x8b\x08\x00", b"CDF\x01", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"<!DOCTYPE html>")


@dataclass(frozen=True)
class Honest:
    """A good file and how it is read.

    Parameters
    ----------
    name : str
        Under which the reader takes it.
    content : bytes
    size : int
        Bytes of what is in such a file, unpacked: the measure of the memory that reading may take.
    read : callable
        From a path to what `problems` looks at. Travels to another process.
    problems : callable
        From what was read to what is wrong with it, in words. Travels as well.
    checksummed : bool
        Whether damage that goes unnoticed must have left the content as it was.
    """

    name: str
    content: bytes = field(repr=False)
    size: int
    read: Callable[[Path], Any]
    problems: Callable[[Any], list[str]]
    checksummed: bool = False


# --- Damage ------------------------------------------------------------------------------------

# Positions in parts of a file: anywhere, and often near its ends, where headers and indexes are.
positions = st.one_of(
    st.floats(0, 1), st.floats(0, 1).map(lambda x: x**4), st.floats(0, 1).map(lambda x: 1 - x**4)
)


def _at(raw: bytes, where: float) -> int:
    return min(int(where * len(raw)), max(len(raw) - 1, 0))


def truncated(raw: bytes, where: float) -> bytes:
    """Its beginning."""
    return raw[: _at(raw, where)]


def flipped(raw: bytes, flips: list[tuple[float, int]]) -> bytes:
    """The same, some bits turned over."""
    changed = bytearray(raw)
    for where, bit in flips:
        changed[_at(raw, where)] ^= 1 << bit
    return bytes(changed)


def inserted(raw: bytes, where: float, more: bytes) -> bytes:
    """With bytes that do not belong there."""
    at = _at(raw, where)
    return raw[:at] + more + raw[at:]


def overwritten(raw: bytes, where: float, length: int, byte: int) -> bytes:
    """With a run of one byte."""
    at = _at(raw, where)
    return raw[:at] + bytes([byte]) * min(length, len(raw) - at) + raw[at + length :]


def header_twice(raw: bytes, length: int) -> bytes:
    """As after a download that began again."""
    return raw[:length] + raw


def bombed(raw: bytes, megabytes: int) -> bytes:
    """Followed by, or made of, a gzip member that unpacks to far more than it is."""
    return (raw if raw[:2] == b"\x1f\x8b" else b"") + _bomb(megabytes)


@cache
def _bomb(megabytes: int) -> bytes:
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as packed:
        for _ in range(megabytes):
            packed.write(bytes(2**20))
    return stream.getvalue()


def other_magic(raw: bytes, magic: bytes) -> bytes:
    """Beginning as a file of another kind."""
    return magic + raw[len(magic) :]


bits = st.lists(st.tuples(positions, st.integers(0, 7)), min_size=1, max_size=8)
DAMAGE: dict[str, tuple[Callable[..., bytes], tuple[st.SearchStrategy[Any], ...]]] = {
    "truncated": (truncated, (positions,)),
    "flipped": (flipped, (bits,)),
    "inserted": (inserted, (positions, st.binary(min_size=1, max_size=64))),
    "overwritten": (
        overwritten,
        (positions, st.sampled_from((1, 4, 8, 64, 4096)), st.sampled_from((0, 255))),
    ),
    "header twice": (header_twice, (st.sampled_from((1, 10, 100, 512, 4096)),)),
    "bombed": (bombed, (st.sampled_from((1, 300)),)),
    "other magic": (other_magic, (st.sampled_from(MAGICS),)),
}
# Flips take the largest share: the other kinds have little to vary.
damages = st.one_of(
    st.tuples(st.just("flipped"), st.tuples(bits)),
    *(st.tuples(st.just(kind), st.tuples(*parts)) for kind, (_, parts) in DAMAGE.items()),
)


# --- Reading in another process ----------------------------------------------------------------


class Worker:
    """A process that reads files one after another; it is started anew where one has killed it."""

    def __init__(self) -> None:
        self.process = _start()

    def ask(self, honest: Honest, path: Path, room: int) -> tuple[str, str]:
        """Have a file read: what became of it, and what there is to say."""
        if self.process.poll() is not None:
            self.process = _start()
        process, late = self.process, threading.Event()
        assert process.stdin is not None and process.stdout is not None
        timer = threading.Timer(SECONDS, lambda: (late.set(), process.kill()))
        timer.start()
        try:
            pickle.dump((honest.read, honest.problems, path, room), process.stdin)
            process.stdin.flush()
            answer: tuple[str, str] = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            process.kill()
            code = process.wait()
            return ("hung", f"{SECONDS} s") if late.is_set() else ("died", f"exit code {code}")
        finally:
            timer.cancel()
        return answer

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


class Reader:
    """Reads an honest file, and then its damaged copies in `folder`."""

    def __init__(self, honest: Honest, folder: Path, worker: Worker) -> None:
        self.honest, self.worker = honest, worker
        self.path = folder / honest.name
        self.content = self._read_honest()

    def __repr__(self) -> str:
        return f"Reader({self.honest.name})"

    def check(self, kind: str, arguments: tuple[Any, ...]) -> str:
        """Read the file with a kind of damage; what became of it, ``read`` or ``refused``.

        Fails where the reader did anything else than refuse it by name or give what is sound.
        """
        self.path.write_bytes(DAMAGE[kind][0](self.honest.content, *arguments))
        room = TIMES_ITS_SIZE * self.honest.size
        outcome, what = self.worker.ask(self.honest, self.path, room)
        if outcome in ("died", "hung"):  # what libraries take when first used is not the file's
            self._read_honest()
        assert outcome in ("read", "refused"), f"{kind}{arguments}: {outcome}: {what}"
        if outcome == "read" and self.honest.checksummed:
            assert what == self.content, f"{kind}{arguments}: read as something else"
        return outcome

    def _read_honest(self) -> str:
        self.path.write_bytes(self.honest.content)
        outcome, what = self.worker.ask(self.honest, self.path, room=0)
        assert outcome == "read", what
        return what


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "import fuzzing; fuzzing.serve()"]
    places = [str(Path(__file__).parent), *sys.path]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))},
    )


def serve() -> None:
    """Read the files that are asked for on standard input, until it ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    while True:
        try:
            read, problems, path, room = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(_outcome(read, problems, path, room), answers)
        answers.flush()


def _outcome(
    read: Callable[[Path], Any], problems: Callable[[Any], list[str]], path: Path, room: int
) -> tuple[str, str]:
    from fluxengine.errors import DamagedFile, MissingFile

    _, most = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + room if room else most, most))
        found = read(path)
    except (DamagedFile, MissingFile) as error:
        named = error.where.startswith(str(path))
        return ("refused", str(error)) if named else ("does not name the file", str(error))
    except BaseException:
        return "escaped", traceback.format_exc()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    wrong = problems(found)
    return ("unsound", "; ".join(wrong)) if wrong else ("read", content(found))


def _address_space() -> int:
    """Bytes of this process's address space (Linux; elsewhere the limit is not kept anyway)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except FileNotFoundError:
        return 2**40
    return pages * resource.getpagesize()


# --- What is sound ------------------------------------------------------------------------------


def content(dataset: Any) -> str:
    """Digest of all arrays of a dataset."""
    from fluxengine.digest import content_digest

    arrays = {str(name): dataset[name].values for name in dataset.variables}
    plain = {n: a.view("i8") if a.dtype.kind in "mM" else a for n, a in arrays.items()}
    return content_digest(plain).hex()


@dataclass(frozen=True)
class Decode:
    """A source's decoder for one day."""

    source: Any
    day: date

    def __call__(self, path: Path) -> Any:
        """What the source makes of a file."""
        return self.source.decode(path, self.day)


@dataclass(frozen=True)
class Keeps:
    """Whether a decoded step keeps what its source promises."""

    source: Any

    def __call__(self, dataset: Any) -> list[str]:
        """What it does not keep, in words."""
        return [
            f"{variable.name}: {what}"
            for variable in self.source.provides
            for what in _broken(variable, dataset[variable.name])
        ]


def _broken(variable: Any, found: Any) -> list[str]:
    from fluxengine.ingest import packing_of

    if variable.is_flag:
        unknown = set(np.unique(found.values).tolist()) - (set(variable.flags) - {0, 1})
        return [f"codes {sorted(unknown)}"] if unknown else []
    values = packing_of(found).unpack(found.values, "f8")
    low, high = variable.valid_range
    outside = int(((values < low - 1e-3) | (values > high + 1e-3)).sum())
    return [f"{outside} values outside {low:g} to {high:g}"] if outside else []


def ordered_and_finite(dataset: Any) -> list[str]:
    """What is wrong with observations along time."""
    times = dataset.time.values
    wrong = [] if (np.diff(times) > np.timedelta64(0)).all() else ["times out of order"]
    return wrong + [f"{name}: infinite" for name in dataset if np.isinf(dataset[name]).any()]


def misread(path: Path) -> Any:
    """A reader with every fault that there is, as the file says."""
    import xarray as xr

    from fluxengine.errors import DamagedFile

    wish = path.read_bytes().removesuffix(b"ok")
    if wish == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if wish == b"loop":
        threading.Event().wait()
    if wish == b"foreign":
        raise ZeroDivisionError
    if wish == b"memory":
        return bytearray(2**30)
    if wish == b"unnamed":
        raise DamagedFile("it is odd.")
    return xr.Dataset({"odd": wish == b"unsound"})


def is_odd(found: Any) -> list[str]:
    """What `misread` says of itself."""
    return ["it is odd"] if found.odd else []
