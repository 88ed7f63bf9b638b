"""The fast packer gives the rows of the plain one, bit for bit."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from preparing import arrays, load, pack_with_lists

prepare = load()


def numbered(lengths: list[int]) -> list[list[int]]:
    """Documents of these lengths in which every token tells which document and place it is from."""
    counter = itertools.count()
    return [[next(counter) % 65_536 for _ in range(length)] for length in lengths]


def packed(documents: list[list[int]], capacity: int) -> list[list[int]]:
    packer, rows = prepare.Packer(arrays(documents)), []
    row = np.empty(capacity, dtype="<u2")
    while packer.fill(row):
        rows.append(row.tolist())
    return rows


@given(
    lengths=st.lists(st.integers(1, 40), max_size=120),
    capacity=st.integers(1, 30),
    size=st.integers(1, 20),
    refill=st.integers(1, 8),
)
def test_the_same_rows_as_plain_lists(lengths: list[int], capacity: int, size: int, refill: int) -> None:
    documents = numbered(lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "PACKING_BUFFER", size)
        patch.setattr(prepare, "PACKING_REFILL", refill)
        assert packed(documents, capacity) == list(pack_with_lists(iter(documents), capacity, size, refill))


@pytest.mark.parametrize("seed", range(3))
def test_the_same_rows_at_the_real_sizes(seed: int) -> None:
    lengths = np.random.default_rng(seed).geometric(1 / 300, size=3_000).tolist()
    documents = numbered(lengths)
    assert packed(documents, 257) == list(pack_with_lists(iter(documents), 257, 1000, 128))


def test_ties_go_to_the_earliest() -> None:
    documents = [[1, 1], [2, 2], [3, 3, 3, 3, 3], [4, 4, 4, 4, 4]]
    assert packed(documents, 4) == [[1, 1, 2, 2], [3, 3, 3, 3], [4, 4, 4, 4]]


def test_a_row_that_cannot_be_filled_is_dropped() -> None:
    assert packed([[1, 2, 3]], 4) == []
    assert packed([[1, 2, 3], [4]], 4) == [[1, 2, 3, 4]]
    assert packed([], 4) == []


def write_train(directory: Path, shards: list[list[list[int]]]) -> None:
    entries = []
    for number, documents in enumerate(shards):
        starts = [0, *itertools.accumulate(len(document) for document in documents)][:-1]
        np.array(list(itertools.chain(*documents)), dtype="<u2").tofile(directory / f"{number}.bin")
        np.array(starts, dtype="<u8").tofile(directory / f"{number}.idx")
        entries.append({"tokens": f"{number}.bin", "documents": f"{number}.idx"})
    (directory / "index.json").write_text(json.dumps({"version": 1, "shards": entries}))


def test_training_documents_come_in_order_and_again_in_the_next_epoch(tmp_path: Path) -> None:
    write_train(tmp_path, [[[9, 1], [9, 2, 3]], [[9, 4]]])
    documents = prepare.TrainDocuments(tmp_path)
    assert documents.epoch == 0
    stream = iter(documents)
    assert [next(stream).tolist() for _ in range(3)] == [[9, 1], [9, 2, 3], [9, 4]]
    assert documents.epoch == 1
    assert next(stream).tolist() == [9, 1]
    assert documents.epoch == 2


def test_rows_from_the_memory_map_are_those_of_plain_lists(tmp_path: Path) -> None:
    lengths = np.random.default_rng(0).geometric(1 / 50, size=2_500).tolist()
    documents = numbered(lengths)
    write_train(tmp_path, [documents[:900], documents[900:]])
    packer = prepare.Packer(iter(prepare.TrainDocuments(tmp_path)))
    row, rows = np.empty(129, dtype="<u2"), []
    for _ in range(3_000):  # beyond the first epoch
        assert packer.fill(row)
        rows.append(row.tolist())
    plain = pack_with_lists(itertools.cycle(documents), 129, 1000, 128)
    assert rows == list(itertools.islice(plain, 3_000))
