"""Where the weights that come with this package are."""

from __future__ import annotations

from pathlib import Path

# Every process looks in its own installation: on a cluster that may lie in another folder.
SHIPPED = Path(__file__).parent / "weights"
