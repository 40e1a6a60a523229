"""What is kept from all fitting and tuning, and the log of when it was looked at.

Numbers of the test year and of the withheld stations are honest once. Every look is therefore
written down beside the store: when, by whom, with which code and weights, and what for.
"""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime

from fluxengine.config import Period
from fluxengine.errors import ConfigError, FluxforgeError
from fluxengine.place import Place
from fluxengine.provenance import code_commit
from fluxrecipes.training.archive import HeldOut

TEST_YEAR = Period(first=date(2018, 1, 1), last=date(2018, 12, 31))
TUNING = Period(first=date(2016, 1, 1), last=date(2017, 12, 31))
WITHHELD = ("WHOTS", "Stratus", "NTAS")
LOG = "openings.jsonl"


class DamagedLog(FluxforgeError, ValueError):
    """The log of openings is not what was written."""

    code = "FF731"


@dataclass(frozen=True)
class Opening:
    """One look at held-out data.

    Parameters
    ----------
    what : str
        What was opened: a period, stations.
    purpose : str
        What for, in the words of who did it.
    weights : dict of str to str
        File and digest of each network that was scored.
    when, who, commit : str
        Time (UTC), user and host, and the code's commit, ``+`` where it was changed since.
    """

    what: str
    purpose: str
    weights: Mapping[str, str]
    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    who: str = field(default_factory=lambda: _who())
    commit: str = field(default_factory=lambda: code_commit() or "no version control")


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a user without a name, as in containers
        return socket.gethostname()


def touches(periods: Sequence[Period], kept: Period = TEST_YEAR) -> bool:
    """Whether any day of the periods is in the one that is kept."""
    return any(one.first <= kept.last and kept.first <= one.last for one in periods)


def check_fit(fit: Sequence[Period], score: Sequence[Period], where: str) -> None:
    """Refuse to learn from what is to be scored, or from the test year.

    Raises
    ------
    HeldOut
        FF712: a period of the fit touches the test year.
    ConfigError
        FF201: one is scored too.
    """
    for one in fit:
        if touches([one]):
            raise HeldOut(
                f"{one.first} to {one.last} reaches into {TEST_YEAR.first} to {TEST_YEAR.last},"
                " which is held out for the last test.",
                where=f"{where}: fit",
                mend="Split the period around it.",
            )
        for other in score:
            if touches([one], other):
                raise ConfigError(
                    f"{one.first} to {one.last} is fitted on, and {other.first} to {other.last}"
                    " is scored.",
                    where=f"{where}: score",
                    mend="Take days for it that are not fitted on.",
                )


def openings(store: Place) -> tuple[Opening, ...]:
    """All looks so far, the first one first.

    Raises
    ------
    DamagedLog
        FF731: naming the line.
    """
    lines = (_log(store).read() or "").splitlines()
    return tuple(_parsed(line, number, store) for number, line in enumerate(lines, 1))


def opened(store: Place, opening: Opening) -> int:
    """Write a look down, before it is taken.

    Parameters
    ----------
    store : Place
        The folder or prefix whose data are opened; the log lies in it.
    opening : Opening

    Returns
    -------
    int
        How often it was opened before.

    Raises
    ------
    ConfigError
        FF201: no purpose is given.
    DamagedLog
        FF731: the log so far cannot be read; nothing is added to it.
    """
    if not opening.purpose.strip():
        raise ConfigError(
            f"{opening.what} is held out, and nothing is said of why it is opened.",
            where="purpose",
            mend="Give `purpose`: it is written into the log of openings.",
        )
    before = openings(store)
    lines = [json.dumps(asdict(one), sort_keys=True) for one in (*before, opening)]
    _log(store).write("\n".join(lines) + "\n")
    return len(before)


def _log(store: Place) -> Place:
    return store / LOG


def _parsed(line: str, number: int, store: Place) -> Opening:
    try:
        return Opening(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise DamagedLog(
            f"line {number} is no opening ({error}).",
            where=f"{store}/{LOG}",
            mend="Restore it from a copy: it is the record of what was looked at.",
        ) from error
