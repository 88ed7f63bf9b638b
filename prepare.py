"""Data, tokenizer, loader and evaluation of an autoresearch lab. This file is fixed: experiments edit train.py only.

    python prepare.py --sample            the small public-domain text that comes with the project; no internet
    python prepare.py --source DIR        your own .parquet, .txt and .md files (searched recursively)
    python prepare.py --shards 12         climbmix-400b-shuffle from the Hugging Face hub (the default source)
    python prepare.py --verify            hash every prepared file again

Two profiles are frozen below. AUTORESEARCH_PROFILE chooses one; without it the profile is `gpu` where an NVIDIA
driver is loaded and `cpu` elsewhere. Prepared data lies in AUTORESEARCH_DATA, else in ~/.cache/autoresearch/<profile>:

    manifest.json                    sha256 of every file, source, licence, counts; written last
    common/tokenizer.json            pattern, special tokens, mergeable ranks; data only, no pickle
    common/token_bytes.bin           uint16 a token: how many bytes of text it stands for, 0 for special tokens
    train/index.json, *.bin, *.idx   uint16 tokens, every document starting with BOS, and uint64 document starts
    val/rows.bin, holdout/rows.bin   uint16 rows of MAX_SEQ_LEN + 1 tokens, packed once and for all

Of a folder or the sample, a document's split is decided by a hash of its text, so the same text is never in two
splits; climbmix has one shard for validation, one for the holdout, and the rest for training. The tokenizer sees the
training split only. A text file of more than 32,768 characters becomes several documents, cut at the first blank
line (else line end, else space) after 16,384 characters.

Importing this file reads nothing; torch is needed for training and evaluation only, not for preparing data.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import math
import os
import random
import re
import shutil
import sys
import threading
import time
from array import array
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

# ---------------------------------------------------------------------------------------------------------------------
# Constants


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One frozen set of conditions; scores of different profiles are never compared."""

    max_seq_len: int  # tokens of context
    time_budget_seconds: float  # of training
    eval_tokens: int  # scored at most
    vocab_size: int
    eval_batch_size: int  # rows
    max_document_tokens: int | None  # longer documents are cut into pieces of this many tokens
    tokenizer_characters: int  # of training text that the tokenizer sees at most


# At 256 tokens of context, whole chapters would be cropped to their first quarter and the rest never read; so the cpu
# profile cuts documents to pieces that fill a row exactly (BOS + 256 tokens), and nearly every token is used.
PROFILES = {
    "gpu": Profile(
        max_seq_len=2048,
        time_budget_seconds=300.0,
        eval_tokens=40 * 524_288,
        vocab_size=8192,
        eval_batch_size=128,
        max_document_tokens=None,
        tokenizer_characters=1_000_000_000,
    ),
    "cpu": Profile(
        max_seq_len=256,
        time_budget_seconds=20.0,
        eval_tokens=432 * 256,
        vocab_size=2048,
        eval_batch_size=16,
        max_document_tokens=256,
        tokenizer_characters=50_000_000,
    ),
}


def _stop(sentence: str) -> NoReturn:
    """End the program over a user's mistake: one sentence on stderr, exit code 2."""
    print(f"prepare.py: {sentence}", file=sys.stderr)
    raise SystemExit(2)


def _profile_name() -> str:
    default = "gpu" if Path("/proc/driver/nvidia/version").exists() else "cpu"
    name = os.environ.get("AUTORESEARCH_PROFILE") or default
    if name not in PROFILES:
        _stop(f"AUTORESEARCH_PROFILE is {name!r}, but the profiles are: {', '.join(PROFILES)}.")
    return name


def _train_seconds(default_seconds: float) -> float:
    text = os.environ.get("AUTORESEARCH_TRAIN_SECONDS") or str(default_seconds)
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    _stop(f"AUTORESEARCH_TRAIN_SECONDS is {text!r}, but must be a number of seconds above 0.")


PROFILE = _profile_name()
MAX_SEQ_LEN = PROFILES[PROFILE].max_seq_len
TIME_BUDGET = _train_seconds(PROFILES[PROFILE].time_budget_seconds)
EVAL_TOKENS = PROFILES[PROFILE].eval_tokens
VOCAB_SIZE = PROFILES[PROFILE].vocab_size
EVAL_BATCH_SIZE = PROFILES[PROFILE].eval_batch_size
MAX_DOCUMENT_TOKENS = PROFILES[PROFILE].max_document_tokens
TOKENIZER_CHARACTERS = PROFILES[PROFILE].tokenizer_characters

