"""Keys: what makes a block run again, told in words."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, partial, wraps
from importlib import import_module
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from toyfields.products import Options, coarse, smooth, toy
from toyfields.source import PASSES
from toyfields.stages import Coarsen

from fluxengine.declare import Arrays, PlainStage, Product, Read, Source, Variable
from fluxengine.errors import ConfigError, DeclarationError
from fluxengine.key import (
    changed,
    code_digests,
    listed,
    options_of,
    standing_parts,
    weights_of,
)

NUMBER = count()  # of modules written by these tests
PLAIN = """\
def decode(path, day):
    return 1
"""
DOCUMENTED = '''\
"""A decoder."""

# It decodes.
def decode(path, day):
    """Decode.

    All of it.
    """
    return (1)  # one
'''


@pytest.fixture
def digest_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Digest of a decoder's module, given its text."""
    monkeypatch.syspath_prepend(tmp_path)

    def digest(text: str) -> str:
        name = f"decoder_{os.getpid()}_{next(NUMBER)}"
        (tmp_path / f"{name}.py").write_text(text)
        source = replace(PASSES, decode=import_module(name).decode)
        sys.modules.pop(name)
        return code_digests(source)[name]

    return digest


def test_comments_docstrings_and_layout_are_not_code(digest_of: Callable[[str], str]) -> None:
    assert digest_of(PLAIN) == digest_of(DOCUMENTED)


@pytest.mark.parametrize("other", ["return 2", "return 1.0", "return '1'", "return path"])
def test_a_changed_statement_is_code(digest_of: Callable[[str], str], other: str) -> None:
    assert digest_of(PLAIN) != digest_of(PLAIN.replace("return 1", other))


def test_a_text_that_is_no_docstring_is_code(digest_of: Callable[[str], str]) -> None:
    assert digest_of(PLAIN + "UNIT = 'K'\n") != digest_of(PLAIN + "UNIT = 'C'\n")


def test_code_is_all_that_stages_and_gates_import_but_never_the_engine() -> None:
    names = set(code_digests(smooth(Options())))
    assert {"toyfields.stages", "toyfields.numbers", "toyfields.products"} <= names
    assert not any(name.startswith("fluxengine") for name in names)


def test_only_stages_that_hold_an_option_depend_on_it() -> None:
    before, after = Options(), Options(gain=2.0)
    assert options_of(toy(before)) != options_of(toy(after))
    assert options_of(smooth(before)) == options_of(smooth(after))
    assert options_of(coarse(before)) == options_of(coarse(after))


def test_neither_batch_nor_titles_nor_gates_of_others_are_options() -> None:
    product = smooth(Options())
    assert standing_parts(replace(product, batch=1, title="x")) == standing_parts(product)


def test_a_gate_less_is_a_change() -> None:
    product = smooth(Options())
    words = _why(standing_parts(product), standing_parts(replace(product, gates=())))
    assert "options changed: gates.toyfields.products.not_calm checked → absent" in words


def test_a_changed_option_is_named_with_both_values() -> None:
    words = _why(standing_parts(toy(Options())), standing_parts(toy(Options(gain=2.0))))
    assert words == ["options changed: MeanOfPasses.gain 1.0 → 2.0"]


def test_changed_code_is_named_by_module() -> None:
    old = standing_parts(coarse(Options()))
    new = old | {"code": old["code"] | {"toyfields.stages": "0" * 16}}
    assert _why(old, new) == ["code changed: toyfields.stages"]


def test_changed_weights_are_named_by_file_and_noticed_in_a_living_process(tmp_path: Path) -> None:
    factor = tmp_path / "factor.txt"
    factor.write_text("1.0")
    product = toy(Options(factor=factor))
    before = standing_parts(product)
    factor.write_text("2.0")
    os.utime(factor, ns=(1, 1))
    assert _why(before, standing_parts(product)) == ["weights changed: factor.txt"]


def test_weights_may_lie_anywhere(tmp_path: Path) -> None:
    here, there = tmp_path / "here" / "factor.txt", tmp_path / "there" / "factor.txt"
    for path in (here, there):
        path.parent.mkdir()
        path.write_text("1.0")
    parts = [standing_parts(toy(Options(factor=path))) for path in (here, there)]
    assert parts[0] == parts[1]


