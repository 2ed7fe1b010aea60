"""Foreign, damaged and hostile files are refused by name, and nothing outside of them is read."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from bprune.errors import DamagedFileError, InputError, MissingFileError, UnsupportedError
from bprune.results import open_results
from tests.results.results_world import (
    RUN,
    WORLDS,
    child,
    read_everything,
    write,
)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="there is no results file"):
        open_results(tmp_path / "none.h5")
    with pytest.raises(InputError, match="is not a file"):
        open_results(tmp_path)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", DamagedFileError, "it is empty"),
        (b"some words", DamagedFileError, "it is not HDF5"),
        (b"PK\x03\x04....", InputError, "a zip archive"),
        (b"\x93NUMPY....", InputError, "a NumPy array"),
        (b"\x80\x04....", InputError, "a Python pickle"),
    ],
)
def test_other_formats_are_recognised(tmp_path: Path, content: bytes, error: type[InputError], message: str) -> None:
    path = tmp_path / "r.h5"
    path.write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        open_results(path)
    assert type(caught.value) is error


@pytest.mark.parametrize("members", [("layers", "vars"), ("model_weights",), ("_layer_checkpoint_dependencies",)])
def test_keras_weights_are_recognised(tmp_path: Path, members: tuple[str, ...]) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for member in members:
            file.create_group(member)
    with pytest.raises(InputError, match="looks like Keras weights"):
        open_results(tmp_path / "w.h5")


def test_other_hdf5_is_recognised(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["rain"] = [1.0, 2.0]
    with pytest.raises(InputError, match=r"another program \(it holds: rain\)"):
        open_results(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as file:
        file.attrs.update({"schema_version": 1, "inference_library": np.bytes_("pymc")})
    with pytest.raises(InputError, match="it was written by pymc"):
        open_results(tmp_path / "w.h5")


def test_a_newer_schema_version_is_named(good: Path) -> None:
    with h5py.File(good, "a") as file:
        file.attrs["schema_version"] = 6
    with pytest.raises(UnsupportedError, match="schema version 6; this BPrune reads versions up to 5"):
        open_results(good)


def _external_link(file: h5py.File) -> None:
    del file["summary/stddev"]
    file["summary/stddev"] = h5py.ExternalLink("other.h5", "/secret")


def _soft_link(file: h5py.File) -> None:
    del file["summary/stddev"]
    file["summary/stddev"] = h5py.SoftLink("/summary/mean")


def _linked_group(file: h5py.File) -> None:
    file["extra"] = h5py.ExternalLink("other.h5", "/")


def _external_storage(file: h5py.File) -> None:
    del file["summary/stddev"]
    file["summary"].create_dataset("stddev", (6, 3), "f4", external=[("other.bin", 0, 72)])


def _virtual(file: h5py.File) -> None:
    del file["summary/stddev"]
    layout = h5py.VirtualLayout((6, 3), "f4")
    layout[...] = h5py.VirtualSource("other.h5", "secret", shape=(6, 3))
    file["summary"].create_virtual_dataset("stddev", layout)


def _replaced(**options: object) -> Callable[[h5py.File], None]:
    def replace(file: h5py.File) -> None:
        del file["summary/stddev"]
        file["summary"].create_dataset("stddev", **{"shape": (6, 3), "dtype": "f4", **options})

    return replace


def _nested(file: h5py.File) -> None:
    file.create_group("summary/deeper/still")


def _looped(file: h5py.File) -> None:
    file["summary/again"] = file["summary"]


def _crowded(file: h5py.File) -> None:
    for number in range(300):
        file["summary"].create_group(str(number))


def _without(name: str) -> Callable[[h5py.File], None]:
    def remove(file: h5py.File) -> None:
        del file[name]

    return remove


def _attribute(name: str, value: object) -> Callable[[h5py.File], None]:
    def alter(file: h5py.File) -> None:
        file.attrs[name] = np.bytes_(value) if isinstance(value, str) else value

    return alter


def _renamed_layer(file: h5py.File) -> None:
    file.attrs["provenance"] = np.bytes_(file.attrs["provenance"].replace(b"conv_1", b"conv_9"))


def _recounted_layer(file: h5py.File) -> None:
    file["layers/nonzeros"][0] = 8


def _variable_length(file: h5py.File) -> None:
    file.attrs["command"] = RUN.command


def _original_dtype(file: h5py.File) -> None:
    file["constant_data/x"].attrs["original_dtype"] = np.bytes_("float64")


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (_external_link, "holds a link, stddev"),
        (_soft_link, "holds a link, stddev"),
        (_linked_group, "holds a link, extra"),
        (_external_storage, "takes its content from other files"),
        (_virtual, "takes its content from other files"),
        (_replaced(compression="lzf"), "has the filters"),
        (_replaced(dtype=np.dtype([("a", "f4")])), "numbers and strings"),
        (_replaced(dtype=h5py.ref_dtype), "numbers and strings"),
        (_replaced(shape=(2**30, 2**10), chunks=(2**10, 2**10)), "more than its part of the file can hold"),
        (_replaced(shape=(6, 4)), r"fits the rest of the file"),
        (_replaced(dtype="f8"), "f4 of the shape .* fits the rest"),
        (_nested, "is not a dataset"),
        (_looped, "is not a dataset"),
        (_crowded, "holds 30[0-9] objects"),
        (_without("summary/mean"), "cannot be read as a results file"),
        (_without("sample_stats"), "cannot be read as a results file"),
        (_without("constant_data"), "cannot be read as a results file"),
        (_attribute("task", "poetry"), "'poetry' is not a valid Task"),
        (_attribute("schema_version", 0), "schema version 0"),
        (_attribute("seed", "one"), "attribute seed is not one int"),
        (_attribute("mc_iters", [5, 5]), "attribute mc_iters is not one int"),
        (_attribute("mc_iters", 6), "fits the rest of the file"),
        (_attribute("seed", 7), "provenance record says seed"),
        (_attribute("command", "rm"), "provenance record says command"),
        (_attribute("versions", "[1"), "cannot be read as a results file"),
        (_attribute("versions", "[]"), "not a JSON object of strings"),
        (_renamed_layer, "its digest differs"),
        (_recounted_layer, "provenance record says layers"),
        (_variable_length, "attribute command has a variable length"),
        (_original_dtype, "claim the dtype float64"),
    ],
)
def test_altered_files_are_refused(good: Path, alter: Callable[[h5py.File], None], message: str) -> None:
    with h5py.File(good, "a") as file:
        alter(file)
    with pytest.raises(DamagedFileError, match=message):
        read_everything(good)


def test_a_group_that_somebody_added_is_left_alone(good: Path) -> None:
    before = read_everything(good)
    with h5py.File(good, "a") as file:
        file["log_likelihood/label"] = np.zeros((1, 5, 6))
    assert read_everything(good) == before


def test_damage_in_the_draws_is_found_when_they_are_read(good: Path) -> None:
    with h5py.File(good) as file:
        chunk = file["posterior_predictive/probabilities"].id.get_chunk_info(0)
    altered = bytearray(good.read_bytes())
    altered[chunk.byte_offset + chunk.size // 2] ^= 4
    good.write_bytes(altered)
    with open_results(good) as results, pytest.raises(DamagedFileError, match="cannot be read as a results file"):
        results.draws()


ALTERED = """
import json, sys
from pathlib import Path
from tests.results.results_world import try_altered
try_altered(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
"""


@pytest.mark.parametrize("name", ["classification", "regression"])
def test_flipped_bits_and_truncations_give_typed_errors_or_equal_values(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "good.h5", WORLDS[name])
    size = path.stat().st_size
    rng = random.Random(20200914)
    alterations = [(rng.randrange(size), rng.randrange(8)) for _ in range(60)]
    alterations += [(length, -1) for length in (0, 1, 8, 100, size // 2, size - 1)]
    result = child(ALTERED, str(path), str(tmp_path / "altered.h5"), json.dumps(alterations))
    outcomes = [json.loads(line) for line in result.stdout.splitlines()]
    assert [tuple(outcome[:2]) for outcome in outcomes] == alterations, result.stderr
    allowed = {"equal", "DamagedFileError", "InputError", "MissingFileError", "UnsupportedError"}
    assert {outcome[2] for outcome in outcomes} <= allowed, outcomes
    assert all(outcome[2] == "DamagedFileError" for outcome in outcomes if outcome[1] == -1)
