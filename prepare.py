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
from collections.abc import Iterable, Iterator
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

TEXT_SUFFIXES = (".parquet", ".txt", ".md")
TEXT_DOCUMENT_CHARACTERS = 16_384
MAX_EVALUATION_SHARE = 0.12  # of a folder's documents, for each of val and holdout
MIN_TRAINING_SHARE = 0.5  # of a folder's documents; as many as the others may have been a holdout
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
DOWNLOAD_CHUNK_BYTES = 2**16  # the most that a broken connection loses

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
    evaluation shards, which no other split may contain. `holdout` counts the holdouts used up before this one.
    """

    name: str
    licence: str
    spans: dict[str, list[Span]]
    evaluation_share: float = 0.0
    owners: dict[int, str] = field(default_factory=dict)
    holdout: int = 0

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
    share = source.evaluation_share
    if position < share:
        return split == "val"
    begins = (1 + source.holdout) * share
    return split == ("holdout" if begins <= position < begins + share else "train")


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
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # damaged pages are an OSError to pyarrow
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


def folder_source(
    folder: Path, *, column: str, name: str, licence: str, suffixes: tuple[str, ...] = TEXT_SUFFIXES, holdout: int = 0
) -> Source:
    """Return a folder's text as a source, with its documents split by hash.

    Raises:
        UserError: no folder, nothing to read in it, a file that cannot be used, or no such holdout.
    """
    if not folder.is_dir():
        raise UserError(f"the folder {folder} does not exist.")
    paths = sorted(path for path in folder.rglob("*") if path.suffix in suffixes and path.is_file())
    if not paths:
        raise UserError(f"the folder {folder} holds no {', '.join(suffixes)} file.")
    spans = [span for path in paths for span in _spans(path, column)]
    total_bytes = sum(span.text_bytes for span in spans)
    # Twice what the evaluation needs at 5 bytes a token (packing crops), but never more than the share.
    share = min(MAX_EVALUATION_SHARE, 2 * 5 * EVAL_TOKENS / max(total_bytes, 1))
    most = int((1 - MIN_TRAINING_SHARE) / share) - 2
    if not 0 <= holdout <= most:
        raise UserError(f"--holdout must be between 0 and {most} for this text, not {holdout}.")
    return Source(
        name=name, licence=licence, spans=dict.fromkeys(SPLITS, spans), evaluation_share=share, holdout=holdout
    )


def sample_source(holdout: int = 0) -> Source:
    """Return the text that comes with the project.

    Raises:
        UserError: the sample is not where it should be, or it has no such holdout.
    """
    folder = Path(os.environ.get("AUTORESEARCH_SAMPLE_DIR") or Path(__file__).resolve().parent / "data" / "sample")
    if not any(folder.glob("*.parquet")):
        raise UserError(f"the sample text is not in {folder}; set AUTORESEARCH_SAMPLE_DIR to the folder that has it.")
    licence = "public domain: King James Version (1769), from Debian's bible-kjv-text; Crown prerogative in the UK"
    name = "sample: King James Version"
    return folder_source(
        folder, column="text", name=name, licence=licence, suffixes=(".parquet",), holdout=holdout
    )  # not its licence note


def climbmix_source(shards: int, holdout: int = 0) -> Source:
    """Download training shards 0 … shards-1 and the two evaluation shards, and return them as a source.

    Raises:
        UserError: a number of shards that the data set has not, or a download that failed for good.
    """
    if not 1 <= shards <= CLIMBMIX_HOLDOUT:
        raise UserError(f"--shards must be between 1 and {CLIMBMIX_HOLDOUT}, not {shards}.")
    if not 0 <= holdout <= CLIMBMIX_HOLDOUT - shards:
        raise UserError(f"--holdout must be between 0 and {CLIMBMIX_HOLDOUT - shards} here, not {holdout}.")
    default = Path.home() / ".cache" / "autoresearch" / "climbmix"
    folder = Path(os.environ.get("AUTORESEARCH_DOWNLOADS") or default).expanduser()
    numbers = {"val": [CLIMBMIX_VAL], "holdout": [CLIMBMIX_HOLDOUT - holdout], "train": list(range(shards))}
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


class _AgainError(Exception):
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
    for failure in sorted((f for f in failures if f), key=lambda f: isinstance(f, _AgainError)):
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
        except _AgainError as again:
            reason, seconds = _first_line(again), again.after_seconds
        if seconds is None:
            spread = random.uniform(0.5, 1.0)  # noqa: S311 - spreads the tries of many clients; guards no secret
            seconds = min(BACKOFF_SECONDS * 2**attempt, BACKOFF_MAX_SECONDS) * spread
        if attempt + 1 < DOWNLOAD_TRIES and stop.wait(seconds):
            raise _AgainError("stopped")
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
        raise _AgainError(_first_line(error)) from error
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
        raise _AgainError(f"the server answered {code}", _retry_after_seconds(reply.headers.get("Retry-After", "")))
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
    with session.get(
        url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
    ) as reply:
        if reply.status_code == 416:
            part.unlink(missing_ok=True)
        _check_status(reply)
        offset = _checked_offset(reply, offset, expected)
        sent_etag = reply.headers.get("ETag", "")
        note = {
            "etag": "" if sent_etag.startswith("W/") else sent_etag,
            "expected": [expected.size_bytes, expected.sha256],
        }
        _note(part).write_text(json.dumps(note), "utf-8")
        with part.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            for chunk in reply.iter_content(DOWNLOAD_CHUNK_BYTES):
                if stop.is_set():
                    raise _AgainError("stopped")
                file.write(chunk)
                progress.add(len(chunk))


def _checked_offset(reply: Any, offset: int, expected: Expected) -> int:
    """Return where the body begins: 0 if the server sends the whole file, else the offset asked for."""
    if reply.status_code != 206:
        return 0
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", reply.headers.get("Content-Range", ""))
    total = match[2] if match else ""
    if not match or int(match[1]) != offset or total not in ("*", str(expected.size_bytes or total)):
        raise _AgainError("the server continued at the wrong place")
    return offset


def _check_download(part: Path, expected: Expected) -> None:
    """Raise _AgainError, and drop what is there, unless the part is the whole and right file."""
    size_bytes = part.stat().st_size
    if expected.size_bytes is not None and size_bytes < expected.size_bytes:
        raise _AgainError(f"{size_bytes:,} of {expected.size_bytes:,} bytes arrived")  # kept: the next try continues
    wrong = "too many bytes arrived" if size_bytes > (expected.size_bytes or size_bytes) else ""
    if not wrong and expected.sha256 and _sha256(part) != expected.sha256:
        wrong = "what arrived has the wrong sha256"
    if not wrong and not _is_parquet(part):
        wrong = "what arrived is not a parquet file"
    if wrong:
        part.unlink()
        _note(part).unlink(missing_ok=True)
        raise _AgainError(wrong)


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
            f"too little text: {len(ranks):,} tokens can be learnt from it, but profile {PROFILE} has {VOCAB_SIZE:,}."
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
# Packing: rows of T + 1 tokens without padding. Of a buffer of 1,000 documents, refilled 128 at a time, the longest
# that fits goes next (the earliest of equals); if none fits, the shortest (again the earliest) is cropped to fill.

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


# ---------------------------------------------------------------------------------------------------------------------
# Tokenising


def prepare(source: Source, directory: Path) -> bool:
    """Bring `directory` to hold this source's data; False if it already did.

    Everything is written into a folder inside the directory and moved to its place at the end, the manifest last: what
    a killed run leaves has no manifest, and is swept away by the next.

    Raises:
        UserError: the directory or the source cannot be used.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        inputs = _inputs(source)
        if _is_prepared(directory, inputs):
            return False
        _need_space(directory, source)
        staging = directory / ".preparing"
        shutil.rmtree(staging, ignore_errors=True)
        try:
            manifest = _build(source, staging)
            _write_json(staging / "inputs.json", inputs)
            _write_json(staging / "manifest.json", manifest)
            _commit(staging, directory)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return True


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the directory against a second preparation, after a look at what is in it.

    Raises:
        UserError: it is in use, holds another profile's data, or folders that are not ours.
    """
    lock, manifest = directory / ".autoresearch-lock", _read_manifest(directory)
    if manifest is not None and manifest.get("profile") != PROFILE:
        raise UserError(_wrong_profile(directory, manifest))
    ours = manifest is not None or lock.exists()
    if not ours and any((directory / name).exists() for name in ("common", *SPLITS)):
        raise UserError(f"{directory} holds folders that were not made by prepare.py; choose another --data.")
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another preparation is at work in {directory}; wait for it to end.") from None
        yield


def _wrong_profile(directory: Path, manifest: dict[str, Any]) -> str:
    theirs = manifest.get("profile")
    return (
        f"{directory} holds data prepared for profile {theirs}, and this is profile {PROFILE}; "
        f"set AUTORESEARCH_PROFILE={theirs} or use another data directory."
    )


def _inputs(source: Source) -> dict[str, Any]:
    """What the prepared files depend on; compared with what an earlier run wrote down."""
    paths = list(dict.fromkeys(span.path for split in SPLITS for span in source.spans[split]))
    small = sum(path.stat().st_size for path in paths) <= HASH_INPUTS_UP_TO_BYTES
    files = [[path.name, _sha256(path) if small else [path.stat().st_size, path.stat().st_mtime_ns]] for path in paths]
    column = source.spans["train"][0].column
    constants = [PROFILE, MAX_SEQ_LEN, VOCAB_SIZE, EVAL_TOKENS, MAX_DOCUMENT_TOKENS, TOKENIZER_CHARACTERS]
    described = [source.name, source.licence, column, *([source.holdout] if source.holdout else [])]
    return {"data_version": DATA_VERSION, "constants": constants, "source": described, "files": files}


def _is_prepared(directory: Path, inputs: dict[str, Any]) -> bool:
    try:
        stored = json.loads((directory / "inputs.json").read_text("utf-8"))
        files = (_read_manifest(directory) or {})["files"]
        whole = all((directory / name).stat().st_size == entry["size_bytes"] for name, entry in files.items())
    except (OSError, ValueError, KeyError):
        return False
    return whole and stored == inputs


def _need_space(directory: Path, source: Source) -> None:
    # A token takes 2 bytes and stands for 2 bytes of text at the least, in any language seen so far.
    need_bytes = source.text_bytes() + 2 * 2 * 2 * EVAL_TOKENS + 2**24
    free_bytes = shutil.disk_usage(directory).free
    if free_bytes < need_bytes:
        raise UserError(
            f"{directory} has {free_bytes / 1e9:.1f} GB free, and the prepared data may need {need_bytes / 1e9:.1f} GB."
        )


def _build(source: Source, staging: Path) -> dict[str, Any]:
    """Write all data files under `staging`; return the manifest."""
    for name in ("common", *SPLITS):
        (staging / name).mkdir(parents=True)
    if not source.evaluation_share:
        source = _with_owners(source)
    started = time.monotonic()
    _write_json(staging / "common" / "tokenizer.json", _train_tokenizer(_documents(source, "train")))
    tokenizer = Tokenizer.from_directory(staging / "common")
    _write_bytes(staging / "common" / "token_bytes.bin", tokenizer.token_bytes())
    print(f"tokenizer: {VOCAB_SIZE:,} tokens, learnt in {time.monotonic() - started:.1f} s", flush=True)
    splits = {split: _write_rows(source, split, tokenizer, staging / split) for split in ("val", "holdout")}
    splits["train"] = _write_train(source, tokenizer, staging)
    return {
        "version": 1,
        "profile": PROFILE,
        "source": source.name,
        "licence": source.licence,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_seq_len": MAX_SEQ_LEN,
        "bos_token_id": tokenizer.get_bos_token_id(),
        "splits": splits,
        "files": _describe_files(staging),
    }


def _token_documents(texts: Iterable[str], tokenizer: Tokenizer) -> Iterator[np.ndarray]:
    """Yield each text as uint16 tokens behind a BOS; where the profile limits documents, as several such pieces."""
    bos = np.array([tokenizer.get_bos_token_id()], dtype="<u2")
    for text in texts:
        ids = np.array(tokenizer.encode(text), dtype="<u2")
        step = MAX_DOCUMENT_TOKENS or max(len(ids), 1)
        for start in range(0, len(ids), step):
            yield np.concatenate((bos, ids[start : start + step]))


def _write_rows(source: Source, split: str, tokenizer: Tokenizer, directory: Path) -> dict[str, int]:
    """Pack and write a split's evaluation rows; return its counts."""
    packer = Packer(_token_documents(_documents(source, split), tokenizer))
    rows = np.empty((EVAL_TOKENS // MAX_SEQ_LEN, MAX_SEQ_LEN + 1), dtype="<u2")
    count = placed = 0
    while count < len(rows) and packer.fill(rows[count]):
        count, placed = count + 1, packer.placed
    if count < MIN_EVALUATION_ROWS:
        raise UserError(
            f"too little text: split {split} fills {count} rows of {MAX_SEQ_LEN} tokens, but must fill "
            f"{MIN_EVALUATION_ROWS} (profile {PROFILE})."
        )
    _write_bytes(directory / "rows.bin", rows[:count])
    targets = rows[:count, 1:]
    size_bytes = int(tokenizer.token_bytes()[targets].sum(dtype=np.int64))
    print(f"{split}: {count:,} rows of {MAX_SEQ_LEN:,} tokens from {placed:,} documents", flush=True)
    return {"documents": placed, "rows": count, "tokens": int(targets.size), "bytes": size_bytes}


def _write_train(source: Source, tokenizer: Tokenizer, staging: Path) -> dict[str, int]:
    """Write the training shards, in as many processes as there are cores, and their index; return the counts."""
    groups = _shard_groups(source.spans["train"])
    workers = min(len(groups), len(os.sched_getaffinity(0)))
    shards: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        if workers > 1:
            pool = ProcessPoolExecutor(workers, get_context("spawn"), _set_up_worker, (source, staging))
            results = stack.enter_context(pool).map(_write_shard_in_worker, enumerate(groups))
        else:
            results = (_write_shard(source, tokenizer, staging, task) for task in enumerate(groups))
        for shard in results:
            shards.append(shard)
            tokens = sum(entry["token_count"] for entry in shards)
            print(f"train: shard {len(shards)} of {len(groups)}, {tokens / 1e6:,.1f} M tokens", flush=True)
    counts = {key: sum(shard.pop(key) for shard in shards) for key in ("bytes",)}
    shards = [shard for shard in shards if shard["document_count"]]
    if not shards:
        raise UserError("too little text: the training split is empty.")
    _write_json(staging / "train" / "index.json", {"version": 1, "shards": shards})
    documents = sum(shard["document_count"] for shard in shards)
    return counts | {"documents": documents, "tokens": sum(shard["token_count"] for shard in shards)}


def _shard_groups(spans: list[Span]) -> list[list[Span]]:
    groups: list[list[Span]] = [[]]
    size_bytes = 0
    for span in spans:
        if groups[-1] and size_bytes + span.text_bytes > SHARD_TEXT_BYTES:
            groups.append([])
            size_bytes = 0
        groups[-1].append(span)
        size_bytes += span.text_bytes
    return groups


_worker: dict[str, Any] = {}  # a worker process's source, tokenizer and directory, sent once and not with every shard


def _set_up_worker(source: Source, staging: Path) -> None:
    tokenizer = Tokenizer.from_directory(staging / "common")
    _worker.update(source=source, staging=staging, tokenizer=tokenizer)


def _write_shard_in_worker(task: tuple[int, list[Span]]) -> dict[str, Any]:
    return _write_shard(_worker["source"], _worker["tokenizer"], _worker["staging"], task)


def _write_shard(source: Source, tokenizer: Tokenizer, staging: Path, task: tuple[int, list[Span]]) -> dict[str, Any]:
    """Tokenise some spans into one shard; return its entry in the index, with the bytes of its text."""
    number, spans = task
    path = staging / "train" / f"train_{number:05d}.bin"
    lengths, starts, position, size_bytes = tokenizer.token_bytes(), array("Q"), 0, 0
    with path.open("wb") as file:
        for document in _token_documents(_documents(source, "train", spans), tokenizer):
            starts.append(position)
            position += len(document)
            size_bytes += int(lengths[document].sum(dtype=np.int64))
            file.write(document.tobytes())
        _flush(file)
    _write_bytes(path.with_suffix(".idx"), np.array(starts, dtype="<u8"))
    if not starts:
        path.unlink()
        path.with_suffix(".idx").unlink()
    names = {"tokens": path.name, "documents": path.with_suffix(".idx").name}
    return names | {"document_count": len(starts), "token_count": position, "bytes": size_bytes}


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _write_bytes(path: Path, content: np.ndarray) -> None:
    with path.open("wb") as file:
        file.write(content.tobytes())
        _flush(file)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.write("\n")
        _flush(file)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _describe_files(staging: Path) -> dict[str, dict[str, Any]]:
    """Return name -> sha256 and size; make all readable to the containers' users, whatever the umask."""
    described = {}
    for path in sorted(staging.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
        if path.is_file():
            name = path.relative_to(staging).as_posix()
            described[name] = {"sha256": _sha256(path), "size_bytes": path.stat().st_size}
    return described


def _commit(staging: Path, directory: Path) -> None:
    """Move the new files to their places; without a manifest from the first move to the last."""
    (directory / "manifest.json").unlink(missing_ok=True)
    old = staging / "old"
    old.mkdir()
    for name in ("common", *SPLITS):
        with contextlib.suppress(FileNotFoundError):
            (directory / name).rename(old / name)
        (staging / name).rename(directory / name)
    for name in ("inputs.json", "manifest.json"):
        (staging / name).chmod(0o644)
        (staging / name).replace(directory / name)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def verify(directory: Path) -> list[str]:
    """Hash every file of the prepared data again; return a line for each that is missing or changed.

    Raises:
        UserError: there is no prepared data.
    """
    manifest = _read_manifest(directory)
    if manifest is None:
        raise UserError(f"there is no prepared data in {directory}; run `python prepare.py --sample` first.")
    wrong = []
    for name, entry in manifest["files"].items():
        path = directory / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif path.stat().st_size != entry["size_bytes"] or _sha256(path) != entry["sha256"]:
            wrong.append(f"{name} has changed")
    return wrong


# ---------------------------------------------------------------------------------------------------------------------
# Runtime utilities, for train.py


@dataclass(slots=True)
class _Clock:
    """When the training tokens were released (monotonic seconds), and what was granted from then on."""

    released_at: float | None = None
    budget_seconds: float = TIME_BUDGET
    write_seconds: float = 0.0  # that writing the sealed weights took


_clock = _Clock()


def time_left() -> float:
    """Seconds left for training. Before the first training batch, the nominal budget.

    In the sandbox, what sealing and leaving need is taken off: there, the host kills at the end of the budget.
    """
    if _clock.released_at is None:
        return _clock.budget_seconds
    reserve_seconds = RESERVE_SECONDS + 2 * _clock.write_seconds if _in_sandbox() else 0.0
    return _clock.budget_seconds - (time.monotonic() - _clock.released_at) - reserve_seconds


def make_dataloader(
    tokenizer: Tokenizer,
    B: int,  # noqa: N803 - the names people know
    T: int,  # noqa: N803
    split: str,
    device: Any = None,
) -> Iterator[tuple[Any, Any, int]]:
    """Yield (inputs, targets, epoch) without end; inputs and targets are (B, T) int64 tensors.

    `split` is "train" (best-fit packed on the fly, any T) or "val" (the frozen evaluation rows, T = MAX_SEQ_LEN, by
    hand only). `device` defaults to CUDA where torch has it. The first training batch waits for the data in the
    sandbox, and starts the clock of time_left().

    Raises:
        ValueError: no such split, or sizes that make no rows.
    """
    if split not in ("train", "val"):
        raise ValueError(f"split must be 'train' or 'val', not {split!r}")
    if B < 1 or T < 1 or (split == "val" and T != MAX_SEQ_LEN):
        raise ValueError(f"B={B}, T={T} make no rows; evaluation rows have T={MAX_SEQ_LEN}")
    if tokenizer.get_vocab_size() != VOCAB_SIZE:
        _stop(f"the tokenizer has {tokenizer.get_vocab_size()} tokens, but profile {PROFILE} has {VOCAB_SIZE}.")
    batches = _train_batches(B, T) if split == "train" else _evaluation_batches(B)
    return _to_device(batches, B, T, device)


def _require_prepared(directory: Path) -> None:
    """By hand, stop with a sentence unless the directory holds whole data of this profile."""
    if _in_sandbox():
        return  # the container has the training split alone, and no manifest
    manifest = _read_manifest(directory)
    if manifest is None:
        _stop(f"there is no prepared data in {directory}; run `python prepare.py --sample` first.")
    if manifest.get("profile") != PROFILE:
        _stop(_wrong_profile(directory, manifest))


def _train_batches(batch_size: int, seq_len: int) -> Iterator[tuple[np.ndarray, int]]:
    _wait_for_release(data_directory() / "train")
    documents = TrainDocuments(data_directory() / "train")
    packer = Packer(iter(documents))
    rows = np.empty((batch_size, seq_len + 1), dtype="<u2")
    while True:
        for row in rows:
            packer.fill(row)
        yield rows, documents.epoch


def _evaluation_batches(batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
    rows = evaluation_rows()
    for batch in itertools.count():
        numbers = np.arange(batch * batch_size, (batch + 1) * batch_size)
        yield rows[numbers % len(rows)], 1 + int(numbers[-1]) // len(rows)


def evaluation_rows() -> np.ndarray:
    """Return the validation rows, (rows, MAX_SEQ_LEN + 1) uint16, memory-mapped. By hand only."""
    _require_prepared(data_directory())
    path = data_directory() / "val" / "rows.bin"
    if not path.is_file():
        _stop("the validation rows are not here: in the sandbox only the referee has them.")
    return np.memmap(path, dtype="<u2", mode="r").reshape(-1, MAX_SEQ_LEN + 1).view(np.ndarray)


def _wait_for_release(directory: Path) -> None:
    """Return when the training tokens are there, and start the clock, the first time."""
    index = directory / "index.json"
    if not index.exists() and not _in_sandbox():
        _stop(f"there are no training tokens in {directory}; run `python prepare.py --sample` first.")
    _require_prepared(directory.parent)
    if not index.exists():
        # One write, with a line end before it: a progress line may stand there unfinished.
        sys.stdout.write(f"\n{READY_MARKER}\n")
        sys.stdout.flush()
        while not index.exists():
            time.sleep(RELEASE_POLL_SECONDS)
    if _clock.released_at is None:
        _clock.released_at = time.monotonic()
        _clock.budget_seconds = _granted_seconds(directory / "budget.json")


def _granted_seconds(path: Path) -> float:
    """What the host grants this run, or the nominal budget where it grants nothing."""
    try:
        return float(json.loads(path.read_text("utf-8"))["train_seconds"])
    except FileNotFoundError:
        return TIME_BUDGET


def _to_device(
    batches: Iterator[tuple[np.ndarray, int]], batch_size: int, seq_len: int, device: Any
) -> Iterator[tuple[Any, Any, int]]:
    """Turn rows into tensors; on CUDA through two pinned buffers, so that copies run beside the computation."""
    import torch

    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    cuda = device.type == "cuda"
    slots = [torch.empty((2, batch_size, seq_len), dtype=torch.int64, pin_memory=cuda) for _ in range(2 if cuda else 0)]
    copied = [torch.cuda.Event() for _ in slots]
    for number, (rows, epoch) in enumerate(batches):
        if cuda:
            copied[number % 2].synchronize()  # the copy out of this buffer, two batches ago, must be over
        pair = slots[number % 2] if cuda else torch.empty((2, batch_size, seq_len), dtype=torch.int64)
        pair.numpy()[0], pair.numpy()[1] = rows[:, :-1], rows[:, 1:]
        pair = pair.to(device, non_blocking=True)
        if cuda:
            copied[number % 2].record()
        yield pair[0], pair[1], epoch


# ---------------------------------------------------------------------------------------------------------------------
# Evaluation: by hand a number, in the sandbox a sealed model for the referee


class SealError(Exception):
    """The model cannot be sealed; the message says why."""


_captured: list[Any] = []  # the last capture, if any


def preseal(model: Any, batch_size: int | None = None) -> None:
    """Capture the model's graph before the clock starts, so that evaluate_bpb only has to write weights.

    Call it before asking for training data, with the model object that evaluate_bpb will get. By hand it does nothing.

    Raises:
        SealError: the model cannot be sealed.
    """
    if not _in_sandbox():
        return
    directory = Path(os.environ["AUTORESEARCH_OUT"]) / "rehearsal"
    directory.mkdir(exist_ok=True)
    try:
        _seal(model, batch_size or EVAL_BATCH_SIZE, directory)
        started = time.monotonic()
        _seal(model, batch_size or EVAL_BATCH_SIZE, directory)  # captured now: this is what the end will take
        _clock.write_seconds = time.monotonic() - started
    finally:
        shutil.rmtree(directory)


def evaluate_bpb(model: Any, tokenizer: Tokenizer, batch_size: int | None = None) -> float:
    """Return the model's validation bits per byte; in the sandbox seal it for the referee instead, and return nan.

    `model(tokens)` takes int64 (B, MAX_SEQ_LEN) and returns logits (B, MAX_SEQ_LEN, vocab_size).

    Raises:
        SealError: in the sandbox, the model cannot be sealed.
    """
    batch_size = batch_size or EVAL_BATCH_SIZE
    if not _in_sandbox():
        return _measure_bpb(model, tokenizer, batch_size)
    _seal(model, batch_size, Path(os.environ["AUTORESEARCH_OUT"]))
    print("sealed", flush=True)
    return math.nan


def _guest() -> Any:
    try:
        from autoresearch_guest import sealed
    except ImportError as error:
        raise SealError("AUTORESEARCH_OUT is set, but the package autoresearch_guest is not installed.") from error
    return sealed


def _seal(model: Any, batch_size: int, directory: Path) -> None:
    """Write the sealed model; its graph is captured only if the last capture does not describe the model any more."""
    sealed = _guest()
    try:
        if not (_captured and sealed.is_current(_captured[0], model, batch_size)):
            _captured[:] = [sealed.capture(model, batch_size=batch_size, seq_len=MAX_SEQ_LEN, vocab_size=VOCAB_SIZE)]
        sealed.write(_captured[0], directory)
    except sealed.SealError as error:
        raise SealError(str(error)) from error


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _measure_bpb(model: Any, tokenizer: Tokenizer, batch_size: int) -> float:
    """Nats of the targets that stand for text, over ln 2 times the bytes of that text."""
    import torch

    rows = evaluation_rows()
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    lengths = torch.from_numpy(tokenizer.token_bytes().astype(np.int64)).to(device)
    nats, size_bytes = 0.0, 0
    with _evaluating(model), torch.no_grad():
        for start in range(0, len(rows), batch_size):
            tokens = torch.from_numpy(rows[start : start + batch_size].astype(np.int64)).to(device)
            sizes = lengths[tokens[:, 1:]]
            nats += float((_nats(model(tokens[:, :-1]), tokens[:, 1:]) * (sizes > 0)).sum(dtype=torch.float64))
            size_bytes += int(sizes.sum())
    return nats / (math.log(2) * size_bytes)


def _nats(logits: Any, targets: Any) -> Any:
    """Return -log p(target), (B, T), in float32 or better; a row of the batch at a time, to spare memory."""
    import torch

    results = []
    for row, target in zip(logits, targets, strict=True):
        scores = row.to(torch.promote_types(row.dtype, torch.float32))
        scores = scores - scores.amax(dim=-1, keepdim=True)
        results.append(scores.exp().sum(dim=-1).log() - scores.gather(-1, target[:, None]).squeeze(-1))
    return torch.stack(results)


# ---------------------------------------------------------------------------------------------------------------------
# Command line


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=f"Prepare data and tokenizer (profile {PROFILE}).")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--sample", action="store_true", help="the small public-domain text of the project; no internet")
    kind.add_argument("--source", type=Path, metavar="DIR", help="a folder of .parquet, .txt and .md files")
    kind.add_argument("--shards", type=int, metavar="N", default=DEFAULT_SHARDS, help="training shards of climbmix")
    kind.add_argument("--verify", action="store_true", help="hash all prepared files again")
    parser.add_argument(
        "--holdout", type=int, metavar="N", default=0, help="another holdout, when N of them have been looked at enough"
    )
    parser.add_argument("--column", default="text", metavar="NAME", help="the parquet column of --source to read")
    parser.add_argument(
        "--licence", default="not stated", metavar="TEXT", help="the licence of --source, for the manifest"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="where prepared data goes (default: %(default)s)")
    parser.set_defaults(data=data_directory())
    return parser.parse_args(arguments)


def _source(options: argparse.Namespace) -> Source:
    if options.sample:
        return sample_source(options.holdout)
    if options.source:
        name = f"folder {options.source.resolve().name}"
        return folder_source(
            options.source, column=options.column, name=name, licence=options.licence, holdout=options.holdout
        )
    return climbmix_source(options.shards, options.holdout)


def _run(options: argparse.Namespace) -> int:
    directory = options.data.expanduser().resolve()
    if options.verify:
        wrong = verify(directory)
        print("\n".join(wrong) or f"{directory}: every file is as the manifest says")
        return 1 if wrong else 0
    fresh = prepare(_source(options), directory)
    splits = (_read_manifest(directory) or {})["splits"]
    did = "ready" if fresh else "already prepared from the same text, nothing to do"
    counts = f"{splits['train']['tokens']:,} training tokens, {splits['val']['rows']:,} validation rows"
    print(f"{did}: {directory} (profile {PROFILE}; {counts})")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 done, 1 damaged data (--verify), 2 something for the operator to change."""
    try:
        return _run(_arguments(arguments))
    except UserError as error:
        sentence = str(error)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        sentence = f"no space left on the disk while writing {error.filename or 'data'}." if full else f"{error}."
    except KeyboardInterrupt:
        print("\nprepare.py: stopped; run it again to go on.", file=sys.stderr)
        return 130
    print(f"prepare.py: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
