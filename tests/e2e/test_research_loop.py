"""The main job as a user runs it: a fresh lab, a baseline and two experiments in real containers, by the command."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

AUTORESEARCH = [str(Path(sys.executable).with_name("autoresearch"))]


def shortened(lab: Path, train_seconds: float, **changes: str) -> None:
    """Fewer seconds, a lighter audit, one look at the holdout; ``changes`` are further settings as they are written."""
    text = (lab / "lab.toml").read_text()
    few = {"train_seconds": str(train_seconds), "audit_rows": "40", "confirm_rows": "100", "looks": "1"}
    few["startup_margin_seconds"] = "40.0"  # a busy machine is slow to start, and four seconds are soon charged away
    for name, value in (few | changes).items():
        text, count = re.subn(rf"(?m)^{name} = [^#\n]*", f"{name} = {value}  ", text)
        assert count == 1, name
    (lab / "lab.toml").write_text(text)
    git(lab, "commit", "-qam", "shortened")


API_KEY = "sk-canary-" + "Zq7f" * 12  # every command of these tests is given one, and it must turn up nowhere


def autoresearch(*words: str | Path, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*AUTORESEARCH, *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "ANTHROPIC_API_KEY": API_KEY, **environment},
    )
    assert API_KEY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    if check:
        assert done.returncode == 0, done.stderr + done.stdout
    return done


def git(lab: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(lab), *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab with a baseline and two experiments; the seconds are few, everything else is as it ships."""
    directory = tmp_path_factory.mktemp("e2e") / "lab"
    autoresearch("init", directory, "--profile", "cpu", "--tag", "night")
    shortened(directory, 4.0, baseline_runs="2", looks="25")
    autoresearch("prepare", "--sample", "--lab", directory)
    done = autoresearch("run", "--experiments", "2", "--lab", directory)
    assert done.stdout.count("#") >= 3, done.stdout
    return directory


def status(lab: Path) -> dict[str, object]:
    answer: dict[str, object] = json.loads(autoresearch("status", "--json", "--lab", lab).stdout)
    return answer


def test_a_baseline_and_two_experiments_were_decided(lab: Path) -> None:
    rows = status(lab)["experiments"]
    assert [row["number"] for row in rows] == [0, 1, 2]  # type: ignore[index,union-attr]
    assert (rows[0]["decision"], rows[0]["trials"]) == ("keep", 2)  # type: ignore[index]
    assert status(lab)["noise"]["runs"] >= 2  # type: ignore[index]
    kept = [row for row in rows[1:] if row["decision"] == "keep"]  # type: ignore[index]
    assert all(row["trials"] > 1 and row["gain_bpb"] > 0 for row in kept)
    assert all(row["phase"] == "closed" for row in rows)  # type: ignore[union-attr]
    assert all(row["commit"] for row in rows)  # type: ignore[union-attr]


def test_git_tells_the_same_story_as_the_ledger(lab: Path) -> None:
    facts = status(lab)
    rows = {row["number"]: row["commit"] for row in facts["experiments"]}  # type: ignore[union-attr]
    for number, commit in rows.items():
        assert git(lab, "rev-parse", f"refs/experiments/{number}").strip() == commit
    champion = facts["champion"]["commit"]  # type: ignore[index]
    assert git(lab, "rev-parse", "autoresearch/night").strip() == champion
    assert "Ledger-Head: " in git(lab, "log", "-1", "--format=%B", "autoresearch/night")
    assert git(lab, "status", "--porcelain") == ""
    assert git(lab, "rev-parse", "--abbrev-ref", "HEAD").strip() == "main"


