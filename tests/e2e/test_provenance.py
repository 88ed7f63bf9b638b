"""A lab that ran for real is verified, exported, replayed, promoted and cleared up, by the command."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from test_research_loop import autoresearch, git, shortened


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline and one experiment; the seconds are few, everything else is as it ships."""
    directory = tmp_path_factory.mktemp("provenance") / "lab"
    autoresearch("init", directory, "--profile", "cpu", "--tag", "night")
    shortened(directory, 4.0, rule='"greedy"', startup_seconds="240.0")
    autoresearch("prepare", "--sample", "--lab", directory)
    autoresearch("run", "--experiments", "1", "--lab", directory)
    return directory


def refs_and_status(lab: Path) -> tuple[str, dict[str, object]]:
    facts = json.loads(autoresearch("status", "--json", "--lab", lab).stdout)
    return git(lab, "for-each-ref"), {**facts, "disk": None}  # which is measured anew now and then


def test_a_lab_that_ran_is_sound(lab: Path) -> None:
    done = autoresearch("verify", "--lab", lab)
    assert done.stdout.startswith("OK: ")
    assert "note" not in done.stdout
    answer = json.loads(autoresearch("verify", "--json", "--lab", lab).stdout)
    assert answer["counts"]["commits"] == answer["counts"]["experiments"] == 2


def test_a_ref_that_is_gone_is_named_and_the_advice_mends_it(lab: Path) -> None:
    git(lab, "update-ref", "-d", "refs/experiments/1")
    done = autoresearch("verify", "--lab", lab, check=False)
    assert done.returncode == 1
    assert "refs/experiments/1 is gone" in done.stdout
    git(lab, *done.stdout.split("`")[1].split()[1:])
    autoresearch("verify", "--lab", lab)


def test_one_byte_of_the_ledger(lab: Path) -> None:
    db = sqlite3.connect(lab / ".autoresearch" / "ledger.sqlite", isolation_level=None)
    guard = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'events_no_update'").fetchone()[0]
    seq, payload = db.execute("SELECT seq, payload FROM events WHERE kind = 'trial-result'").fetchone()
    db.execute("DROP TRIGGER events_no_update")
    change = "UPDATE events SET payload = ? WHERE seq = ?"
    db.execute(change, (payload.replace('"seed":1337', '"seed":1338'), seq))
    done = autoresearch("verify", "--lab", lab, check=False)
    db.execute(change, (payload, seq))
    db.execute(guard)
    db.close()
    assert done.returncode == 1
    assert f"broken at event {seq}: its content is not what was hashed" in done.stdout
    autoresearch("verify", "--lab", lab)


def test_export(lab: Path, tmp_path: Path) -> None:
    target = tmp_path / "night.parquet"
    done = autoresearch("export", "--format", "parquet", "--output", target, "--lab", lab)
    assert done.stdout == f"wrote 2 experiments to {target}\n"
    rows = pq.read_table(target).to_pylist()
    assert [row["number"] for row in rows] == [0, 1]
    assert 1.0 < rows[0]["val_bpb"] < 3.0
    assert rows[0]["ledger_head"] in git(lab, "log", "-1", "--format=%B", "refs/experiments/0")
    again = autoresearch("export", "--format", "parquet", "--output", target, "--lab", lab, check=False)
    assert again.returncode == 2
    assert "--force replaces it" in again.stderr
    autoresearch("export", "--format", "csv", "--output", target, "--force", "--lab", lab)
    assert target.read_text().startswith("number,arena,")


def test_replay_runs_it_again_and_writes_nothing_down(lab: Path) -> None:
    before = refs_and_status(lab)
    answer = json.loads(autoresearch("replay", "0", "--runs", "2", "--json", "--lab", lab).stdout)
    assert [pair["seed"] for pair in answer["pairs"]] == [1337, 1338]
    assert answer["pairs"][0]["then_bpb"] > 1.0
    assert answer["sigma_runs"] == 2, answer["pairs"]
    assert answer["sigma_bpb"] < 0.2
    assert abs(answer["difference_bpb"]) < 0.5
    assert refs_and_status(lab) == before
    autoresearch("verify", "--lab", lab)


def test_replay_in_another_arena(lab: Path) -> None:
    settings = lab / "lab.toml"
    was = settings.read_text()
    settings.write_text(was.replace("train_seconds = 4.0", "train_seconds = 5.0"))
    done = autoresearch("replay", "0", "--lab", lab, check=False)
    noted = autoresearch("verify", "--lab", lab)
    settings.write_text(was)
    assert done.returncode == 2
    assert "train_seconds was 4.0 and is 5.0" in done.stderr
    assert "begins a new arena" in noted.stdout


def test_gc_clears_up_and_the_lab_goes_on(lab: Path) -> None:
    left = lab / ".autoresearch" / "runs" / "00009-0" / "train"
    left.mkdir(parents=True)
    os.link(next((lab / ".autoresearch" / "data" / "train").glob("*.bin")), left / "tokens.bin")
    before = refs_and_status(lab)
    nowhere = {"DOCKER_HOST": "unix:///nowhere.sock"}  # images are this machine's, and not this test's to remove
    assert "run: " in autoresearch("gc", "--dry-run", "--lab", lab).stdout
    assert left.exists()
    done = autoresearch("gc", "--lab", lab, **nowhere).stdout
    assert "removed 1 run" in done
    assert "volumes and images were not looked at" in done
    assert not left.exists()
    assert refs_and_status(lab) == before
    autoresearch("run", "--experiments", "1", "--lab", lab)
    autoresearch("verify", "--lab", lab)


def test_promote_refuses_or_brings_one_commit(lab: Path) -> None:
    """The champion of so short a night may be the baseline itself, which main has already."""
    champion = json.loads(autoresearch("status", "--json", "--lab", lab).stdout)["champion"]["number"]
    done = autoresearch("promote", "--lab", lab, check=False)
    if champion == 0:
        assert done.returncode == 2
        assert "main has the train.py of experiment 0 already" in done.stderr
        return
    assert done.returncode == 0
    assert git(lab, "diff", "--name-only", "main^", "main") == "train.py\n"
    assert git(lab, "show", "main:train.py") == git(lab, "show", "autoresearch/night:train.py")
    assert git(lab, "status", "--porcelain") == ""
    autoresearch("verify", "--lab", lab)
