"""Where a record comes from, and how its quality checks ended: read from the ledgers of its chain.

Of each dataset its published version counts, or what is finished where nothing is published.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fluxengine import history
from fluxengine.declare import Dataset, Product
from fluxengine.key import listed
from fluxengine.layout import MARK
from fluxengine.ledger import (
    ABSENT,
    FAILED_STEP,
    KEPT,
    MISSING_STEP,
    VALID,
)
from fluxengine.repository import MAIN, Repository
from fluxengine.show import IN_KEY_ALONE
from fluxrecipes.report.subject import Subject

STATES = {
    "valid": VALID,
    "no file": MISSING_STEP,
    "failed": FAILED_STEP,
    "kept": KEPT,
    "never written": ABSENT,
}


@dataclass(frozen=True)
class Link:
    """One dataset of the chain.

    Parameters
    ----------
    name, title, version : str
        No version where nothing is published.
    first, last : str
        Steps.
    states : dict of str to int
        Steps and tiles in each of `STATES`.
    content : str
        SHA-256 over the content digests of all steps: equal content, equal digest.
    told : dict of str to str
        Licence, source, references: as published.
    gates : tuple of str
        What is checked of each block before it is stored, in words.
    notes : dict of str to str
        Words, by step or block, on what is not well.
    options, weights : dict
        By stage, and by file of weights.
    code : int
        Modules whose digests are in the keys.
    commits, runs : tuple of str
        Of the blocks that stand now.
    files, size : int
        Of a source: number and bytes of the files it was read from.
    """

    name: str
    title: str
    version: str
    first: str
    last: str
    states: dict[str, int]
    content: str
    told: dict[str, str]
    gates: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    code: int = 0
    commits: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    files: int = 0
    size: int = 0


def links(
    subject: Subject, advance: Callable[[int], None] = lambda datasets: None
) -> Iterator[Link]:
    """The datasets of the store that a record rests on, upstream first, itself the last."""
    for dataset in subject.chain:
        yield _link(dataset, subject.store.repository(dataset.name))
        advance(1)


def attributes(subject: Subject) -> dict[str, str]:
    """The published global attributes."""
    return {str(k): str(v) for k, v in subject.record.attrs.items() if k != MARK}


def versions(subject: Subject) -> list[history.Version]:
    """What each published version of the record changed, the newest first."""
    return history.versions(subject.store, subject.product.name)[::-1]


def _link(dataset: Dataset, repository: Repository) -> Link:
    published = repository.versions
    snapshot = repository.tip(MAIN) if published else repository.tip()
    root, book = repository.read(snapshot), repository.ledger(snapshot)
    records = [book.record(number) or {} for number in range(len(book.columns["seals"]))]
    files = [one for record in records for one in record.get("files", {}).values()]
    parts = book.standing_parts.values()
    return Link(
        dataset.name,
        dataset.title,
        published[-1] if published else "",
        book.grid.step_name(0),
        book.grid.step_name(book.grid.step_axis.length - 1),
        {name: int((book.states == code).sum()) for name, code in STATES.items()},
        hashlib.sha256(book.digests.tobytes()).hexdigest(),
        {k: str(root.attrs[k]) for k in ("source", "license", "references") if k in root.attrs},
        tuple(_in_words(gate) for gate in dataset.gates) if isinstance(dataset, Product) else (),
        dict(book.notes(book.marked())),
        {
            name: _flat(value)
            for part in parts
            for name, value in part.get("options", {}).items()
            if name not in (*IN_KEY_ALONE, "gates")
        },
        {k: str(v) for part in parts for k, v in part.get("weights", {}).items()},
        len({name for part in parts for name in part.get("code", {})}),
        _distinct(records, "code_commit"),
        _distinct(records, "run"),
        len({one["path"] for one in files}),
        sum({one["path"]: int(one["size"]) for one in files}.values()),
    )


def _distinct(records: list[dict[str, Any]], name: str) -> tuple[str, ...]:
    return tuple(sorted({str(record[name]) for record in records if record.get(name)}))


def _in_words(gate: Callable[..., Any]) -> str:
    """The first sentence of what documents a gate, which says what holds where it is passed."""
    return (inspect.getdoc(gate) or type(gate).__name__).partition("\n")[0].rstrip(".")


def _flat(value: Any) -> str:
    """Options of a stage in a line."""
    if isinstance(value, dict):
        told = {k: v for k, v in value.items() if k not in ("inputs", "outputs")}
        return ", ".join(f"{name} {_flat(part)}" for name, part in told.items())
    if isinstance(value, list):
        return " ".join(_flat(part) for part in value)
    return str(value)


# --- what is not well ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Trouble:
    """Steps or blocks of a dataset of which the same is said.

    Parameters
    ----------
    dataset, what : str
    where : str
        Which, in words.
    number : int
    """

    dataset: str
    what: str
    where: str
    number: int


def troubles(chain: list[Link]) -> list[Trouble]:
    """What was refused or quarantined, and why: of equal reasons, all steps together."""
    found = []
    for link in chain:
        together: dict[str, list[str]] = {}
        for step, words in link.notes.items():
            together.setdefault(words, []).append(step)
        for words, steps in together.items():
            found.append(Trouble(link.name, words, listed(sorted(steps), at_most=4), len(steps)))
    return found
