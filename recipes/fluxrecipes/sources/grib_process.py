"""GRIB messages, read by ecCodes in a process of its own: some damaged ones end the process.

ecCodes follows lengths and offsets of a message without checking all of them, so that a flipped
byte can be a segmentation fault. Here it takes nobody with it. One process serves one file: it is
asked in lines of JSON, and answers in lines of JSON, each with the bytes that it announces.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Header = dict[str, Any]

# How long an answer may take: to start and import on a busy machine [s], and to read the whole file
# from a slow disk [bytes/s]. ecCodes takes seconds for a month; damage may keep it for ever.
PATIENCE, SLOWEST = 300.0, 5e6


class Unreadable(Exception):
    """ecCodes could not read the file, died of it, or came to no end."""


class NotInstalled(Exception):
    """cfgrib, or the C library under it, is not there."""


class Messages:
    """The messages of one GRIB file; valid within `opened`.

    Parameters
    ----------
    process : subprocess.Popen
    seconds : float
        How long it may take to answer.
    """

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._process, self._seconds = process, seconds

    def headers(self, keys: Sequence[str], more: Sequence[str], where: Header) -> list[Header]:
        """`keys` of every message, and `more` of those that answer all of `where` as given.

        Raises
        ------
        Unreadable, NotInstalled
        """
        found: list[Header] = self._ask(headers=[*keys], more=[*more], where=where)[0]["headers"]
        return found

    def values(self, offset: int) -> npt.NDArray[np.float64]:
        """All values of the message that begins at byte `offset`, in its own order.

        Raises
        ------
        Unreadable
        """
        return np.frombuffer(self._ask(values=offset)[1], np.float64)

    def _ask(self, **request: Any) -> tuple[dict[str, Any], bytes]:
        assert self._process.stdin and self._process.stdout
        try:
            _send(self._process.stdin, request)
            # An answer is sent in one piece, when ecCodes is done.
            if not wait([self._process.stdout.fileno()], self._seconds):
                raise Unreadable(f"ecCodes has given no answer for {self._seconds:,.0f} s")
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        answer = json.loads(line) if line.endswith(b"\n") else {}
        raw = self._process.stdout.read(answer.get("bytes", 0))
        if not answer or len(raw) < answer.get("bytes", 0):
            ended = f"ecCodes ended its process with the code {self._process.wait()}"
            raise Unreadable(f"{ended} (a negative one is a signal)")
        if "error" in answer:
            raise (NotInstalled if answer["missing"] else Unreadable)(answer["error"])
        return answer, raw


@contextmanager
def opened(path: Path) -> Iterator[Messages]:
    """A file's messages; nothing is read before they are asked for."""
    command = [sys.executable, "-P", __file__, str(path)]
    quiet = subprocess.DEVNULL  # ecCodes prints what it then also raises
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=quiet
    ) as process:
        try:
            yield Messages(process, PATIENCE + path.stat().st_size / SLOWEST)
        finally:
            process.kill()


# --- In the process -----------------------------------------------------------------------------


def _send(pipe: IO[bytes], line: dict[str, Any], raw: bytes = b"") -> None:
    pipe.write(json.dumps(line).encode() + b"\n" + raw)
    pipe.flush()


def _answer(path: str, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    try:
        from cfgrib import FileStream
    except (ImportError, RuntimeError) as error:  # the latter: cfgrib without the C library
        return {"error": str(error), "missing": True}, b""
    try:
        stream = FileStream(path, errors="raise")
        if "values" in request:
            raw = np.asarray(stream[request["values"]]["values"], np.float64).tobytes()
            return {"bytes": len(raw)}, raw
        return {"headers": [_header(message, **request) for _, message in stream.items()]}, b""
    except Exception as error:  # ecCodes says that it cannot read in a dozen types
        return {"error": f"{type(error).__name__}: {str(error)[:200]}", "missing": False}, b""


def _header(message: Any, headers: list[str], more: list[str], where: Header) -> Header:
    found = {key: message.message_get(key, default=None) for key in headers}
    if all(found[key] == value for key, value in where.items()):
        found |= {key: message.message_get(key, default=None) for key in more}
    return found


def _serve(path: str) -> None:
    for line in sys.stdin.buffer:
        _send(sys.stdout.buffer, *_answer(path, json.loads(line)))


if __name__ == "__main__":
    _serve(sys.argv[1])
