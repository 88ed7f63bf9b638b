"""The experiments as a file that DuckDB, pandas or a spreadsheet reads: one row each, typed, in bounded memory."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

from daemon.columns import COLUMNS, Kind, Row, rows
from daemon.files import writing_atomically
from daemon.lab import Lab
from daemon.model import UserError
from daemon.results import text_cell

Format = Literal["parquet", "csv", "jsonl"]
BATCH = 500  # rows


def export(lab: Lab, form: Format, to: Path | None = None, *, force: bool = False) -> tuple[Path, int]:
    """Write every experiment to a file (``experiments.<form>`` in the lab by default); returns it and its rows.

    The file appears whole or not at all.

    Raises:
        UserError: there is nothing to export, the format is unknown, or the file exists and ``force`` is not set.
        OSError: the folder cannot be written.
    """
    if form not in get_args(Format):
        raise UserError(f"there is no format {form!r}; there are {', '.join(get_args(Format))}")
    destination = to if to is not None else lab.directory / f"experiments.{form}"
    _check(destination, force=force)
    with lab.ledger() as ledger:
        if not ledger.count():
            raise UserError("no experiments yet; start some with `autoresearch run --experiments 5`")
        with writing_atomically(destination) as file:
            written = _WRITERS[form](file, _batches(rows(ledger)))
            _check(destination, force=force)  # somebody else may have written it meanwhile
    return destination, written


def _check(destination: Path, *, force: bool) -> None:
    if destination.is_dir():
        raise UserError(f"{destination} is a folder; name a file")
    if not destination.parent.is_dir():
        raise UserError(f"there is no folder {destination.parent}")
    if os.path.lexists(destination) and not force:
        raise UserError(f"{destination} exists; --force replaces it")


def _batches(every: Iterable[Row]) -> Iterator[Sequence[Row]]:
    waiting = iter(every)
    while batch := list(islice(waiting, BATCH)):
        yield batch


def _parquet(file: BinaryIO, batches: Iterable[Sequence[Row]]) -> int:
    import pyarrow as pa  # a third of a second, which the other verbs save
    import pyarrow.parquet as pq

    types = {"integer": pa.int64(), "number": pa.float64(), "time": pa.timestamp("ms", tz="UTC"), "text": pa.string()}
    schema = pa.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    written = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
            written += len(batch)
    return written


def _csv(file: BinaryIO, batches: Iterable[Sequence[Row]]) -> int:
    return _lines(file, batches, ",".join(COLUMNS) + "\r\n", _csv_line)


def _jsonl(file: BinaryIO, batches: Iterable[Sequence[Row]]) -> int:
    return _lines(file, batches, "", _json_line)


def _lines(file: BinaryIO, batches: Iterable[Sequence[Row]], header: str, line: Callable[[Row], str]) -> int:
    file.write(header.encode())
    written = 0
    for batch in batches:
        file.write("".join(map(line, batch)).encode())
        written += len(batch)
    return written


def _csv_line(row: Row) -> str:
    text = io.StringIO()
    csv.writer(text).writerow([_csv_cell(row[name], kind) for name, kind in COLUMNS.items()])
    return text.getvalue()


def _csv_cell(value: Any, kind: Kind) -> Any:
    """A number as it is; a text so that no spreadsheet takes it for a formula."""
    if isinstance(value, datetime):
        return _iso(value)
    return text_cell(value) if kind == "text" and value is not None else value


def _json_line(row: Row) -> str:
    return json.dumps(row, default=_iso, ensure_ascii=False, allow_nan=False) + "\n"


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


_WRITERS: dict[str, Callable[[BinaryIO, Iterable[Sequence[Row]]], int]] = {
    "parquet": _parquet,
    "csv": _csv,
    "jsonl": _jsonl,
}
