"""The tokenizer: exact round trips, raw byte counts, specials as plain text, offline."""

from __future__ import annotations

import base64
import json
import socket
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from preparing import load, sample_texts

prepare = load()


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("common")
    prepare._write_json(directory / "tokenizer.json", prepare._train_tokenizer(iter(sample_texts()[:400])))
    return directory


@pytest.fixture(scope="module")
def tokenizer(common: Path):
    return prepare.Tokenizer.from_directory(common)


def test_vocabulary_and_bos(tokenizer) -> None:
    assert tokenizer.get_vocab_size() == prepare.VOCAB_SIZE == 2048
    assert tokenizer.get_bos_token_id() == 2044
    assert tokenizer.decode([2044, 2047]) == "<|reserved_0|><|reserved_3|>"


def test_any_text_survives(tokenizer) -> None:
    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def check(text: str) -> None:
        assert tokenizer.decode(tokenizer.encode(text)) == text

    check()


@pytest.mark.parametrize("text", ["", " ", "\n\n \t", "naïve café", "日本語", "🏴‍☠️", "a\x00b", "1234567", "x" * 10_000])
def test_awkward_texts_survive(tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_specials_written_out_are_ordinary_text(tokenizer) -> None:
    text = "before <|reserved_0|> after"
    ids = tokenizer.encode(text)
    assert max(ids) < 2044
    assert tokenizer.decode(ids) == text


def test_a_piece_of_a_character_decodes_to_the_replacement_character(tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("日")[:1]) == "\ufffd"


def test_lists_and_prepend(tokenizer) -> None:
    bos = tokenizer.get_bos_token_id()
    assert tokenizer.encode(["a", "the Lord"]) == [tokenizer.encode("a"), tokenizer.encode("the Lord")]
    assert tokenizer.encode("a", prepend=bos) == [bos, *tokenizer.encode("a")]
    assert tokenizer.encode(["a", ""], prepend="<|reserved_0|>") == [[bos, *tokenizer.encode("a")], [bos]]


def test_byte_counts_are_those_of_the_raw_bytes(common: Path, tokenizer) -> None:
    stored = json.loads((common / "tokenizer.json").read_text())
    lengths = tokenizer.token_bytes()
    assert lengths.dtype == np.dtype("<u2")
    assert lengths[:2044].tolist() == [len(base64.b64decode(token)) for token in stored["mergeable_ranks"]]
    assert lengths[2044:].tolist() == [0] * 4


def test_byte_counts_add_up_even_where_tokens_split_characters(tokenizer) -> None:
    text = "In the beginning — 初めに — 🌍 naïve"
    assert tokenizer.token_bytes()[tokenizer.encode(text)].sum() == len(text.encode())


def test_training_is_deterministic(common: Path) -> None:
    again = prepare._train_tokenizer(iter(sample_texts()[:400]))
    assert again == json.loads((common / "tokenizer.json").read_text())


def test_loading_touches_no_network(common: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert prepare.Tokenizer.from_directory(common).encode("a")


def test_the_text_that_the_tokenizer_sees_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "TOKENIZER_CHARACTERS", 25_000)
    seen = list(prepare._bounded(iter(["x" * 30_000] * 10)))
    assert [len(text) for text in seen] == [10_000] * 3


def test_too_little_text_for_the_vocabulary() -> None:
    with pytest.raises(prepare.UserError, match="too little text"):
        prepare._train_tokenizer(iter(["a few words"]))


def test_no_tokenizer_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        prepare.Tokenizer.from_directory(tmp_path)
    assert ended.value.code == 2
    assert "run `python prepare.py --sample` first" in capsys.readouterr().err
