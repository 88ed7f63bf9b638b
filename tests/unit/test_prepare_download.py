"""Downloading shards from a hub that behaves, and from one that does not."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from preparing import load, sample_texts
from shard_server import Shop, serving

prepare = load()
NAME = "shard_00000.parquet"


def shard(texts: list[str]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": texts}), sink)
    return sink.getvalue()


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(prepare, "BACKOFF_SECONDS", 0.001)
    for name in ("HF_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    texts = sample_texts()
    with serving(Shop(files={NAME: shard(texts[:300])})) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running


def whole_chunks(size_bytes: int) -> int:
    return size_bytes // prepare.DOWNLOAD_CHUNK_BYTES * prepare.DOWNLOAD_CHUNK_BYTES


def fetched(folder: Path, shop: Shop) -> bool:
    """Whether the shard arrived whole, and nothing else is left in the folder."""
    prepare.download([NAME], folder)
    assert [path.name for path in folder.iterdir()] == [NAME]
    return (folder / NAME).read_bytes() == shop.files[NAME]


def test_a_shard_arrives(shop: Shop, tmp_path: Path) -> None:
    assert fetched(tmp_path, shop)


def test_a_shard_that_is_there_is_not_asked_for_again(shop: Shop, tmp_path: Path) -> None:
    assert fetched(tmp_path, shop)
    asked = len(shop.seen)
    assert fetched(tmp_path, shop)
    assert len(shop.seen) == asked


@pytest.mark.parametrize("fault", ["garbage", "long", "429", "503", "500", "cut"])
def test_a_fault_is_mended_by_another_try(shop: Shop, tmp_path: Path, fault: str) -> None:
    shop.faults[NAME] = [fault, fault]
    assert fetched(tmp_path, shop)
    assert len(shop.gets(NAME)) == 3


@pytest.mark.parametrize("fault", ["garbage", "cut"])
def test_without_size_and_hash_from_the_hub_garbage_is_still_noticed(shop: Shop, tmp_path: Path, fault: str) -> None:
    shop.linked = shop.head = False
    shop.faults[NAME] = [fault]
    assert fetched(tmp_path, shop)


def test_a_broken_transfer_goes_on_where_it_broke(shop: Shop, tmp_path: Path) -> None:
    shop.faults[NAME] = ["cut", "cut"]
    assert fetched(tmp_path, shop)
    starts = [seen.headers.get("Range") for seen in shop.gets(NAME)]
    first = whole_chunks(len(shop.files[NAME]) // 2)
    second = first + whole_chunks((len(shop.files[NAME]) - first) // 2)
    assert starts == [None, f"bytes={first}-", f"bytes={second}-"]
    assert all("If-Range" in seen.headers for seen in shop.gets(NAME)[1:])


def test_a_new_run_goes_on_where_a_killed_one_stopped(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "DOWNLOAD_TRIES", 1)
    shop.faults[NAME] = ["cut"]
    with pytest.raises(prepare.UserError, match="in 1 tries"):
        prepare.download([NAME], tmp_path)
    assert fetched(tmp_path, shop)
    assert shop.gets(NAME)[1].headers["Range"].startswith("bytes=")


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "DOWNLOAD_TRIES", 1)
    shop.faults[NAME] = ["cut"]
    with pytest.raises(prepare.UserError):
        prepare.download([NAME], tmp_path)
    shop.files[NAME] = shard(sample_texts()[300:700])
    assert fetched(tmp_path, shop)
    assert "Range" not in shop.gets(NAME)[1].headers


def test_a_changed_file_is_noticed_by_if_range_where_the_hub_tells_nothing(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.linked = shop.head = False
    monkeypatch.setattr(prepare, "DOWNLOAD_TRIES", 1)
    shop.faults[NAME] = ["cut"]
    with pytest.raises(prepare.UserError):
        prepare.download([NAME], tmp_path)
    shop.files[NAME] = shard(sample_texts()[300:700])
    assert fetched(tmp_path, shop)
    assert "Range" in shop.gets(NAME)[1].headers


def test_without_a_strong_etag_or_a_hash_nothing_is_joined(shop: Shop, tmp_path: Path) -> None:
    shop.linked = shop.head = shop.strong = False
    shop.faults[NAME] = ["cut"]
    assert fetched(tmp_path, shop)
    assert all("Range" not in seen.headers for seen in shop.gets(NAME))


@pytest.mark.parametrize("fault", ["no-range", "wrong-range", "416"])
def test_a_server_that_is_wrong_about_ranges(shop: Shop, tmp_path: Path, fault: str) -> None:
    shop.faults[NAME] = ["cut", fault]
    assert fetched(tmp_path, shop)


def test_a_part_that_was_whole_but_not_renamed_needs_no_transfer(shop: Shop, tmp_path: Path) -> None:
    body = shop.files[NAME]
    prepare.download([NAME], tmp_path)
    part = tmp_path / f"{NAME}.part"
    (tmp_path / NAME).rename(part)
    sha256 = prepare._sha256(part)
    prepare._note(part).write_text(json.dumps({"etag": "", "expected": [len(body), sha256]}))
    assert fetched(tmp_path, shop)
    assert len(shop.gets(NAME)) == 1


def test_retry_after_is_obeyed(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(prepare.threading.Event, "wait", lambda self, seconds=None: waits.append(seconds) or False)
    stop, progress = prepare.threading.Event(), prepare._Progress(1)
    shop.retry_after, shop.faults[NAME] = "7", ["429"]
    prepare._fetch(NAME, tmp_path, stop, progress)
    assert 7.0 in waits


def test_retry_after_in_both_its_forms() -> None:
    assert prepare._retry_after_seconds("12") == 12.0
    assert prepare._retry_after_seconds("99999") == prepare.RETRY_AFTER_MAX_SECONDS
    assert prepare._retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert prepare._retry_after_seconds("") is None
    assert prepare._retry_after_seconds("soon") is None


def test_tries_are_bounded(shop: Shop, tmp_path: Path) -> None:
    shop.faults[NAME] = ["503"] * 100
    with pytest.raises(prepare.UserError, match="in 8 tries; the last failed with: the server answered 503"):
        prepare.download([NAME], tmp_path)
    assert len(shop.gets(NAME)) == prepare.DOWNLOAD_TRIES


def test_what_is_not_there_is_not_tried_again(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(prepare.UserError, match="404"):
        prepare.download(["shard_00001.parquet"], tmp_path)
    assert len(shop.seen) == 1


def test_nobody_listens(tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(prepare.UserError, match="in 8 tries"):
        prepare.download([NAME], tmp_path)


def test_an_endpoint_that_is_no_address(tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    with pytest.raises(prepare.UserError, match="HF_ENDPOINT"):
        prepare.download([NAME], tmp_path)


def test_the_token_goes_to_the_hub(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert fetched(tmp_path, shop)
    assert shop.seen[0].headers["Authorization"] == "Bearer hf_secret"


def test_a_truncated_shard_in_the_folder_is_fetched_again(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(shop.files[NAME][:1000])
    assert fetched(tmp_path, shop)


def test_climbmix_end_to_end(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two training shards and the two evaluation shards, one of which shares documents with the training."""
    texts = sample_texts()
    val, holdout, shared = texts[:150], texts[150:300], texts[100:160]
    shop.files = {
        "shard_00000.parquet": shard(texts[300:700] + shared),
        "shard_00001.parquet": shard(texts[700:]),
        "shard_06541.parquet": shard(holdout + texts[:5]),
        "shard_06542.parquet": shard(val),
    }
    shop.faults["shard_00001.parquet"] = ["cut", "garbage"]
    monkeypatch.setenv("AUTORESEARCH_DOWNLOADS", str(tmp_path / "downloads"))
    arguments = ["--shards", "2", "--data", str(tmp_path / "data")]
    assert prepare.main(arguments) == 0
    asked = len(shop.seen)
    assert prepare.main(arguments) == 0
    assert len(shop.seen) == asked
    source = prepare.climbmix_source(2)
    read = list(prepare._documents(prepare._with_owners(source), "train"))
    assert set(read) == set(texts[300:])
    assert not set(prepare._documents(prepare._with_owners(source), "holdout")) & set(val)


def test_the_evaluation_shards_are_never_training_shards(capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main(["--shards", "6542"]) == 2
    assert "--shards must be between 1 and 6541" in capsys.readouterr().err


def test_a_failed_file_stops_the_others(shop: Shop, tmp_path: Path) -> None:
    names = [f"shard_{number:05d}.parquet" for number in range(12)]
    shop.files = dict.fromkeys(names[1:], shop.files[NAME])
    with pytest.raises(prepare.UserError, match="shard_00000"):
        prepare.download(names, tmp_path)
    assert not (tmp_path / names[0]).exists()
