"""From a source to prepared data: splits, determinism, reuse, interruption, and what people get wrong."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from preparing import ROOT, environment, load, manifest, sample_texts, write_parquet

prepare = load()


def run(*arguments: str | Path, **extra: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "prepare.py"), *map(str, arguments)]
    return subprocess.run(command, env=environment(**extra), capture_output=True, text=True, timeout=120)


def documents_of(directory: Path) -> list[list[int]]:
    """All training documents of prepared data, in order."""
    return [
        tokens[start:end].tolist()
        for shard in json.loads((directory / "train" / "index.json").read_text())["shards"]
        for tokens in [np.fromfile(directory / "train" / shard["tokens"], dtype="<u2")]
        for starts in [np.fromfile(directory / "train" / shard["documents"], dtype="<u8").astype(int).tolist()]
        for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True)
    ]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sample") / "data"
    assert prepare.main(["--sample", "--data", str(directory)]) == 0
    return directory


# -- what is made


def test_the_manifest_says_what_is_there(sample: Path) -> None:
    said = manifest(sample)
    assert (said["version"], said["profile"], said["vocab_size"], said["max_seq_len"]) == (1, "cpu", 2048, 256)
    assert "King James" in said["source"]
    assert "public domain" in said["licence"]
    there = {
        p.relative_to(sample).as_posix()
        for name in ("common", "train", "val", "holdout")
        for p in (sample / name).iterdir()
    }
    assert set(said["files"]) == there
    assert prepare.verify(sample) == []
    for name, entry in said["files"].items():
        assert (sample / name).stat().st_size == entry["size_bytes"]
        assert (sample / name).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("split", ["val", "holdout"])
def test_evaluation_rows(sample: Path, split: str) -> None:
    said = manifest(sample)["splits"][split]
    rows = np.fromfile(sample / split / "rows.bin", dtype="<u2").reshape(-1, 257)
    lengths = np.fromfile(sample / "common" / "token_bytes.bin", dtype="<u2")
    assert len(rows) == said["rows"] == prepare.EVAL_TOKENS // prepare.MAX_SEQ_LEN
    assert (rows[:, 0] == manifest(sample)["bos_token_id"]).all()
    assert rows.max() < 2048
    assert said["tokens"] == rows[:, 1:].size
    assert said["bytes"] == lengths[rows[:, 1:]].sum(dtype=np.int64)


def test_every_training_document_starts_with_its_only_bos(sample: Path) -> None:
    documents, said = documents_of(sample), manifest(sample)
    bos = said["bos_token_id"]
    assert all(document[0] == bos and document.count(bos) == 1 for document in documents)
    assert all(2 <= len(document) <= 257 for document in documents)
    assert said["splits"]["train"]["documents"] == len(documents)
    assert said["splits"]["train"]["tokens"] == sum(map(len, documents))


def test_the_training_text_comes_back(sample: Path) -> None:
    tokenizer = prepare.Tokenizer.from_directory(sample / "common")
    text = "".join(tokenizer.enc.decode_bytes(document[1:]).decode("latin-1") for document in documents_of(sample))
    expected = "".join(t for t in sample_texts() if prepare._belongs(t, "train", prepare.sample_source()))
    assert text == expected.encode().decode("latin-1")


def test_no_text_is_in_two_splits(tmp_path: Path) -> None:
    texts = sample_texts()
    write_parquet(tmp_path / "a.parquet", [*texts[:600], None, "", *texts[:50]])
    write_parquet(tmp_path / "b.parquet", texts[500:])
    source = prepare.folder_source(tmp_path, column="text", name="x", licence="y")
    splits = {split: set(prepare._documents(source, split)) for split in prepare.SPLITS}
    assert set.union(*splits.values()) == set(texts)
    assert sum(map(len, splits.values())) == len(set(texts))
    assert 0.05 < len(splits["val"]) / len(texts) < 0.2


def test_a_large_folder_gives_the_evaluation_only_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "a.parquet", sample_texts())
    monkeypatch.setattr(prepare, "EVAL_TOKENS", 20_000)
    source = prepare.folder_source(tmp_path, column="text", name="x", licence="y")
    assert 0.01 < source.evaluation_share < 0.12


def test_another_holdout_shares_nothing_with_the_one_before_and_leaves_validation_alone() -> None:
    texts = sample_texts()
    sources = [prepare.sample_source(holdout) for holdout in range(3)]
    held = [{text for text in texts if prepare._belongs(text, "holdout", source)} for source in sources]
    assert all(held)
    assert not held[0] & held[1] and not held[1] & held[2]
    for source in sources:
        by_split = [{text for text in texts if prepare._belongs(text, split, source)} for split in prepare.SPLITS]
        assert sum(map(len, by_split)) == len(set(texts))
        assert by_split[1] == {text for text in texts if prepare._belongs(text, "val", sources[0])}


def test_another_holdout_is_prepared_anew_and_one_that_is_not_there_is_refused(sample: Path, tmp_path: Path) -> None:
    done = run("--sample", "--holdout", "1", "--data", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    before, after = manifest(sample)["files"], manifest(tmp_path / "data")["files"]
    assert before["holdout/rows.bin"] != after["holdout/rows.bin"]
    for wrong in ("99", "-1"):
        refused = run("--sample", "--holdout", wrong, "--data", tmp_path / "data")
        assert refused.returncode == 2
        assert "--holdout must be between 0 and" in refused.stderr


# -- determinism and reuse


def test_the_same_text_gives_the_same_manifest_anywhere(sample: Path, tmp_path: Path) -> None:
    done = run("--sample", "--data", tmp_path / "again", AUTORESEARCH_DATA=tmp_path / "unused")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again" / "manifest.json").read_bytes() == (sample / "manifest.json").read_bytes()
    assert not (tmp_path / "unused").exists()


def test_several_processes_give_what_one_gives(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", sample_texts())
    code = (
        "import os, sys, prepare\n"
        "prepare.SHARD_TEXT_BYTES = 500_000\n"
        "cores = int(sys.argv.pop(1))\n"
        "os.sched_getaffinity = lambda _: set(range(cores))\n"
        "if __name__ == '__main__': sys.exit(prepare.main(sys.argv[1:]))\n"
    )
    for cores in ("1", "3"):
        command = [
            sys.executable,
            "-c",
            code,
            cores,
            "--source",
            str(tmp_path),
            "--data",
            str(tmp_path / "out" / cores),
        ]
        subprocess.run(command, env=environment(), check=True, capture_output=True, timeout=120)
    one, three = (tmp_path / "out" / cores / "manifest.json" for cores in ("1", "3"))
    assert len([name for name in manifest(one.parent)["files"] if name.endswith(".bin")]) > 6
    assert one.read_bytes() == three.read_bytes()


def test_a_second_run_reuses_what_is_there(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (sample / "train" / "train_00000.bin").stat()
    assert prepare.main(["--sample", "--data", str(sample)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    after = (sample / "train" / "train_00000.bin").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_reuse_loads_no_tokenizer(sample: Path) -> None:
    code = (
        "import sys, prepare\n"
        f"code = prepare.main(['--sample', '--data', {str(sample)!r}])\n"
        "assert not {'torch', 'tiktoken', 'rustbpe', 'requests'} & set(sys.modules)\n"
        "sys.exit(code)\n"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True, capture_output=True, timeout=60)


def test_another_text_replaces_what_is_there(tmp_path: Path) -> None:
    data, texts = tmp_path / "data", tmp_path / "texts"
    texts.mkdir()
    write_parquet(texts / "a.parquet", sample_texts()[:900])
    assert prepare.main(["--source", str(texts), "--data", str(data)]) == 0
    first = manifest(data)
    write_parquet(texts / "a.parquet", sample_texts()[100:])
    assert prepare.main(["--source", str(texts), "--data", str(data), "--licence", "mine"]) == 0
    assert manifest(data)["files"] != first["files"]
    assert manifest(data)["licence"] == "mine"
    assert prepare.verify(data) == []
    assert sorted(p.name for p in data.iterdir()) == [
        ".autoresearch-lock", "common", "holdout", "inputs.json", "manifest.json", "train", "val",
    ]  # fmt: skip


def test_a_missing_file_is_made_again(sample: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert prepare.main(["--sample", "--data", str(data)]) == 0
    (data / "val" / "rows.bin").unlink()
    assert prepare.main(["--sample", "--data", str(data)]) == 0
    assert manifest(data) == manifest(sample)
    assert prepare.verify(data) == []


def test_verify_finds_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    prepare.main(["--sample", "--data", str(data)])
    assert prepare.main(["--verify", "--data", str(data)]) == 0
    tokens = data / "train" / "train_00000.bin"
    content = bytearray(tokens.read_bytes())
    content[1000] ^= 1
    tokens.write_bytes(content)
    (data / "val" / "rows.bin").unlink()
    capsys.readouterr()
    assert prepare.main(["--verify", "--data", str(data)]) == 1
    assert capsys.readouterr().out.splitlines() == ["train/train_00000.bin has changed", "val/rows.bin is missing"]


# -- interruption


@pytest.mark.parametrize("moment", ["_train_tokenizer", "_write_train", "_describe_files", "_commit", "os.fsync"])
def test_a_killed_preparation_leaves_nothing_that_looks_whole(tmp_path: Path, moment: str) -> None:
    code = (
        "import os, signal, sys, prepare\n"
        f"prepare.{moment} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "prepare.main(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, "--sample", "--data", str(tmp_path / "data")]
    killed = subprocess.run(command, env=environment(), capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "data" / "manifest.json").exists()
    assert prepare.main(["--sample", "--data", str(tmp_path / "data")]) == 0
    assert prepare.verify(tmp_path / "data") == []
    assert not (tmp_path / "data" / ".preparing").exists()


@pytest.mark.parametrize("moves", [1, 2, 5, 8])
def test_killed_between_two_moves(tmp_path: Path, moves: int) -> None:
    """Old data in place, new data half moved in: there is no manifest, and the next run mends it."""
    data, texts = tmp_path / "data", tmp_path / "texts"
    texts.mkdir()
    write_parquet(texts / "a.parquet", sample_texts()[:800])
    assert prepare.main(["--source", str(texts), "--data", str(data)]) == 0
    code = (
        "import os, signal, sys, pathlib, prepare\n"
        "plain, left = pathlib.Path.rename, [int(sys.argv.pop(1))]\n"
        "def rename(self, target):\n"
        "    left[0] -= 1\n"
        "    return plain(self, target) if left[0] else os.kill(os.getpid(), signal.SIGKILL)\n"
        "pathlib.Path.rename = rename\n"
        "prepare.main(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, str(moves), "--sample", "--data", str(data)]
    killed = subprocess.run(command, env=environment(), capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert not (data / "manifest.json").exists()
    assert prepare.main(["--sample", "--data", str(data)]) == 0
    assert prepare.verify(data) == []


def test_killed_before_the_moves_the_old_data_stays(tmp_path: Path) -> None:
    data, texts = tmp_path / "data", tmp_path / "texts"
    texts.mkdir()
    write_parquet(texts / "a.parquet", sample_texts()[:800])
    assert prepare.main(["--source", str(texts), "--data", str(data)]) == 0
    before = manifest(data)
    code = (
        "import os, signal, sys, prepare\n"
        "prepare._write_train = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "prepare.main(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, "--sample", "--data", str(data)]
    assert subprocess.run(command, env=environment(), capture_output=True, timeout=120).returncode == -signal.SIGKILL
    assert manifest(data) == before
    assert prepare.verify(data) == []


STOPPED_MIDWAY = """
import os, signal, sys
import prepare
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in its background without it
train = prepare._train_tokenizer
def interrupted(*arguments, **options):
    os.kill(os.getpid(), signal.SIGINT)
    return train(*arguments, **options)