def test_absent_weights_are_an_error_that_says_where(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.txt: the weights of MeanOfPasses"):
        weights_of(toy(Options(factor=tmp_path / "nothing.txt")))


def test_many_changed_names_are_summed_up() -> None:
    days = [f"2020-01-{d:02}" for d in range(1, 9)]
    assert listed(days[:2]) == "2020-01-01, 2020-01-02"
    assert listed(days) == "2020-01-01 … 2020-01-08 (8)"


@dataclass(frozen=True)
class Instrument:
    """Sources of a family share one decoder; what tells them apart is data."""

    channels: int

    def decode(self, path: Path, day: date) -> None: ...


def _decode(path: Path, day: date, channels: int = 0) -> None: ...


def _reader(channels: object) -> Callable[[Path, date], object]:
    def decode(path: Path, day: date) -> object:
        return channels

    return decode


def _wrapping(channels: int) -> Callable[[Path, date], object]:
    decode = _reader(channels)
    return wraps(decode)(lambda path, day: decode(path, day))


def _reader_by_default(channels: int) -> Callable[[Path, date], object]:
    return lambda path, day, channels=channels: channels


@pytest.mark.parametrize(
    "decoder",
    [
        lambda n: Instrument(n).decode,
        lambda n: partial(_decode, channels=n),
        _reader,
        _reader_by_default,
        _wrapping,
        lambda n: cache(_reader(n)),
        lambda n: partial(_reader(n)),
        lambda n: _reader(_reader(n)),
    ],
    ids=[
        "method",
        "partial",
        "closure",
        "default",
        "wrapped",
        "kept",
        "in a partial",
        "in a closure",
    ],
)
def test_what_a_decoder_is_bound_to_is_an_option(decoder: Callable[[int], object]) -> None:
    sources = [_bound_to(decoder(channels)) for channels in (5, 5, 7)]
    five, again, seven = (options_of(source) for source in sources)
    assert five == again
    assert five != seven


def test_what_a_closure_holds_is_named_with_both_values() -> None:
    five, seven = (standing_parts(_bound_to(_reader(channels))) for channels in (5, 7))
    assert _why(five, seven) == ["options changed: decode.channels 5 → 7"]


def test_a_closure_over_what_has_no_lasting_text_is_refused() -> None:
    with pytest.raises(DeclarationError, match="cannot enter a key"):
        options_of(_bound_to(_reader(object())))


def test_code_that_a_closure_holds_counts_as_well() -> None:
    from toyfields.numbers import moving_sum

    assert "toyfields.numbers" in code_digests(_bound_to(_reader(moving_sum)))


@dataclass(frozen=True)
class Holding(PlainStage):
    """A stage that holds whatever it is given."""

    held: object
    inputs: tuple[str, ...] = ()
    outputs: tuple[Variable, ...] = ()

    def load(self) -> Callable[[Arrays], Arrays]:
        return lambda arrays: arrays


def holding(*held: object) -> Product:
    return replace(coarse(Options()), stages=(Coarsen(), *(Holding(h) for h in held)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(5000), np.arange(5000) + (np.arange(5000) == 2500)),
        (np.array(["K", 1], object), np.array(["K", 2], object)),
        (frozenset({"K", "degC", "Celsius"}), frozenset({"K"})),
        (math.nan, math.inf),
        (np.float32(0.5), 0.25),
        (date(2020, 1, 1), date(2020, 1, 2)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_fields_of_any_kind_are_told_apart(one: object, other: object) -> None:
    assert options_of(holding(one)) == options_of(holding(one))
    assert options_of(holding(one)) != options_of(holding(other))


def test_options_are_the_same_in_every_process(tmp_path: Path) -> None:
    text = (
        "from test_key import holding, options_of; print(options_of(holding(frozenset('abcdef'))))"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]])
    told = {
        subprocess.run(
            [sys.executable, "-c", text],
            env=os.environ | {"PYTHONPATH": paths, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_an_object_without_a_lasting_text_is_refused() -> None:
    with pytest.raises(DeclarationError, match="cannot enter a key"):
        options_of(holding(object()))


def test_code_that_a_field_holds_counts_as_well() -> None:
    from toyfields.numbers import moving_sum

    assert "toyfields.numbers" in code_digests(holding(moving_sum))


def test_libraries_that_a_field_holds_do_not_count() -> None:
    assert not any(name.startswith("numpy") for name in code_digests(holding(np.mean)))


def test_code_of_another_package_that_is_no_library_counts(package: Callable[..., str]) -> None:
    held = import_module(f"{package(mend='def mend(): ...')}.mend")
    named = set(code_digests(_bound_to(partial(PASSES.decode, held.mend))))
    assert {held.__name__, "toyfields.source"} <= named


def test_one_file_counts_with_what_it_imports_of_packages_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    one, beside = (f"sensor_{os.getpid()}_{next(NUMBER)}" for _ in range(2))
    (tmp_path / f"{one}.py").write_text(f"import numpy as np\nimport {beside}\n{PLAIN}")
    text = "from toyfields import stages\nfrom fluxkernels.bulk import *\n"
    (tmp_path / f"{beside}.py").write_text(f"{text}import json, fluxengine.grid, {one}\n")
    named = set(code_digests(_bound_to(import_module(one).decode)))
    assert {one, beside, "toyfields.stages", "toyfields.numbers"} <= named
    assert any(name.startswith("fluxkernels.") for name in named)
    assert {name.partition(".")[0] for name in named} == {one, beside, "toyfields", "fluxkernels"}


def test_a_file_and_a_package_with_its_text_count_alike(
    tmp_path: Path, package: Callable[..., str]
) -> None:
    text = (
        f"from fluxrecipes.sources import netcdf, rss\nfrom fluxrecipes import vocabulary\n{PLAIN}"
    )
    name = f"sensor_{os.getpid()}_{next(NUMBER)}"
    (tmp_path / f"{name}.py").write_text(text)
    packed = f"{package(sensor=text)}.sensor"
    alone, within = (code_digests(_bound_to(import_module(n).decode)) for n in (name, packed))
    assert alone.pop(name) == within.pop(packed)
    assert alone == within and "fluxrecipes.sources.netcdf" in alone


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes a package that is not installed, given the texts of its modules; tells its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(**texts: str) -> str:
        folder = tmp_path / f"package_{os.getpid()}_{next(NUMBER)}"
        folder.mkdir()
        for name, text in {"__init__": "", **texts}.items():
            (folder / f"{name}.py").write_text(text)
        return folder.name

    return make


# --- what a product reads, and what its gates judge by -------------------------------------------


def reading(*reads: Read) -> Product:
    return replace(holding(), reads=(*coarse(Options()).reads, *reads))


def read_as(one: str, other: str) -> Product:
    """Two datasets whose variables have the same name."""
    two = coarse(Options()), smooth(Options())
    return reading(*(Read(d, ("wind",), prefix=p) for d, p in zip(two, (one, other), strict=True)))


def test_which_dataset_is_read_by_which_name_counts() -> None:
    words = _why(standing_parts(read_as("a_", "b_")), standing_parts(read_as("b_", "a_")))
    assert words == [
        "options changed: reads.toy-coarse wind as a_… → wind as b_…,"
        " reads.toy-smooth wind as b_… → wind as a_…"
    ]


def test_a_stage_without_fields_and_an_input_more_are_told_apart() -> None:
    """Which datasets are read is told of the inputs: one that has no step in a period is none."""
    old = standing_parts(holding())
    more = reading(Read(smooth(Options()), ("wind",), prefix="a_", partial=True))
    assert standing_parts(more) != old and _why(old, standing_parts(more)) == []
    fewer = old | {"options": {k: v for k, v in old["options"].items() if k != "gates"}}
    assert list(changed(old, fewer)) == ["options"]  # though nothing is in it


def test_which_variables_are_read_and_whether_all_must_be_there_counts() -> None:
    read = Read(coarse(Options()), ("wind",), prefix="a_")
    parts = [
        standing_parts(reading(one))
        for one in (read, replace(read, partial=True), replace(read, variables=("wind_state",)))
    ]
    assert parts[0] != parts[1] != parts[2] != parts[0]
    assert _why(*parts[:2]) == [
        "options changed: reads.toy-coarse wind as a_… → wind as a_…, where there is any"
    ]


def test_a_valid_range_counts_and_so_do_codes() -> None:
    product = smooth(Options())
    wind, state = product.publishes
    narrower = replace(product, publishes=(replace(wind, valid_range=(0, 10)), state))
    words = _why(standing_parts(product), standing_parts(narrower))
    assert words == ["options changed: publishes.wind 0.0 to 60.0 → 0.0 to 10.0"]
    coded = replace(state, flags={**state.flags, 4: "calm"})
    words = _why(standing_parts(product), standing_parts(replace(product, publishes=(wind, coded))))
    assert words == ["options changed: publishes.wind_state [0, 1, 2, 3] → [0, 1, 2, 3, 4]"]


class Calm:
    """A gate without anything of its own."""

    def __call__(self, block: Arrays, published: tuple[Variable, ...]) -> str | None:
        return None


class Limit(Calm):
    """A gate that holds a number, and does not say so."""

    def __init__(self, top: float) -> None:
        self.top = top


class Narrow(Calm):
    """The same in a slot."""

    __slots__ = ("top",)

    def __init__(self, top: float) -> None:
        self.top = top


@pytest.mark.parametrize(
    "gate", [Limit(10), Narrow(10), partial(Limit(10))], ids=["object", "slots", "partial"]
)
def test_a_gate_with_state_that_cannot_be_told_is_refused(gate: object) -> None:
    with pytest.raises(DeclarationError, match=r"cannot enter a key.*frozen dataclass"):
        options_of(replace(holding(), gates=(gate,)))


def test_a_gate_without_state_is_its_class() -> None:
    (gate,) = options_of(replace(holding(), gates=(Calm(),)))["gates"]
    assert gate.endswith("test_key.Calm")


def test_weights_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    paths = [tmp_path / orbit / "net.txt" for orbit in ("ascending", "descending")]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        path.write_text(str(number))
    product = toy(Options(factor=paths[0]))
    product = replace(product, stages=(*product.stages, *toy(Options(factor=paths[1])).stages))
    assert len(set(weights_of(product).values())) == 2


def _bound_to(decode: object) -> Source:
    return replace(PASSES, decode=decode)


def _why(old: dict[str, object], new: dict[str, object]) -> list[str]:
    return list(changed(old, new).values())
