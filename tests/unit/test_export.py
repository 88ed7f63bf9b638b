"""The experiments as a table: typed, whole, in order, and harmless to whatever opens it."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from nights import NIGHT, Night, a_lab, a_night, arena_of
from specs import REPOSITORY

from daemon import columns
from daemon import export as exporting
from daemon.columns import COLUMNS
from daemon.export import export
from daemon.lab import Lab
from daemon.model import Decision, UserError

FORMATS = ("parquet", "csv", "jsonl")
FORMULAS = ("=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", "\r\n=1", '"=1', "a,=1")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lab = a_night(tmp_path_factory.mktemp("night") / "lab")
    with lab.ledger() as ledger:
        night = Night(lab, ledger, arena_of(lab), champion=6)
        night.add(Decision.KEEP, 1.7, runs=3, hypothesis='über, "quoted"\nand\x1b[31m red')
        for formula in FORMULAS:
            night.add(Decision.DISCARD, 1.9, hypothesis=formula)
    return lab.directory


@pytest.fixture
def lab(first: Path, tmp_path: Path) -> Lab:
    return Lab(shutil.copytree(first, tmp_path / "lab"))


def read(path: Path) -> list[dict[str, object]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("form", FORMATS)
def test_one_row_for_each_experiment_in_order(lab: Lab, form: exporting.Format) -> None:
    path, written = export(lab, form)
    assert path == lab.directory / f"experiments.{form}"
    table = read(path)
    assert len(table) == written == len(NIGHT) + 1 + len(FORMULAS)
    assert [int(str(row["number"])) for row in table] == list(range(written))
    assert all(list(row) == list(COLUMNS) for row in table)
    decisions = [row["decision"] or None for row in table][: len(NIGHT)]
    assert decisions == [decision.value if decision else None for decision, _ in NIGHT]


def test_parquet_is_typed(lab: Lab) -> None:
    path, _ = export(lab, "parquet")
    schema = pq.read_schema(path)
    kinds = {"integer": pa.int64(), "number": pa.float64(), "time": pa.timestamp("ms", tz="UTC"), "text": pa.string()}
    assert {field.name: field.type for field in schema} == {name: kinds[kind] for name, kind in COLUMNS.items()}
    row = read(path)[7]
    assert isinstance(row["opened_at"], datetime)
    assert abs((datetime.now(UTC) - row["opened_at"]).total_seconds()) < 3600
    assert (row["trials"], row["trials_scored"], row["seed"], row["scored_tokens"]) == (3, 2, 1337, 1000)
    assert row["val_bpb"] == pytest.approx(1.7015)
    assert row["val_bpb_std"] == pytest.approx(0.0007071, rel=1e-3)
    assert row["train_wall_seconds"] == pytest.approx(900.75)
    assert row["train_seconds"] == 20.0
    assert row["hypothesis"] == 'über, "quoted" and\\x1b[31m red'


def test_the_same_values_in_every_format(lab: Lab) -> None:
    tables = {form: read(export(lab, form)[0]) for form in FORMATS}  # type: ignore[arg-type]
    for parquet, line, cells in zip(*(tables[form] for form in FORMATS[::1]), strict=True):
        for name, kind in COLUMNS.items():
            value = parquet[name]
            if isinstance(value, datetime):
                value = value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            assert cells[name] == value
            if kind in ("integer", "number") and value is not None:
                assert float(str(line[name])) == value
            elif value is None:
                assert line[name] == ""


def test_numbers_of_csv_are_read_as_numbers(lab: Lab) -> None:
    table = pyarrow.csv.read_csv(export(lab, "csv")[0])
    found = {field.name: field.type for field in table.schema}
    for name, kind in COLUMNS.items():
        if table[name].null_count == len(table):
            continue
        if kind == "integer":
            assert found[name] == pa.int64(), name
        if kind == "number":
            assert found[name] in (pa.float64(), pa.int64()), name
        if kind == "time":
            assert pa.types.is_timestamp(found[name]), name


def test_no_cell_of_csv_is_a_formula(lab: Lab) -> None:
    rows = read(export(lab, "csv")[0])
    for row in rows:
        for name, kind in COLUMNS.items():
            if kind == "text":
                assert str(row[name])[:1] not in tuple("=+-@\t\r＝＋－＠"), (name, row[name])
    assert [row["hypothesis"] for row in rows][8:11] == ["'=HYPERLINK(1)", "'+1", "'-1"]
    assert read(export(lab, "jsonl")[0])[8]["hypothesis"] == "=HYPERLINK(1)"  # data, for no spreadsheet


def test_it_overwrites_only_when_told(lab: Lab, tmp_path: Path) -> None:
    target = tmp_path / "mine.csv"
    target.write_text("precious")
    with pytest.raises(UserError, match="--force"):
        export(lab, "csv", target)
    assert target.read_text() == "precious"
    export(lab, "csv", target, force=True)
    assert target.read_text().startswith("number,")
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="exists"):
        export(lab, "csv", link)


def test_a_failure_halfway_leaves_nothing(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out" / "mine.parquet"
    target.parent.mkdir()
    target.write_bytes(b"old")
    real = columns.row_of

    def fails(experiment: object, *rest: object) -> object:
        if experiment.number == 9:  # type: ignore[attr-defined]
            raise OSError("the disk is full")
        return real(experiment, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(columns, "row_of", fails)
    monkeypatch.setattr(exporting, "BATCH", 4)
    with pytest.raises(OSError, match="full"):
        export(lab, "parquet", target, force=True)
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


def test_what_a_person_gets_wrong(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no format 'xlsx'; there are parquet, csv, jsonl"):
        export(lab, "xlsx")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="is a folder"):
        export(lab, "csv", tmp_path)
    with pytest.raises(UserError, match="no folder"):
        export(lab, "csv", tmp_path / "nowhere" / "x.csv")
    with pytest.raises(UserError, match="no experiments yet"):
        export(a_lab(tmp_path / "fresh"), "csv")
    assert list(tmp_path.glob("*.csv")) == []


def test_every_column_is_documented() -> None:
    page = (REPOSITORY / "docs" / "export.md").read_text()
    assert [name for name in COLUMNS if f"| `{name}` |" not in page] == []


def test_pyarrow_is_loaded_for_parquet_alone() -> None:
    program = "import sys, daemon.export; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_example_of_the_docs_runs_on_an_export(tmp_path: Path) -> None:
    lab = a_night(tmp_path / "lab")
    export(lab, "parquet", tmp_path / "experiments.parquet")
    page = (REPOSITORY / "docs" / "export.md").read_text()
    program = page.split("## A night in twenty lines")[1].split("```python\n")[1].split("```")[0]
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "  keep         3  0.27 h" in lines
    assert lines[-4:] == [
        "  #0 2.0000 (-0.0000) idea 0", "  #1 1.9000 (-0.1000) idea 1", "  #6 1.8000 (-0.1000) idea 6",
        "0.00 USD, 0.36 h of trials",
    ]  # fmt: skip