DATA_VERSION = 1  # raise when the same input would give other files
SPLITS = ("train", "val", "holdout")
SPECIAL_TOKENS = tuple(f"<|reserved_{i}|>" for i in range(4))
BOS_TOKEN = SPECIAL_TOKENS[0]
# GPT-4's split of text into words, with at most two digits together: a small vocabulary has better uses than numbers.
SPLIT_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
PACKING_BUFFER = 1000  # documents to choose from while packing a row
PACKING_REFILL = 128  # documents read at a time

TEXT_DOCUMENT_CHARACTERS = 16_384
MAX_EVALUATION_SHARE = 0.12  # of a folder's documents, for each of val and holdout
MIN_EVALUATION_ROWS = 16  # fewer rows would make a score of noise
TOKENIZER_DOCUMENT_CHARACTERS = 10_000  # of one document, so that a few long ones do not shape the vocabulary
SHARD_TEXT_BYTES = 128 * 2**20  # of text in one training shard, about
BATCH_DOCUMENTS = 256  # read from parquet at a time
HASH_INPUTS_UP_TO_BYTES = 64 * 2**20  # larger sources are recognised by name, size and time of change

CLIMBMIX = "karpathy/climbmix-400b-shuffle"
CLIMBMIX_HOLDOUT, CLIMBMIX_VAL = 6541, 6542  # the last two shards; training takes 0, 1, 2, … below them
DEFAULT_SHARDS = 12  # about what one run of the gpu profile reads
DOWNLOAD_THREADS = 4
DOWNLOAD_TRIES = 8
BACKOFF_SECONDS, BACKOFF_MAX_SECONDS, RETRY_AFTER_MAX_SECONDS = 1.0, 60.0, 300.0
CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS = 10.0, 60.0
DOWNLOAD_CHUNK_BYTES = 2**18

READY_MARKER = "@@autoresearch ready@@"
RELEASE_POLL_SECONDS = 0.001
RESERVE_SECONDS = 1.0  # for sealing and leaving, on top of twice the time of writing the weights


class UserError(Exception):
    """The operator has to change something; the message is one sentence that says what."""


def data_directory() -> Path:
    """Where prepared data lies: AUTORESEARCH_DATA, else ~/.cache/autoresearch/<profile>."""
    named = os.environ.get("AUTORESEARCH_DATA")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "autoresearch" / PROFILE


def _in_sandbox() -> bool:
    return bool(os.environ.get("AUTORESEARCH_OUT"))


