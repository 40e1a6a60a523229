"""Train variants of a network, each with something changed, to see what it is worth.

    python variants.py retrieval.yaml retrieval-variants.yaml out

writes ``out/NAME.yaml`` for each variant, trains it into ``out/NAME.safetensors`` (those that are
there already are left), and ``out/validate.yaml`` for ``fluxforge validate --models``, which scores
all of them on the same points.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

VERB = {"gdcm.yaml": "gdcm", "retrieval.yaml": "mpfnet"}
SECTION = {"gdcm": "gaps", "mpfnet": "retrieval"}


def merged(base: Any, change: Any) -> Any:
    """The base with what a variant changes."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return base | {key: merged(base.get(key), value) for key, value in change.items()}


def located(told: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paths of a file as seen from anywhere."""

    def whole(place: str) -> str:
        return place if "://" in place else str((folder / place).resolve())

    names = told.get("datasets", {})
    datasets = {role: whole(name) if "/" in name else name for role, name in names.items()}
    return told | {"store": whole(told["store"]), "datasets": datasets}


def main(base: Path, changes: Path, out: Path) -> None:
    """Train all, one after the other."""
    out.mkdir(parents=True, exist_ok=True)
    verb = VERB[base.name]
    told = located(yaml.safe_load(base.read_text()), base.parent)
    weights = []
    for name, change in yaml.safe_load(changes.read_text()).items():
        file, made = out / f"{name}.yaml", out / f"{name}.safetensors"
        weights.append(str(made.resolve()))
        if made.exists():
            continue
        variant = merged(told, change or {}) | {"out": str(made.resolve())}
        file.write_text(yaml.safe_dump(variant, sort_keys=False))
        subprocess.run(["fluxforge", "train", verb, "-c", str(file)], check=True)
    scores = located(yaml.safe_load((base.parent / "validate.yaml").read_text()), base.parent)
    kept = {k: v for k, v in scores.items() if k not in ("gaps", "retrieval", "chain")}
    kept[SECTION[verb]] = {"weights": weights}
    (out / "validate.yaml").write_text(yaml.safe_dump(kept, sort_keys=False))


if __name__ == "__main__":
    main(*(Path(word) for word in sys.argv[1:4]))