prepare._train_tokenizer = interrupted
sys.exit(prepare.main(sys.argv[1:]))
"""


def test_ctrl_c_is_one_line(tmp_path: Path) -> None:
    """The signal comes from inside, at a known place: from outside it may come when all is done."""
    command = [sys.executable, "-c", STOPPED_MIDWAY, "--sample", "--data", str(tmp_path / "data")]
    done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr.strip() == "prepare.py: stopped; run it again to go on."
    assert not (tmp_path / "data" / ".preparing").exists()


def test_two_preparations_of_one_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with prepare._locked(tmp_path):
        assert prepare.main(["--sample", "--data", str(tmp_path)]) == 2
    assert "another preparation is at work" in capsys.readouterr().err


# -- text files


def test_text_files_are_documents(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one.md").write_text("# One\n")
    (tmp_path / "a.txt").write_bytes(b"caf\xe9\r\nline")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "ignored.csv").write_text("x")
    source = prepare.folder_source(tmp_path, column="text", name="x", licence="y")
    read = [text for span in source.spans["train"] for text in prepare._span_documents(span)]
    assert read == ["caf\ufffd\nline", "# One\n"]


@pytest.mark.parametrize("separator", ["\n\n", "\n", " ", ""])
def test_a_long_text_file_is_cut_where_it_hurts_least(tmp_path: Path, separator: str) -> None:
    text = "".join(f"{'word' * 20}{number:06d}{separator}" for number in range(12_000))
    (tmp_path / "long.txt").write_text(text)
    pieces = list(prepare._text_documents(tmp_path / "long.txt"))
    assert "".join(pieces) == text
    assert all(piece.endswith(separator) for piece in pieces)
    assert max(map(len, pieces)) <= 32_768
    assert all(len(piece) >= 16_384 for piece in pieces[:-1])


def test_a_folder_of_text_files_end_to_end(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(4):
        (texts / f"{number}.txt").write_text("\n\n".join(sample_texts()[number * 250 : number * 250 + 250]))
    assert prepare.main(["--source", str(texts), "--data", str(tmp_path / "data")]) == 0
    assert manifest(tmp_path / "data")["source"] == "folder texts"
    assert manifest(tmp_path / "data")["licence"] == "not stated"


def test_another_column_and_large_strings(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"n": list(range(3)), "body": pa.array(["a", None, "b"], pa.large_string())})
    pq.write_table(table, tmp_path / "a.parquet")
    source = prepare.folder_source(tmp_path, column="body", name="x", licence="y")
    assert [text for span in source.spans["val"] for text in prepare._span_documents(span)] == ["a", "b"]


# -- what people get wrong: one sentence on stderr, exit code 2


def wrong(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    capsys.readouterr()
    assert prepare.main([str(argument) for argument in arguments]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("prepare.py: ")
    assert errors.count("\n") == 1
    return errors


def test_missing_and_empty_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    assert "does not exist" in wrong(capsys, "--source", tmp_path / "nothing", "--data", data)
    (tmp_path / "empty").mkdir()
    assert "holds no .parquet, .txt, .md file" in wrong(capsys, "--source", tmp_path / "empty", "--data", data)
    assert not data.exists()


def test_no_text_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_parquet(tmp_path / "a.parquet", ["x"], column="body")
    said = wrong(capsys, "--source", tmp_path, "--data", tmp_path / "data")
    assert "no text column 'text' (its columns: body); name one with --column" in said


def test_a_column_of_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_parquet(tmp_path / "a.parquet", [1, 2])  # type: ignore[list-item]
    assert "no text column" in wrong(capsys, "--source", tmp_path, "--data", tmp_path / "data")


def test_a_file_that_is_no_parquet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.parquet").write_text("hello")
    assert "not a readable parquet file" in wrong(capsys, "--source", tmp_path, "--data", tmp_path / "data")


def test_damage_inside_a_parquet_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, sample_texts())
    content = bytearray(path.read_bytes())
    content[50_000:150_000] = os.urandom(100_000)
    path.write_bytes(content)
    assert "cannot be read" in wrong(capsys, "--source", tmp_path, "--data", tmp_path / "data")


def test_too_little_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("In the beginning.")
    assert "too little text" in wrong(capsys, "--source", tmp_path, "--data", tmp_path / "data")
    (tmp_path / "a.txt").unlink()
    write_parquet(tmp_path / "a.parquet", sample_texts()[:25])
    assert "must fill 16" in wrong(capsys, "--source", tmp_path, "--data", tmp_path / "data")
    assert not (tmp_path / "data" / "manifest.json").exists()
    assert not (tmp_path / "data" / ".preparing").exists()


def test_an_unknown_profile(tmp_path: Path) -> None:
    done = run("--sample", "--data", tmp_path, AUTORESEARCH_PROFILE="tpu")
    assert done.returncode == 2
    assert done.stderr == "prepare.py: AUTORESEARCH_PROFILE is 'tpu', but the profiles are: gpu, cpu.\n"


@pytest.mark.parametrize("seconds", ["soon", "-1", "0", "nan", "inf"])
def test_a_budget_that_is_none(seconds: str, tmp_path: Path) -> None:
    done = run("--sample", "--data", tmp_path, AUTORESEARCH_TRAIN_SECONDS=seconds)
    assert done.returncode == 2
    assert "must be a number of seconds above 0" in done.stderr
    assert done.stderr.count("\n") == 1


def test_data_of_another_profile(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run("--sample", "--data", sample, AUTORESEARCH_PROFILE="gpu")
    assert done.returncode == 2
    assert "holds data prepared for profile cpu, and this is profile gpu" in done.stderr
    assert "set AUTORESEARCH_PROFILE=cpu" in done.stderr


def test_folders_of_somebody_else_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "thesis.txt").write_text("mine")
    assert "choose another --data" in wrong(capsys, "--sample", "--data", tmp_path)
    assert (tmp_path / "train" / "thesis.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_not_enough_space(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(prepare.shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    assert "0.0 GB free" in wrong(capsys, "--sample", "--data", tmp_path / "data")


def test_the_disk_fills_up_on_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x"))

    monkeypatch.setattr(prepare, "_write_bytes", full)
    assert "no space left on the disk" in wrong(capsys, "--sample", "--data", tmp_path / "data")
    assert not (tmp_path / "data" / ".preparing").exists()


def test_a_file_where_the_directory_should_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").write_text("x")
    assert "File exists" in wrong(capsys, "--sample", "--data", tmp_path / "data")


def test_no_sample_beside_a_copied_prepare(tmp_path: Path) -> None:
    copy = tmp_path / "lab" / "prepare.py"
    copy.parent.mkdir()
    copy.write_bytes((ROOT / "prepare.py").read_bytes())
    command = [sys.executable, str(copy), "--sample", "--data", str(tmp_path / "data")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "set AUTORESEARCH_SAMPLE_DIR to the folder that has it" in done.stderr
    sample = ROOT / "data" / "sample"
    done = subprocess.run(
        command, env=environment(AUTORESEARCH_SAMPLE_DIR=sample), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_verify_without_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no prepared data" in wrong(capsys, "--verify", "--data", tmp_path)


# -- profiles and import


def test_the_frozen_profiles() -> None:
    gpu = load("gpu")
    assert (gpu.MAX_SEQ_LEN, gpu.TIME_BUDGET, gpu.EVAL_TOKENS, gpu.VOCAB_SIZE) == (2048, 300.0, 40 * 524_288, 8192)
    assert gpu.EVAL_BATCH_SIZE == 128
    assert (prepare.MAX_SEQ_LEN, prepare.TIME_BUDGET, prepare.EVAL_TOKENS, prepare.VOCAB_SIZE) == (
        256,
        20.0,
        110_592,
        2048,
    )
    assert max(gpu.VOCAB_SIZE, prepare.VOCAB_SIZE) < 2**16


def test_importing_reads_nothing_and_needs_neither_torch_nor_data(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "import prepare\n"
        f"assert not [name for name in opened if name.startswith({str(tmp_path)!r})], opened\n"
        "assert not {'torch', 'tiktoken', 'rustbpe', 'pyarrow', 'requests'} & set(sys.modules)\n"
        "print(prepare.TIME_BUDGET)\n"
    )
    environ = environment(AUTORESEARCH_DATA=tmp_path, AUTORESEARCH_TRAIN_SECONDS="7.5", HOME=tmp_path)
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "7.5\n"), done.stderr


def test_the_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTORESEARCH_DATA", "~/x")
    assert prepare.data_directory() == Path.home() / "x"
    monkeypatch.delenv("AUTORESEARCH_DATA")
    assert prepare.data_directory() == Path.home() / ".cache" / "autoresearch" / "cpu"


def test_time_left_before_the_release_is_the_nominal_budget() -> None:
    assert prepare.time_left() == prepare.TIME_BUDGET