def _read_manifest(directory: Path) -> dict[str, Any] | None:
    """The manifest of prepared data, or None where there is none that can be read."""
    try:
        manifest = json.loads((directory / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


# ---------------------------------------------------------------------------------------------------------------------
# Data sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A piece of the source that is read in one go: one row group of a parquet file, or one text file."""

    path: Path
    row_group: int | None
    column: str
    text_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Text to prepare.

    `spans` holds what to read for each split. Where `evaluation_share` is above 0, all splits read the same spans and
    a document belongs to the split that its hash falls into; else `owners` (hash -> split) names the documents of the
    evaluation shards, which no other split may contain.
    """

    name: str
    licence: str
    spans: dict[str, list[Span]]
    evaluation_share: float = 0.0
    owners: dict[int, str] = field(default_factory=dict)

    def text_bytes(self) -> int:
        """Bytes of text to tokenise, about (parquet's own count before compression)."""
        return sum(span.text_bytes for span in set(itertools.chain(*self.spans.values())))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _belongs(text: str, split: str, source: Source) -> bool:
    """Whether this text is one of the split's documents."""
    digest = _hash(text)
    if not source.evaluation_share:
        return source.owners.get(digest, split) == split
    position = digest / 2**64
    if position < source.evaluation_share:
        return split == "val"
    return split == ("holdout" if position < 2 * source.evaluation_share else "train")


def _documents(source: Source, split: str, spans: Iterable[Span] | None = None) -> Iterator[str]:
    """Yield the texts of one split, in the order of the source."""
    for span in source.spans[split] if spans is None else spans:
        for text in _span_documents(span):
            if text and _belongs(text, split, source):
                yield text


def _span_documents(span: Span) -> Iterator[str]:
    return _text_documents(span.path) if span.row_group is None else _parquet_documents(span)


def _parquet_documents(span: Span) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(span.path) as file:
            batches = file.iter_batches(BATCH_DOCUMENTS, row_groups=[span.row_group], columns=[span.column])
            for batch in batches:
                yield from (text for text in batch.column(0).to_pylist() if text is not None)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"{span.path} cannot be read: {_first_line(error)}.") from error


def _text_documents(path: Path) -> Iterator[str]:
    """Yield a text file as one document, or, if it is long, as several (see the top of this file)."""
    rest = ""
    with path.open(encoding="utf-8", errors="replace", newline=None) as file:
        while chunk := file.read(2**20):
            rest += chunk
            while len(rest) > 2 * TEXT_DOCUMENT_CHARACTERS:
                cut = _cut(rest)
                yield rest[:cut]
                rest = rest[cut:]
    if rest.strip():
        yield rest


def _cut(text: str) -> int:
    for separator in ("\n\n", "\n", " "):
        found = text.find(separator, TEXT_DOCUMENT_CHARACTERS, 2 * TEXT_DOCUMENT_CHARACTERS)
        if found >= 0:
            return found + len(separator)
    return 2 * TEXT_DOCUMENT_CHARACTERS


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _parquet_spans(path: Path, column: str) -> list[Span]:
    """Return a span for each row group.

    Raises:
        UserError: the file is not parquet, or has no such column of text.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            meta, schema = file.metadata, file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is not a readable parquet file: {_first_line(error)}.") from error
    kind = schema.field(column).type if column in schema.names else None
    if kind is None or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        has = ", ".join(schema.names) or "none"
        raise UserError(f"{path} has no text column {column!r} (its columns: {has}); name one with --column.")
    leaf = [meta.schema.column(i).path for i in range(meta.num_columns)].index(column)
    sizes = [meta.row_group(i).column(leaf).total_uncompressed_size for i in range(meta.num_row_groups)]
    return [Span(path=path, row_group=i, column=column, text_bytes=size) for i, size in enumerate(sizes)]


def _spans(path: Path, column: str) -> list[Span]:
    if path.suffix == ".parquet":
        return _parquet_spans(path, column)
    return [Span(path=path, row_group=None, column=column, text_bytes=path.stat().st_size)]


def folder_source(folder: Path, *, column: str, name: str, licence: str) -> Source:
    """Return a folder's text as a source, with its documents split by hash.

    Raises:
        UserError: no folder, nothing to read in it, or a file that cannot be used.
    """
    if not folder.is_dir():
        raise UserError(f"the folder {folder} does not exist.")
    wanted = {".parquet", ".txt", ".md"}
    paths = sorted(path for path in folder.rglob("*") if path.suffix in wanted and path.is_file())
    if not paths:
        raise UserError(f"the folder {folder} holds no .parquet, .txt or .md file.")
    spans = [span for path in paths for span in _spans(path, column)]
    total_bytes = sum(span.text_bytes for span in spans)
    # Twice what the evaluation needs at 5 bytes a token (packing crops), but never more than the share.
    share = min(MAX_EVALUATION_SHARE, 2 * 5 * EVAL_TOKENS / max(total_bytes, 1))
    return Source(name=name, licence=licence, spans=dict.fromkeys(SPLITS, spans), evaluation_share=share)


def sample_source() -> Source:
    """Return the text that comes with the project.

    Raises:
        UserError: the sample is not where it should be.
    """
    folder = Path(os.environ.get("AUTORESEARCH_SAMPLE_DIR") or Path(__file__).resolve().parent / "data" / "sample")
    if not any(folder.glob("*.parquet")):
        raise UserError(f"the sample text is not in {folder}; set AUTORESEARCH_SAMPLE_DIR to the folder that has it.")
    licence = "public domain: King James Version (1769), from Debian's bible-kjv-text; Crown prerogative in the UK"
    return folder_source(folder, column="text", name="sample: King James Version", licence=licence)


def climbmix_source(shards: int) -> Source:
    """Download training shards 0 … shards-1 and the two evaluation shards, and return them as a source.

    Raises:
        UserError: a number of shards that the data set has not, or a download that failed for good.
    """
    if not 1 <= shards <= CLIMBMIX_HOLDOUT:
        raise UserError(f"--shards must be between 1 and {CLIMBMIX_HOLDOUT}, not {shards}.")
    default = Path.home() / ".cache" / "autoresearch" / "climbmix"
    folder = Path(os.environ.get("AUTORESEARCH_DOWNLOADS") or default).expanduser()
    numbers = {"val": [CLIMBMIX_VAL], "holdout": [CLIMBMIX_HOLDOUT], "train": list(range(shards))}
    download([f"shard_{number:05d}.parquet" for group in numbers.values() for number in group], folder)
    spans = {
        split: [span for n in group for span in _parquet_spans(folder / f"shard_{n:05d}.parquet", "text")]
        for split, group in numbers.items()
    }
    return Source(
        name=f"{CLIMBMIX}: {shards} training shards",
        licence=f"as stated at https://huggingface.co/datasets/{CLIMBMIX}",
        spans=spans,
    )


def _with_owners(source: Source) -> Source:
    """Name the evaluation shards' documents, so that copies of them in other shards are left out."""
    owners: dict[int, str] = {}
    for split in ("val", "holdout"):
        for span in source.spans[split]:
            for text in _span_documents(span):
                owners.setdefault(_hash(text), split)
    return Source(name=source.name, licence=source.licence, spans=source.spans, owners=owners)


# ---------------------------------------------------------------------------------------------------------------------
# Download


class _Again(Exception):
    """This try failed, another may not. `after_seconds` is what the server asked for, if it did."""

    def __init__(self, reason: str, after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.after_seconds = after_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the hub says of a file, as far as it does."""

    size_bytes: int | None
    sha256: str | None


class _Progress:
    """One line for all downloads: rewritten in place on a terminal, one line a finished file elsewhere."""

    def __init__(self, files: int) -> None:
        self._lock, self._started, self._shown = threading.Lock(), time.monotonic(), 0.0
        self._files, self._done, self._bytes = files, 0, 0

    def add(self, size_bytes: int) -> None:
        with self._lock:
            self._bytes += size_bytes
            if sys.stdout.isatty() and time.monotonic() - self._shown > 0.2:
                self._shown = time.monotonic()
                print(f"\r{self._line()}  ", end="", flush=True)

    def finish(self, name: str) -> None:
        with self._lock:
            self._done += 1
            start, end = ("\r", "") if sys.stdout.isatty() and self._done < self._files else ("", "\n")
            print(f"{start}{self._line()}, {name}", end=end, flush=True)

    def _line(self) -> str:
        rate = self._bytes / max(time.monotonic() - self._started, 1e-9)
        return f"download: {self._done}/{self._files} files, {self._bytes / 1e6:,.1f} MB, {rate / 1e6:,.1f} MB/s"


def download(names: list[str], folder: Path) -> None:
    """Fetch what is not there yet, several files at a time; what a broken run left is continued.

    Raises:
        UserError: a file cannot be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in names if not _is_parquet(folder / name)]
    if not missing:
        return
    stop, progress = threading.Event(), _Progress(len(missing))
    with ThreadPoolExecutor(DOWNLOAD_THREADS) as pool:
        futures = [pool.submit(_fetch, name, folder, stop, progress) for name in missing]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()  # after the first failure, or Ctrl-C, the other threads end at their next chunk
            pool.shutdown(cancel_futures=True)
    failures = [future.exception() for future in futures if not future.cancelled()]
    for failure in sorted((f for f in failures if f), key=lambda f: isinstance(f, _Again)):
        raise failure


def _is_parquet(path: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return file.metadata.num_rows > 0
    except (OSError, pa.ArrowException):
        return False


def _fetch(name: str, folder: Path, stop: threading.Event, progress: _Progress) -> None:
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    url = f"{endpoint.rstrip('/')}/datasets/{CLIMBMIX}/resolve/main/{name}"
    for attempt in range(DOWNLOAD_TRIES):
        try:
            _fetch_once(url, folder / name, stop, progress)
            return progress.finish(name)
        except _Again as again:
            reason, seconds = _first_line(again), again.after_seconds
        if seconds is None:
            spread = random.uniform(0.5, 1.0)  # noqa: S311 - spreads the tries of many clients; guards no secret
            seconds = min(BACKOFF_SECONDS * 2**attempt, BACKOFF_MAX_SECONDS) * spread
        if attempt + 1 < DOWNLOAD_TRIES and stop.wait(seconds):
            raise _Again("stopped")
    raise UserError(f"{url} could not be downloaded in {DOWNLOAD_TRIES} tries; the last failed with: {reason}.")


def _fetch_once(url: str, target: Path, stop: threading.Event, progress: _Progress) -> None:
    import requests

    part = target.with_name(target.name + ".part")
    permanent = (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema)
    try:
        with requests.Session() as session:
            session.headers.update(_request_headers())
            expected = _ask(session, url)
            _transfer(session, url, part, expected, stop, progress)
    except permanent as error:
        raise UserError(f"{url} is not a usable address; check HF_ENDPOINT and the proxy settings.") from error
    except requests.RequestException as error:
        raise _Again(_first_line(error)) from error
    _check_download(part, expected)
    part.replace(target)
    _note(part).unlink(missing_ok=True)


def _request_headers() -> dict[str, str]:
    token = os.environ.get("HF_TOKEN")
    headers = {"User-Agent": "autoresearch-prepare/1", "Accept-Encoding": "identity"}
    return headers | ({"Authorization": f"Bearer {token}"} if token else {})


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _ask(session: Any, url: str) -> Expected:
    """Ask the hub for size and sha256. It tells both in its redirect to the storage, for files kept in LFS."""
    timeouts = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
    reply = session.head(url, allow_redirects=False, timeout=timeouts)
    if reply.is_redirect and "X-Linked-Size" not in reply.headers:
        reply = session.head(url, allow_redirects=True, timeout=timeouts)
    if reply.status_code in (405, 501):  # a mirror that knows no HEAD
        return Expected(size_bytes=None, sha256=None)
    _check_status(reply)
    size = reply.headers.get("X-Linked-Size") or ("" if reply.is_redirect else reply.headers.get("Content-Length", ""))
    etag = reply.headers.get("X-Linked-Etag", "").strip('"')
    return Expected(
        size_bytes=int(size) if size.isdecimal() else None,
        sha256=etag if re.fullmatch(r"[0-9a-f]{64}", etag) else None,
    )


def _check_status(reply: Any) -> None:
    code = reply.status_code
    if code < 400:
        return
    if code in (408, 416, 425, 429) or code >= 500:
        raise _Again(f"the server answered {code}", _retry_after_seconds(reply.headers.get("Retry-After", "")))
    advice = "; set HF_TOKEN if it needs a login" if code in (401, 403) else ""
    raise UserError(f"{reply.url.split('?')[0]} cannot be had: the server answered {code}{advice}.")


def _retry_after_seconds(value: str) -> float | None:
    """Seconds to wait, from a Retry-After header in either of its forms; None where it says nothing usable."""
    from email.utils import parsedate_to_datetime

    try:
        seconds = float(value) if value.isdecimal() else parsedate_to_datetime(value).timestamp() - time.time()
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_SECONDS)


def _resume_point(part: Path, expected: Expected) -> tuple[int, str]:
    """Return how many bytes of the file are here already, and the ETag they came with ('' if unknown).

    A part is continued only if a wrong join would be noticed: by the server (If-Range with a strong ETag) or by us
    (a known sha256).
    """
    try:
        note, size_bytes = json.loads(_note(part).read_text("utf-8")), part.stat().st_size
        etag, same = str(note["etag"]), note["expected"] == [expected.size_bytes, expected.sha256]
    except (OSError, ValueError, KeyError, TypeError):
        return 0, ""
    if not same or not (etag or expected.sha256) or size_bytes > (expected.size_bytes or size_bytes):
        return 0, ""
    return size_bytes, etag


def _transfer(
    session: Any, url: str, part: Path, expected: Expected, stop: threading.Event, progress: _Progress
) -> None:
    offset, etag = _resume_point(part, expected)
    if offset and offset == expected.size_bytes:
        return
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    if offset and etag:
        headers["If-Range"] = etag
    with session.get(url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)) as reply:
        if reply.status_code == 416:
            part.unlink(missing_ok=True)
        _check_status(reply)
        offset = _checked_offset(reply, offset, expected)
        sent_etag = reply.headers.get("ETag", "")
        note = {"etag": "" if sent_etag.startswith("W/") else sent_etag, "expected": [expected.size_bytes, expected.sha256]}
        _note(part).write_text(json.dumps(note), "utf-8")
        with part.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            for chunk in reply.iter_content(DOWNLOAD_CHUNK_BYTES):
                if stop.is_set():
                    raise _Again("stopped")
                file.write(chunk)
                progress.add(len(chunk))


def _checked_offset(reply: Any, offset: int, expected: Expected) -> int:
    """Return where the body begins: 0 if the server sends the whole file, else the offset asked for."""
    if reply.status_code != 206:
        return 0
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", reply.headers.get("Content-Range", ""))
    total = match[2] if match else ""
    if not match or int(match[1]) != offset or total not in ("*", str(expected.size_bytes or total)):
        raise _Again("the server continued at the wrong place")
    return offset


def _check_download(part: Path, expected: Expected) -> None:
    """Raise _Again, and drop what is there, unless the part is the whole and right file."""
    size_bytes = part.stat().st_size
    if expected.size_bytes is not None and size_bytes < expected.size_bytes:
        raise _Again(f"{size_bytes:,} of {expected.size_bytes:,} bytes arrived")  # kept: the next try continues
    wrong = "too many bytes arrived" if size_bytes > (expected.size_bytes or size_bytes) else ""
    if not wrong and expected.sha256 and _sha256(part) != expected.sha256:
        wrong = "what arrived has the wrong sha256"
    if not wrong and not _is_parquet(part):
        wrong = "what arrived is not a parquet file"
    if wrong:
        part.unlink()
        _note(part).unlink(missing_ok=True)
        raise _Again(wrong)


# ---------------------------------------------------------------------------------------------------------------------
# Tokenizer


class Tokenizer:
    """A byte-level BPE, stored as JSON and run by tiktoken; no network, no pickle."""

    def __init__(self, pattern: str, ranks: dict[bytes, int], special_tokens: dict[str, int], bos_token: str) -> None:
        import tiktoken

        self._ranks, self._special_tokens = ranks, special_tokens
        self._bos_token_id = special_tokens[bos_token]
        self._encoding = tiktoken.Encoding(
            "autoresearch",
            pat_str=pattern,
            mergeable_ranks=ranks,
            special_tokens=special_tokens,
            explicit_n_vocab=len(ranks) + len(special_tokens),
        )

    @classmethod
    def from_directory(cls, directory: str | Path | None = None) -> Tokenizer:
        """Load tokenizer.json from a directory, by default `common` of the prepared data."""
        path = Path(directory) if directory else data_directory() / "common"
        if not directory:
            _require_prepared(path.parent)
        try:
            stored = json.loads((path / "tokenizer.json").read_text("utf-8"))
        except OSError:
            _stop(f"no tokenizer in {path}; run `python prepare.py --sample` first.")
        ranks = {base64.b64decode(token): rank for rank, token in enumerate(stored["mergeable_ranks"])}
        return cls(stored["pattern"], ranks, stored["special_tokens"], stored["bos_token"])

    @property
    def enc(self) -> Any:
        """The tiktoken Encoding."""
        return self._encoding

    def get_vocab_size(self) -> int:
        return int(self._encoding.n_vocab)

    def get_bos_token_id(self) -> int:
        return self._bos_token_id

    def encode(
        self, text: str | list[str], prepend: int | str | None = None, num_threads: int = 8
    ) -> list[int] | list[list[int]]:
        """Turn text into tokens; special tokens written out in the text are ordinary text.

        `prepend` (a token id, or a special token's name) is put before each text.
        """
        head = [] if prepend is None else [prepend if isinstance(prepend, int) else self._special_tokens[prepend]]
        if isinstance(text, str):
            return head + self._encoding.encode_ordinary(text)
        return [head + ids for ids in self._encoding.encode_ordinary_batch(text, num_threads=num_threads)]

    def decode(self, ids: Iterable[int]) -> str:
        """Turn tokens into text; bytes that are no UTF-8 become U+FFFD."""
        return str(self._encoding.decode(list(ids)))

    def token_bytes(self) -> np.ndarray:
        """Return the number of raw bytes of every token, (vocab_size,) uint16, with 0 for special tokens."""
        lengths = np.zeros(self.get_vocab_size(), dtype="<u2")
        for token, rank in self._ranks.items():
            lengths[rank] = len(token)
        return lengths


def _train_tokenizer(texts: Iterator[str]) -> dict[str, Any]:
    """Return what tokenizer.json holds, learnt from a bounded amount of text.

    Raises:
        UserError: the text has fewer distinct pieces than the vocabulary needs.
    """
    import rustbpe

    trainer = rustbpe.Tokenizer()
    merges = VOCAB_SIZE - len(SPECIAL_TOKENS)
    trainer.train_from_iterator(_bounded(texts), merges, pattern=SPLIT_PATTERN)
    ranks = sorted(trainer.get_mergeable_ranks(), key=lambda item: item[1])
    if len(ranks) < merges:
        raise UserError(
            f"too little text: it yields a vocabulary of {len(ranks):,} tokens, but profile {PROFILE} has {VOCAB_SIZE:,}."
        )
    return {
        "version": 1,
        "pattern": SPLIT_PATTERN,
        "special_tokens": {name: merges + i for i, name in enumerate(SPECIAL_TOKENS)},
        "bos_token": BOS_TOKEN,
        "mergeable_ranks": [base64.b64encode(bytes(token)).decode("ascii") for token, _ in ranks],
    }


def _bounded(texts: Iterator[str]) -> Iterator[str]:
    characters = 0
    for text in texts:
        yield text[:TOKENIZER_DOCUMENT_CHARACTERS]
        characters += min(len(text), TOKENIZER_DOCUMENT_CHARACTERS)
        if characters >= TOKENIZER_CHARACTERS:
            return


# ---------------------------------------------------------------------------------------------------------------------
# Packing: rows of T + 1 tokens without padding. Of a buffer of 1,000 documents, refilled 128 at a time, the longest that
# fits goes next (the earliest of equals); if none fits, the shortest (again the earliest) is cropped to fill the row.

_ORDER_BITS = 40
_LATEST = (1 << _ORDER_BITS) - 1


class Packer:
    """Fills rows from a stream of documents (1-d token arrays, none empty).

    The buffer is a sorted list of integers, length above and (inverted) order of arrival below, so that both choices
    are a binary search and not a walk through the buffer.
    """

    def __init__(self, documents: Iterator[np.ndarray]) -> None:
        self._stream, self._arrived = documents, 0
        self._keys: list[int] = []
        self._documents: dict[int, np.ndarray] = {}
        self.placed = 0  # documents that are in rows

    def fill(self, row: np.ndarray) -> bool:
        """Fill a row; False, with the row to be thrown away, when the stream has ended and nothing is left."""
        position, capacity = 0, len(row)
        keys, documents = self._keys, self._documents
        while position < capacity:
            if len(keys) < PACKING_BUFFER:
                self._refill()
                if not keys:
                    return False
            room = capacity - position
            chosen = bisect_right(keys, room << _ORDER_BITS | _LATEST) - 1
            if chosen < 0:
                chosen = bisect_right(keys, keys[0] | _LATEST) - 1
            document = documents.pop(keys.pop(chosen))[:room]
            end = position + len(document)
            row[position:end] = document
            position = end
            self.placed += 1
        return True

    def _refill(self) -> None:
        while len(self._keys) < PACKING_BUFFER:
            batch = list(itertools.islice(self._stream, PACKING_REFILL))
            if not batch:
                return
            for document in batch:
                key = len(document) << _ORDER_BITS | (_LATEST - self._arrived)
                self._arrived += 1
                self._documents[key] = document
                insort(self._keys, key)


class TrainDocuments:
    """The training documents, endlessly, in the order of the shards, out of memory maps."""

    def __init__(self, directory: Path) -> None:
        self._directory, self.epoch = directory, 0
        self._shards = json.loads((directory / "index.json").read_text("utf-8"))["shards"]

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            self.epoch += 1
            for shard in self._shards:
                yield from self._shard(shard)

    def _shard(self, shard: dict[str, Any]) -> Iterator[np.ndarray]:
        # A plain array over the map: slicing np.memmap itself costs microseconds a slice.
        tokens = np.asarray(np.memmap(self._directory / shard["tokens"], dtype="<u2", mode="r")).view(np.ndarray)
        starts = np.fromfile(self._directory / shard["documents"], dtype="<u8").tolist()
        for start, end in itertools.pairwise([*starts, len(tokens)]):
            yield tokens[start:end]
