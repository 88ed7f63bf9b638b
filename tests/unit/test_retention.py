"""What piles up goes; the ledger, the refs, the data and whatever is in use stay, byte for byte."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from labs import git
from nights import a_night
from rich.console import Console

from daemon.lab import Lab
from daemon.retention import STALE_SECONDS, Collected, collect, disk_use, show
from daemon.verify import verify
from sandbox import docker_engine
from sandbox.docker_engine import Image
from sandbox.image import CONTENTS_LABEL
from sandbox.interface import MiB, SandboxUnavailable

LONG_AGO = STALE_SECONDS + 60


@dataclass
class FakeEngine:
    volumes: list[str] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    in_use: Sequence[str] = ()
    gone: list[str] = field(default_factory=list)

    def unused_volumes(self, lab_id: str) -> list[str]:
        return [name for name in self.volumes if lab_id in name]

    def nameless_images(self, label: str) -> list[Image]:
        return [image for image in self.images if label in image.labels]

    def remove_volume(self, name: str) -> None:
        self.gone.append(name)

    def remove_image(self, image_id: str) -> bool:
        if image_id not in self.in_use:
            self.gone.append(image_id)
        return image_id not in self.in_use


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_night(tmp_path_factory.mktemp("night") / "lab").directory


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(docker_engine, "Engine", lambda: fake)
    return fake


@pytest.fixture
def lab(first: Path, tmp_path: Path, engine: FakeEngine) -> Lab:
    """With data, some of which two run folders still link to."""
    lab = Lab(shutil.copytree(first, tmp_path / "lab"))
    old(lab.data_dir / "train" / "00.bin", b"tokens" * 10_000)
    old(lab.data_dir / ".manifest.json.abcdefgh.tmp", b"not ours to judge")
    for name in ("00001-0", "replay-2-ab"):
        old(lab.runs_dir / name / "lab" / "train.py", b"LR = 1\n")
        (lab.runs_dir / name / "train").mkdir()
        os.link(lab.data_dir / "train" / "00.bin", lab.runs_dir / name / "train" / "00.bin")
    return lab


def old(path: Path, content: bytes = b"", *, seconds: float = LONG_AGO) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))
    return path


def names(done: Collected) -> list[str]:
    return sorted(Path(item.name).name for item in done.items)


def kept(lab: Lab) -> dict[str, str]:
    """Everything that must never change."""
    wanted = [lab.state / "ledger.sqlite", *lab.data_dir.rglob("*"), *(lab.directory / ".git" / "refs").rglob("*")]
    files = [path for path in (*wanted, *lab.directory.glob("*")) if path.is_file()]
    found = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.suffix != ".lock"}
    return found | {"refs": git(lab.directory, "for-each-ref")}


def test_run_folders_go_and_the_data_they_link_to_stay(lab: Lab) -> None:
    before = kept(lab)
    dry = collect(lab, dry_run=True)
    assert names(dry) == ["00001-0", "replay-2-ab"]
    assert 0 < dry.size_bytes < 100_000  # the linked tokens free nothing
    assert (lab.runs_dir / "00001-0").exists()
    assert collect(lab) == dry
    assert list(lab.runs_dir.iterdir()) == []
    assert kept(lab) == before
    assert verify(lab).ok
    assert collect(lab).items == []


def test_temporary_files_go_when_they_are_stale(lab: Lab) -> None:
    gone = [
        old(lab.state / ".selfcheck.json.ab_d3fgh.tmp"),
        old(lab.directory / ".results.tsv.abcdefgh.tmp"),
        old(lab.directory / ".experiments.parquet.abcdefgh.tmp"),
        old(lab.state / "inbox" / ".ticket.abcdefgh.tmp"),
    ]
    stay = [
        old(lab.state / ".selfcheck.json.abcdefgh.tmp", seconds=10),
        old(lab.directory / ".mine.abcdefgh.tmp"),
        old(lab.directory / "notes.tmp"),
        old(lab.state / "inbox" / "ticket.json"),
        lab.data_dir / ".manifest.json.abcdefgh.tmp",
    ]
    assert sorted(item.name for item in collect(lab).items if item.kind == "temporary file") == sorted(map(str, gone))
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in stay)


def test_what_a_git_that_lost_its_power_left(lab: Lab) -> None:
    folder = lab.directory / ".git"
    gone = [
        old(folder / "refs" / "experiments" / "7.lock"),
        old(folder / "refs" / "heads" / "autoresearch" / "night.lock"),
        old(folder / "index.lock"),
        old(folder / "objects" / "aa" / "tmp_obj_x1Y2z3"),
    ]
    young = old(folder / "packed-refs.lock", seconds=10)
    with pytest.raises(subprocess.CalledProcessError):
        git(lab.directory, "update-ref", "refs/experiments/7", "HEAD")
    before = kept(lab)
    assert sorted(item.name for item in collect(lab).items if item.kind == "git leftover") == sorted(map(str, gone))
    assert young.exists()
    assert kept(lab) == before
    git(lab.directory, "update-ref", "refs/experiments/7", "HEAD")


def test_a_git_that_is_running_is_left_alone(lab: Lab) -> None:
    lock = old(lab.directory / ".git" / "index.lock")
    with subprocess.Popen(
        ["git", "cat-file", "--batch"], cwd=lab.directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"HEAD\n")
        process.stdin.flush()
        process.stdout.readline()
        collect(lab)
        assert lock.exists()
        process.kill()
    collect(lab)
    assert not lock.exists()


def test_a_link_to_elsewhere_is_not_followed(lab: Lab, tmp_path: Path) -> None:
    precious = old(tmp_path / "precious" / "thesis.tex", b"x")
    (lab.runs_dir / "link").symlink_to(precious.parent)
    collect(lab)
    assert precious.exists()
    assert not (lab.runs_dir / "link").is_symlink()
    lab.runs_dir.rmdir()
    lab.runs_dir.symlink_to(precious.parent)
    assert collect(lab).items == []
    assert precious.exists()


@pytest.mark.parametrize("where", [".autoresearch/runs", ".autoresearch/runs/data", ".autoresearch/runs/a/b"])
def test_data_that_somebody_put_in_an_odd_place(lab: Lab, where: str) -> None:
    settings = lab.directory / "lab.toml"
    settings.write_text(settings.read_text().replace('dir = ".autoresearch/data"', f'dir = "{where}"'))
    tokens = old(lab.directory / where / "train" / "00.bin", b"tokens")
    collect(Lab(lab.directory))
    assert tokens.exists()


def test_volumes_of_this_lab_and_nameless_images_that_nobody_uses(lab: Lab, engine: FakeEngine) -> None:
    engine.volumes = [f"out-{lab.id}", "out-another"]
    engine.images = [
        Image(id="sha256:old", labels={CONTENTS_LABEL: "x"}, size_bytes=MiB),
        Image(id="sha256:used", labels={CONTENTS_LABEL: "x"}, size_bytes=MiB),
        Image(id="sha256:young", labels={CONTENTS_LABEL: "x"}, size_bytes=MiB, created_at=9e12),
        Image(id="sha256:theirs", labels={"maintainer": "them"}, size_bytes=MiB),
    ]
    engine.in_use = ["sha256:used"]
    assert {"sha256:old", "sha256:used", f"out-{lab.id}"} <= {item.name for item in collect(lab, dry_run=True).items}
    assert engine.gone == []
    collect(lab)
    assert engine.gone == [f"out-{lab.id}", "sha256:old"]


def test_without_an_engine_the_rest_is_done(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise SandboxUnavailable("no Docker engine answered")

    monkeypatch.setattr(docker_engine, "Engine", none)
    done = collect(lab)
    assert len(done.items) == 2
    assert done.notes == ["volumes and images were not looked at: no Docker engine answered"]


def test_disk_use_counts_everything_once(lab: Lab) -> None:
    use = disk_use(lab)
    assert list(use) == ["ledger", "data", "runs", "models", "git", "other"]
    assert use["data"] >= 60_000
    assert 0 < use["runs"] < 60_000
    known = sum(use.values())
    told = subprocess.run(
        ["du", "--summarize", "--block-size=1", str(lab.state), str(lab.directory / ".git")],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert known == sum(int(line.split()[0]) for line in told.splitlines())


def test_what_is_printed(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    def printed(done: Collected, *, dry_run: bool) -> str:
        console = Console(file=io.StringIO(), width=200)
        show(done, console, as_json=False, dry_run=dry_run)
        return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]

    dry = printed(collect(lab, dry_run=True), dry_run=True)
    assert "would remove 2 runs: 0.0 MiB" in dry
    assert f"run: {lab.runs_dir / '00001-0'}" in dry
    show(collect(lab, dry_run=True), Console(), as_json=True, dry_run=True)
    assert len(json.loads(capsys.readouterr().out)["items"]) == 2
    assert "removed 2 runs" in printed(collect(lab), dry_run=False)
    assert "removed nothing" in printed(collect(lab), dry_run=False)
