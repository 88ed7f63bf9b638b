"""A user's mistakes: one clear sentence, a non-zero exit, no traceback, nothing lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_research_loop import autoresearch, git

from daemon.lifecycle import lab_lock


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    directory = tmp_path / "lab"
    autoresearch("init", directory, "--profile", "cpu", "--tag", "night")
    return directory


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared lab to copy from: preparing one for each mistake would take most of the time."""
    directory = tmp_path_factory.mktemp("template") / "lab"
    autoresearch("init", directory, "--profile", "cpu", "--tag", "night")
    autoresearch("prepare", "--sample", "--lab", directory)
    return directory


@pytest.fixture
def prepared(template: Path, tmp_path: Path) -> Path:
    directory = tmp_path / "prepared"
    shutil.copytree(template, directory, symlinks=True)
    return directory


def refused(*words: str | Path, **environment: str) -> str:
    done = autoresearch(*words, check=False, **environment)
    assert done.returncode not in (0, None)
    sentence = done.stderr.strip()
    assert sentence.startswith("autoresearch: "), done.stderr
    assert len(sentence.splitlines()) == 1, done.stderr
    return sentence


def test_a_folder_that_is_no_lab(tmp_path: Path) -> None:
    assert "autoresearch init" in refused("run", "--experiments", "1", "--lab", tmp_path)
    assert "autoresearch init" in refused("status", "--lab", tmp_path)


def test_init_never_overwrites(fresh: Path, tmp_path: Path) -> None:
    (fresh / "train.py").write_text("mine")
    refused("init", fresh, "--profile", "cpu")
    assert (fresh / "train.py").read_text() == "mine"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    refused("init", tmp_path / "full", "--profile", "cpu")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.tex"]


def test_missing_data(fresh: Path) -> None:
    assert "autoresearch prepare" in refused("run", "--experiments", "1", "--lab", fresh)


def test_data_of_another_profile(prepared: Path) -> None:
    manifest = prepared / ".autoresearch/data/manifest.json"
    manifest.write_text(manifest.read_text().replace('"cpu"', '"gpu"', 1))
    assert "profile" in refused("run", "--experiments", "1", "--lab", prepared)


def test_a_data_file_that_shrank(prepared: Path) -> None:
    rows = prepared / ".autoresearch/data/val/rows.bin"
    rows.write_bytes(rows.read_bytes()[:-2])
    assert "rows.bin" in refused("trial", prepared / "train.py", "--lab", prepared)


def test_a_changed_lab(prepared: Path) -> None:
    with (prepared / "train.py").open("a") as file:
        file.write("# mine\n")
    assert "train.py" in refused("run", "--experiments", "1", "--lab", prepared)


def test_the_branch_is_checked_out(prepared: Path) -> None:
    git(prepared, "switch", "-qc", "autoresearch/night")
    assert "git switch" in refused("run", "--experiments", "1", "--lab", prepared)


def test_a_second_process_on_the_same_lab(prepared: Path) -> None:
    with lab_lock(prepared / ".autoresearch", "run"):
        sentence = refused("run", "--experiments", "1", "--lab", prepared)
    assert "in use by `autoresearch run`" in sentence


@pytest.mark.parametrize(
    ("line", "instead", "words"),
    [
        ("train_seconds = 20.0", "train_secs = 20.0", "train_secs"),
        ("train_seconds = 20.0", "train_seconds = -1.0", "train_seconds"),
        ("train_seconds = 20.0", 'train_seconds = "long"', "train_seconds"),
        ('profile = "cpu"', 'profile = "tpu"', "profile"),
        ("\n[time]\n", "\n[time\n", "TOML"),
        ('cpus = "auto"', 'cpus = "all"', "cpus"),
        ('cpus = "auto"', 'cpus = "999"', "core 999"),
        ('image = "autoresearch-train:cpu"', 'image = "nobody/has:this"', "image build"),
        ('gpu = ""', 'gpu = "GPU-00000000"', "nvidia-smi"),
        ('name = "optuna"', 'name = "oracle"', "oracle"),
    ],
)
def test_wrong_settings(prepared: Path, line: str, instead: str, words: str) -> None:
    settings = prepared / "lab.toml"
    assert line in settings.read_text()
    settings.write_text(settings.read_text().replace(line, instead, 1))
    git(prepared, "commit", "-qam", "a change")
    assert words in refused("run", "--experiments", "1", "--lab", prepared)


def test_a_baseline_that_crashes_is_said_and_kept_on_the_record(prepared: Path) -> None:
    train_py = prepared / "train.py"
    train_py.write_text(train_py.read_text() + "\nraise ValueError('planted')\n")
    settings = prepared / "lab.toml"
    settings.write_text(settings.read_text().replace("train_seconds = 20.0", "train_seconds = 3.0"))
    git(prepared, "commit", "-qam", "break it")
    sentence = refused("run", "--experiments", "1", "--lab", prepared)
    assert "baseline" in sentence
    assert "autoresearch show 0" in sentence
    assert "planted" in autoresearch("show", "0", "--lab", prepared).stdout


def test_no_engine(prepared: Path) -> None:
    sentence = refused("run", "--experiments", "1", "--lab", prepared, DOCKER_HOST="tcp://127.0.0.1:9")
    assert "start it" in sentence
    done = autoresearch("doctor", "--lab", prepared, check=False, DOCKER_HOST="tcp://127.0.0.1:9")
    assert done.returncode == 1
    assert "failure" in done.stdout


def test_an_unknown_experiment(fresh: Path) -> None:
    assert "7" in refused("show", "7", "--lab", fresh)


def test_a_trial_of_what_is_no_file(fresh: Path, tmp_path: Path) -> None:
    assert "cannot be read" in refused("trial", tmp_path / "nothing.py", "--lab", fresh)
    big = tmp_path / "big.py"
    big.write_bytes(b"#" * 100_000)
    assert "65536" in refused("trial", big, "--lab", fresh)


def test_a_full_disk_is_said(prepared: Path) -> None:
    """A quota in place of a full disk: the process may not write a byte more."""
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
        "sys.argv = ['autoresearch', 'run', '--experiments', '1', '--lab', sys.argv[1]]; "
        "from daemon.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program, str(prepared)], capture_output=True, text=True)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("autoresearch: ")


def test_nothing_to_plot_yet(fresh: Path) -> None:
    assert "no experiments yet" in refused("plot", "--lab", fresh)
