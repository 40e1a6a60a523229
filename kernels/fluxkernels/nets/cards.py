"""What a file of weights says of itself, read without PyTorch and without its tensors.

For those who must know what a net is before one runs: plans, notices, estimates of memory. Whether
the tensors are whole is found only when they are loaded, by `fluxkernels.nets.weights`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fluxkernels.errors import DamagedWeightsError, PickledWeightsError, SettingsError
from fluxkernels.nets.quantities import Quantity, Vocabulary

DOCUMENT = "fluxforge"  # the one key of a file's metadata: several have no order
AGAIN = "Fetch or train the weights again."
_LONGEST = 100_000_000  # bytes of a header, as the format has it


@dataclass(frozen=True)
class ErrorModel:
    """How the standard error that a net tells of one of its outputs is to be taken.

    Parameters
    ----------
    factor : float
        By which it is to be multiplied; positive.
    systematic : float, optional
        Share of the error's variance that stays at a place through a month, 0 to 1. None: not
        known.
    days, kilometres : float, optional
        In which the correlation of the random rest falls to 1/e; positive. None: not known.
    found : str
        On what, in words; or why nothing was found.

    Raises
    ------
    SettingsError
        Where a number is none of these.
    """

    factor: float = 1.0
    systematic: float | None = None
    days: float | None = None
    kilometres: float | None = None
    found: str = "not calibrated"

    def __post_init__(self) -> None:
        lengths = [one for one in (self.factor, self.days, self.kilometres) if one is not None]
        share = 0.0 if self.systematic is None else self.systematic
        if not all(math.isfinite(one) and one > 0 for one in lengths) or not 0 <= share <= 1:
            raise SettingsError(
                f"factor, systematic share, days and kilometres are {self.factor},"
                f" {self.systematic}, {self.days} and {self.kilometres}.",
                "errors",
                "Give positive numbers, and a share from 0 to 1.",
            )


@dataclass(frozen=True)
class ModelCard:
    """What one must know of weights before using them.

    Parameters
    ----------
    data : str
        What they were trained on. Says so where it was a simulated world.
    period : str
        Of the training data, such as ``"1992-2017, 2019-2020"``.
    skill : mapping of str to float
        Scores, such as ``{"rmse air_temperature [K]": 0.9}``, each finite.
    commit : str
        Of the code that trained them.
    seed : int
        Of the training.
    sensor : str
        Such as ``"f17"``.
    orbit : str
        ``"ascending"``, ``"descending"`` or ``"both"``.
    vocabulary : Vocabulary
        Predictors and outputs, with units and scalings.
    errors : mapping of str to ErrorModel
        By the name of an output, how its standard error is to be taken. Empty of a net that tells
        none, and of weights that were made before there was this.
    """

    data: str
    period: str
    skill: Mapping[str, float]
    commit: str
    seed: int
    sensor: str
    orbit: str
    vocabulary: Vocabulary
    errors: Mapping[str, ErrorModel] = field(default_factory=dict)

    def error_model(self, output: str) -> ErrorModel:
        """Of an output, by name; as the net tells it where nothing was found about it."""
        return self.errors.get(output, ErrorModel())


class Head(NamedTuple):
    """What stands before the tensors.

    Parameters
    ----------
    architecture : str
        The network's name.
    settings : mapping
        What it is built from.
    card : ModelCard
    """

    architecture: str
    settings: Mapping[str, Any]
    card: ModelCard


def read_head(path: Path) -> Head:
    """Architecture, settings and card of a file of weights; its tensors are not looked at.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Head

    Raises
    ------
    PickledWeightsError
        Where it is a pickle, or an archive as PyTorch's own.
    DamagedWeightsError
        Where it does not begin as a file of weights of this package.
    """
    place = str(path)
    with path.open("rb") as file:
        start = file.read(9)
        refuse_pickles(start, place)
        length = int.from_bytes(start[:8], "little")
        header = start[8:] + file.read(min(length, _LONGEST) - 1) if length else b""
    document = document_of(header, place)
    if not isinstance(document.get("settings"), dict):
        raise not_ours("it tells no settings", place)
    card = card_of(document.get("card", {}), place)
    return Head(str(document.get("architecture")), document["settings"], card)


def document_of(header: bytes, place: str) -> dict[str, Any]:
    """The JSON document in a safetensors header.

    Parameters
    ----------
    header : bytes
        What stands between the eight bytes of its length and the tensors.
    place : str
        Of the file, for the error.

    Raises
    ------
    DamagedWeightsError
        Where there is none.
    """
    try:
        document = json.loads(json.loads(header)["__metadata__"][DOCUMENT])
    except (ValueError, KeyError, TypeError) as error:
        raise not_ours(error, place) from error
    if not isinstance(document, dict) or "digest" not in document:
        raise not_ours("its document has no digest", place)
    return document


def not_ours(why: object, place: str) -> DamagedWeightsError:
    """The error for a file that is not, or not wholly, of this package."""
    return DamagedWeightsError(
        f"this is no whole file of weights as this package saves them ({why}).", place, AGAIN
    )


def refuse_pickles(data: bytes, place: str) -> None:
    """Tell a pickle by its first bytes.

    A safetensors file begins with the length of its header, whose first byte may be a pickle's too;
    but its ninth byte is always a brace.
    """
    archive = data[:4] == b"PK\x03\x04"
    if archive or (data[:1] == b"\x80" and data[8:9] != b"{"):
        raise PickledWeightsError(
            "this is a pickle, or an archive of one, and reading it could run any code.",
            place,
            "Convert it to safetensors where you trust it, then save it anew.",
        )


def card_of(document: dict[str, Any], place: str) -> ModelCard:
    """A model card from its JSON document.

    Parameters
    ----------
    document : dict
    place : str
        Of the file, for the error.

    Raises
    ------
    DamagedWeightsError
        Where it is another version's.
    """
    try:
        channels = {
            side: tuple(Quantity(**quantity) for quantity in document["vocabulary"][side])
            for side in ("predictors", "outputs")
        }
        vocabulary = Vocabulary(**channels)
        errors = {n: ErrorModel(**one) for n, one in document.get("errors", {}).items()}
        if not errors.keys() <= {quantity.name for quantity in vocabulary.outputs}:
            raise KeyError(f"errors of {sorted(errors)}")
        return ModelCard(**{**document, "vocabulary": vocabulary, "errors": errors})
    except (TypeError, KeyError, AttributeError, SettingsError) as error:
        raise DamagedWeightsError(
            f"its model card is none that this version reads ({error}).", place, AGAIN
        ) from error


def difference(has: object, wanted: object) -> str:
    """What differs; of a vocabulary, the first quantity that does."""
    if not isinstance(has, Vocabulary) or not isinstance(wanted, Vocabulary):
        return f"{has!r}, not {wanted!r}"
    for side in ("predictors", "outputs"):
        mine, theirs = getattr(has, side), getattr(wanted, side)
        if [quantity.name for quantity in mine] != [quantity.name for quantity in theirs]:
            return f"{side} {[q.name for q in mine]}, not {[q.name for q in theirs]}"
        for one, other in zip(mine, theirs, strict=True):
            if one != other:
                return f"{one}, not {other}"
    return "equal"
