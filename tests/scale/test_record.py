"""The 29-year daily record with cheap stages: planned and actual figures, and what a change costs.

`make scale` runs it and prints the figures.
"""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import recordworld

from fluxengine import clusters, show
from fluxengine.config import ClusterConfig
from fluxengine.estimate import Resources, bill, estimates
from fluxengine.plan import make_plan
from fluxengine.run import Summary, run
from fluxengine.store import Store, open_dataset
from fluxengine.verify import verify

pytestmark = pytest.mark.scale

BLOCKS = 354
NAMES = ("daily", "same", "weekly", "series")
WORKERS = Resources(workers=2, threads=1, memory=2 << 30)
AGAIN = """
import json, sys, time
began = time.perf_counter()
from pathlib import Path
import recordworld
from fluxengine.executors import refusing
from fluxengine.run import run
done = run(recordworld.request(Path(sys.argv[1])), None)
print(json.dumps({
    "nothing": done.did_nothing,
    "seconds": time.perf_counter() - began,
    "imported": [name for name in ("torch", "distributed") if name in sys.modules],
}))
"""


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("record")
    recordworld.write_archive(folder)
    return folder


def on_workers(folder: Path) -> Summary:
    config = ClusterConfig(kind="local", workers=2, threads=1, memory="2GiB")
    asked = recordworld.request(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        return run(asked, lambda: clusters.executor(config), resources=WORKERS)


@pytest.fixture(scope="module")
def done(record: Path, request: pytest.FixtureRequest) -> Summary:
    """The first run, with its plan and figures printed."""
    terminal = request.config.pluginmanager.getplugin("capturemanager")
    plan = make_plan(recordworld.request(record))
    planned = estimates(plan, WORKERS)
    with terminal.global_and_fixture_disabled():
        print("\n29 years of daily 1° maps, two workers")
        total = bill(planned, WORKERS)
        print(f"planned: {sum(e.blocks for e in planned)} blocks, {show.duration(total.seconds)}")
        summary = on_workers(record)
        show.summary(summary, "series")
    return summary


def test_every_block_is_made_once(done: Summary) -> None:
    assert done.blocks == dict.fromkeys(NAMES, BLOCKS)
    assert done.marked == ()


def test_actual_figures_stay_within_the_plan(done: Summary) -> None:
    for planned in done.planned:
        actual = done.actual[planned.dataset]
        assert actual.tasks == planned.blocks
        assert actual.memory <= planned.memory
        # The last block has three days instead of thirty, the first has none before it.
        assert 0.98 * planned.gets <= actual.traffic.gets <= planned.gets
        assert actual.traffic.puts == planned.puts


def test_values_are_those_of_plain_numpy(record: Path, done: Summary) -> None:
    ends = [0, 29, 30, 5000, recordworld.DAYS - 1]
    daily = open_dataset(record / "store", "daily")["wind"]
    series = open_dataset(record / "store", "series")["wind"]
    for at in ends:
        days = range(max(0, at - 6), at + 1)
        maps = [np.roll(recordworld.PATTERN, n, axis=1) + n % 100 for n in days]
        assert np.allclose(daily[at].values, maps[-1] * 0.01, atol=1e-4)
        assert abs(float(series[at]) - np.mean(maps) * 0.01) < 0.006  # one packing step between


def test_nothing_changed_is_known_in_two_seconds(
    record: Path, done: Summary, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-c", AGAIN, str(record)]
    env = {"PYTHONPATH": str(Path(__file__).parent)}
    told = json.loads(subprocess.run(command, env=env, capture_output=True, check=True).stdout)
    with capsys.disabled():
        print(f"nothing changed: {told['seconds']:.2f} s with all imports")
    assert told["nothing"]
    assert told["imported"] == []


def test_one_revised_day_makes_the_blocks_whose_window_holds_it(
    record: Path, done: Summary, capsys: pytest.CaptureFixture[str]
) -> None:
    (record / "archive" / recordworld.path_of(date(2005, 6, 7))).write_text("7")
    summary = on_workers(record)
    with capsys.disabled():
        print(f"one revised day: {summary.blocks}, {summary.seconds:.1f} s with the workers' start")
    assert summary.blocks["daily"] == summary.blocks["same"] == 1
    assert summary.blocks["weekly"] in (1, 2)
    assert summary.blocks["series"] == summary.blocks["weekly"]


def test_all_of_it_verifies(
    record: Path, done: Summary, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in NAMES:
        told = verify(Store.at(record / "store"), name)
        assert told.findings == ()
        assert told.steps == recordworld.DAYS
    with capsys.disabled():
        print(f"verified: {told.blocks} blocks of each of {len(NAMES)} datasets")