def test_results_tsv_has_the_five_columns(lab: Path) -> None:
    lines = (lab / "results.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["commit", "val_bpb", "memory_gb", "status", "description"]
    assert len(lines) == 4
    assert lines[1].split("\t")[3] == "keep"


def test_show_diff_and_plot(lab: Path) -> None:
    shown = autoresearch("show", "0", "--lab", lab).stdout
    assert "audit:" in shown
    assert "start-up" in shown
    change = autoresearch("diff", "1", "--lab", lab).stdout
    assert change.startswith("diff --git a/train.py b/train.py")
    assert subprocess.run(["git", "-C", str(lab), "apply", "--check", "-"], input=change, text=True).returncode == 0
    autoresearch("plot", "--lab", lab)
    assert (lab / "progress.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_run_goes_on_where_the_first_ended(lab: Path) -> None:
    before = len(status(lab)["experiments"])  # type: ignore[arg-type]
    autoresearch("run", "--experiments", "1", "--lab", lab)
    assert len(status(lab)["experiments"]) == before + 1  # type: ignore[arg-type]


def test_trial_prints_one_object_and_touches_nothing(lab: Path) -> None:
    head, rows = git(lab, "for-each-ref"), status(lab)
    answer = json.loads(autoresearch("trial", lab / "train.py", "--json", "--lab", lab).stdout)
    assert answer["status"] == "ok"
    assert 1.0 < answer["val_bpb"] < 3.0
    promised = {"claimed_bpb", "train_wall_seconds", "startup_seconds", "score_seconds", "tokens", "reason", "log_tail"}
    assert promised <= set(answer)
    assert git(lab, "for-each-ref") == head
    assert status(lab) == rows


def test_a_broken_file_is_a_status_and_not_an_error(lab: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('no')")
    done = autoresearch("trial", broken, "--json", "--lab", lab, check=False)
    assert done.returncode == 3
    assert json.loads(done.stdout)["status"] == "crash"


PRYING = """
import os, pathlib
for process in pathlib.Path("/proc").iterdir():
    if process.name.isdigit():
        try:
            print((process / "environ").read_bytes())
        except OSError as error:
            print(process, error)
print(dict(os.environ))
"""


def test_no_container_and_no_child_is_given_the_api_key(lab: Path, tmp_path: Path) -> None:
    candidate = tmp_path / "prying.py"
    candidate.write_text(PRYING)
    shown = autoresearch("trial", candidate, "--json", "--lab", lab, check=False).stdout
    assert "AUTORESEARCH_SEED" in shown  # it did see an environment
    child = tmp_path / "lab"
    autoresearch("init", child, "--profile", "cpu", "--tag", "night")
    (child / "prepare.py").write_text(PRYING)
    assert "AUTORESEARCH_DATA" in autoresearch("prepare", "--sample", "--lab", child).stdout


def test_the_api_key_is_nowhere_in_the_lab(lab: Path) -> None:
    key = API_KEY.encode()
    files = [path for path in lab.rglob("*") if path.is_file()]
    assert [path for path in files if key in path.read_bytes()] == []
    objects = subprocess.run(
        ["git", "-C", str(lab), "cat-file", "--batch-all-objects", "--batch"], capture_output=True, check=True
    ).stdout
    assert b"train.py" in objects
    assert key not in objects
    for number in range(len(status(lab)["experiments"])):  # type: ignore[arg-type]
        autoresearch("show", str(number), "--json", "--lab", lab)  # looks for the key in its output


def test_the_state_of_a_lab_is_for_its_owner_alone(lab: Path) -> None:
    assert (lab / ".autoresearch").stat().st_mode & 0o777 == 0o700
    writable = [path for path in lab.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert writable == []


def test_the_doctor_is_content(lab: Path) -> None:
    checks = json.loads(autoresearch("doctor", "--json", "--lab", lab).stdout)["checks"]
    assert {c["name"] for c in checks} >= {"engine", "image", "data", "disk", "file system", "memory", "gpu"}
    assert [c for c in checks if c["level"] == "failure"] == []


def test_ctrl_c_stops_cleanly_and_the_next_run_takes_the_experiment_up_again(lab: Path) -> None:
    before = status(lab)["experiments"]
    process = subprocess.Popen(
        [*AUTORESEARCH, "run", "--experiments", "1", "--lab", str(lab)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(status(lab)["experiments"]) == len(before):  # type: ignore[arg-type]
        time.sleep(0.5)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"nothing was lost" in errors
    interrupted = status(lab)["experiments"][-1]  # type: ignore[index]
    assert interrupted["phase"] == "interrupted"
    autoresearch("run", "--experiments", "1", "--lab", lab)
    again = status(lab)["experiments"][-1]  # type: ignore[index]
    assert again["phase"] == "closed"
    assert again["hypothesis"] == interrupted["hypothesis"]


def test_killed_outright_nothing_is_lost_or_left(lab: Path) -> None:
    before = status(lab)["experiments"]
    process = subprocess.Popen([*AUTORESEARCH, "run", "--experiments", "1", "--lab", str(lab)])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(status(lab)["experiments"]) == len(before):  # type: ignore[arg-type]
        time.sleep(0.5)
    time.sleep(3)
    process.kill()
    process.wait()
    done = autoresearch("run", "--experiments", "1", "--lab", lab)
    assert "after an unclean end" in done.stdout
    rows = status(lab)["experiments"]
    assert [row["phase"] for row in rows[len(before) :]] == ["interrupted", "closed"]  # type: ignore[index]
    left = json.loads(autoresearch("doctor", "--json", "--lab", lab).stdout)["checks"]
    assert next(c for c in left if c["name"] == "leftovers")["level"] == "ok"
