"""A lab that somebody doctored is told from one that nobody did, and the first thing that is wrong is named."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from labs import git
from nights import Night, a_lab, a_night, arena_of
from rich.console import Console
from values import ALLOWED, KEEP, TRIAL

from daemon.lab import Lab
from daemon.ledger import TrialStarted, chain
from daemon.model import Decision, Patch, Proposal
from daemon.verify import Report, show, verify
from daemon.workspace import commit_message

REF = "refs/experiments"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_night(tmp_path_factory.mktemp("night") / "lab").directory


@pytest.fixture
def lab(first: Path, tmp_path: Path) -> Lab:
    return Lab(shutil.copytree(first, tmp_path / "lab"))


def sql(lab: Lab, *statements: str) -> None:
    """What somebody with the file can do: the triggers that make a table append-only are in the file too."""
    db = sqlite3.connect(lab.state / "ledger.sqlite", isolation_level=None)
    names = db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for statement in (*(f"DROP TRIGGER {name}" for (name,) in names), *statements):
        db.execute(statement)
    db.close()


def commit_of(lab: Lab, number: int) -> str:
    return git(lab.directory, "rev-parse", f"{REF}/{number}").strip()


def event(lab: Lab, experiment: int, kind: str) -> int:
    db = sqlite3.connect(lab.state / "ledger.sqlite")
    row = db.execute("SELECT seq FROM events WHERE experiment = ? AND kind = ?", (experiment, kind)).fetchone()
    db.close()
    return int(row[0])


def broken(lab: Lab) -> tuple[str, int | None]:
    report = verify(lab)
    assert report.broken is not None, "it was not noticed"
    assert report.broken.mend
    return report.broken.what, report.broken.number


def rewritten(lab: Lab, number: int, train_py: bytes | None = None, **changes: str) -> str:
    """Another commit in the place of an experiment's: the message, the parent or train.py is not the same."""
    old = commit_of(lab, number)
    said = changes.get("message", git(lab.directory, "log", "-1", "--format=%B", old))
    parent = changes.get("parent", git(lab.directory, "rev-parse", f"{old}^").strip())
    tree = changes.get("tree", f"{old}^{{tree}}")
    if train_py is not None:
        blob = subprocess.run(
            ["git", "hash-object", "-w", "--stdin"], input=train_py, cwd=lab.directory, capture_output=True, check=True
        )
        listed = git(lab.directory, "ls-tree", old)
        was = git(lab.directory, "rev-parse", f"{old}:train.py").strip()
        tree = _made(lab, "mktree", listed.replace(was, blob.stdout.decode().strip()))
    return _made(lab, "commit-tree", said, "-p", parent, git(lab.directory, "rev-parse", tree).strip())


def _made(lab: Lab, command: str, stdin: str, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@a", command, *arguments],
        input=stdin, cwd=lab.directory, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def put(lab: Lab, number: int, commit: str) -> None:
    """A ref and a ledger that agree on another commit; the chain is made anew from there, as a forger would."""
    old = commit_of(lab, number)
    git(lab.directory, "update-ref", f"{REF}/{number}", commit)
    sql(
        lab,
        f"UPDATE events SET payload = replace(payload, '{old}', '{commit}')",
        f"""UPDATE experiments SET "commit" = '{commit}' WHERE number = {number}""",
    )
    relink(lab)


def relink(lab: Lab) -> None:
    db = sqlite3.connect(lab.state / "ledger.sqlite", isolation_level=None)
    previous = chain.GENESIS
    rows = db.execute("SELECT seq, experiment, kind, payload, at FROM events ORDER BY seq").fetchall()
    for row in rows:
        own = chain.link(previous, *row)
        db.execute("UPDATE events SET previous_hash = ?, hash = ? WHERE seq = ?", (previous, own, row[0]))
        previous = own
    db.close()


class TestASoundLab:
    def test_is_found_sound(self, lab: Lab) -> None:
        report = verify(lab)
        assert report.broken is None
        assert report.counts == {"events": 49, "experiments": 7, "commits": 6, "keeps": 3, "models": 0}

    def test_only_reads(self, lab: Lab) -> None:
        before = git(lab.directory, "for-each-ref"), sorted(p.name for p in lab.state.iterdir())
        verify(lab)
        assert (git(lab.directory, "for-each-ref"), sorted(p.name for p in lab.state.iterdir())) == before

    def test_nothing_was_run_yet(self, tmp_path: Path) -> None:
        lab = a_lab(tmp_path / "lab")
        report = verify(lab)
        assert report.ok
        assert report.notes == ["nothing was run in this lab yet"]
        assert not (lab.state / "ledger.sqlite").exists()

    def test_an_experiment_that_is_decided_and_not_yet_in_git(self, lab: Lab) -> None:
        with lab.ledger() as ledger:
            tip = lab.workspace.tip()
            experiment = ledger.open(arena=arena_of(lab), base_commit=tip, champion=6, program="brief")
            patch = Patch(train_py=b"LR = 3\n", base_commit=tip)
            proposal = Proposal(hypothesis="half done", patch=patch, proposer="script")
            for value in (proposal, replace(ALLOWED, fingerprint="f"), TrialStarted(seed=1), TRIAL, KEEP):
                assert verify(lab).ok
                experiment = ledger.add(experiment, value)  # type: ignore[arg-type]
            assert verify(lab).ok
            message = commit_message(experiment, ledger.decision_hash(7))
            lab.workspace.record(7, patch, message, experiment.opened_at)
        assert verify(lab).ok

    def test_while_a_run_goes_on(self, lab: Lab) -> None:
        program = (
            "import sys; sys.path.insert(0, sys.argv[2])\n"
            "from pathlib import Path; from nights import *\n"
            "lab = Lab(Path(sys.argv[1]))\n"
            "with lab.ledger() as ledger:\n"
            "    night = Night(lab, ledger, arena_of(lab), champion=6)\n"
            "    for number in range(15):\n"
            "        night.add(Decision.KEEP if number % 2 else Decision.DISCARD, 1.7 - number / 1000)\n"
        )
        here = str(Path(__file__).parent)
        looked, run = [], subprocess.Popen([sys.executable, "-c", program, str(lab.directory), here])
        while run.poll() is None:
            looked.append(verify(lab))
        assert run.returncode == 0
        assert [report.broken for report in looked if not report.ok] == []
        assert len({len(report.notes) for report in looked}) == 1
        assert verify(lab).counts["experiments"] == 22
        assert len(looked) > 5

    def test_commits_of_people_and_another_tag(self, lab: Lab) -> None:
        above = _made(lab, "commit-tree", "by hand", "-p", lab.workspace.tip(), f"{lab.workspace.tip()}^{{tree}}")
        git(lab.directory, "update-ref", "refs/heads/autoresearch/night", above)
        assert any("1 commits above the last keep" in note for note in verify(lab).notes)
        with lab.ledger() as ledger:
            Night(lab, ledger, arena_of(lab)).add(Decision.KEEP, 1.7)
        assert verify(lab).ok
        settings = lab.directory / "lab.toml"
        settings.write_text(settings.read_text().replace('tag = "night"', 'tag = "day"'))
        other = Lab(lab.directory)
        assert verify(other).ok
        other.workspace.start_branch()
        assert verify(other).ok
        with other.ledger() as ledger:
            Night(other, ledger, arena_of(other)).add(Decision.KEEP, 2.0)
        assert verify(other).ok
        assert verify(lab).ok

    def test_a_branch_that_a_person_moved_before_a_baseline_is_a_note(self, lab: Lab) -> None:
        git(lab.directory, "update-ref", "refs/heads/autoresearch/night", commit_of(lab, 0))
        with lab.ledger() as ledger:
            Night(lab, ledger, arena_of(lab)).add(Decision.KEEP, 1.7)
        report = verify(lab)
        assert report.ok
        assert any("2 earlier keeps, from experiment 1 on" in note for note in report.notes)

    def test_files_of_another_arena_are_notes(self, lab: Lab) -> None:
        prepare, settings = lab.directory / "prepare.py", lab.directory / "lab.toml"
        assert not any("prepare.py" in note or "[time]" in note for note in verify(lab).notes)
        prepare.write_bytes(prepare.read_bytes() + b"\n")
        settings.write_text(settings.read_text().replace("train_seconds = 20.0", "train_seconds = 4.0"))
        report = verify(Lab(lab.directory))
        assert report.ok
        assert report.notes[0].startswith("prepare.py has changed")
        assert any("[time]" in note for note in report.notes)
        assert any("no prepared data" in note for note in report.notes)


class TestTheLedger:
    @pytest.mark.parametrize(
        ("experiment", "kind", "doctoring"),
        [
            (1, "trial-result", "UPDATE events SET payload = replace(payload, '1.9', '1.8') WHERE seq = {seq}"),
            (2, "decided", "DELETE FROM events WHERE seq = {seq}"),
            (2, "checked", "UPDATE events SET seq = -seq WHERE seq IN ({seq}, {seq} + 1); "
                           "UPDATE events SET seq = CASE seq WHEN -{seq} THEN {seq} + 1 ELSE {seq} END WHERE seq < 0"),
        ],
    )  # fmt: skip
    def test_a_byte_a_row_or_an_order_that_was_changed(
        self, lab: Lab, experiment: int, kind: str, doctoring: str
    ) -> None:
        seq = event(lab, experiment, kind)
        sql(lab, *doctoring.format(seq=seq).split("; "))
        what, _ = broken(lab)
        assert f"broken at event {seq}:" in what

    def test_a_chain_that_was_made_anew_does_not_fit_the_commits(self, lab: Lab) -> None:
        sql(lab, "UPDATE events SET payload = replace(payload, '1.95', '1.15') WHERE experiment = 2",
            "UPDATE experiments SET val_bpb = 1.15 WHERE number = 2")  # fmt: skip
        relink(lab)
        what, number = broken(lab)
        assert number == 2
        assert "another Ledger-Head" in what

    @pytest.mark.parametrize("number", [4, 6])
    def test_an_end_that_was_cut_off(self, lab: Lab, number: int) -> None:
        sql(lab, f"DELETE FROM events WHERE experiment >= {number}",
            f"DELETE FROM experiments WHERE number >= {number}")  # fmt: skip
        what, found = broken(lab)
        assert found == number
        assert "cut off" in what

    @pytest.mark.parametrize("kind", ["patch", "program"])
    def test_a_blob_that_is_gone_or_another(self, lab: Lab, kind: str) -> None:
        with lab.ledger() as ledger:
            experiment = ledger.get(3)
            assert experiment.proposal is not None
            name = experiment.proposal.patch.sha256 if kind == "patch" else experiment.program_sha256
        sql(lab, f"UPDATE blobs SET content = x'00' WHERE sha256 = '{name}'")
        assert "not what its name says" in broken(lab)[0]
        sql(lab, f"DELETE FROM blobs WHERE sha256 = '{name}'")
        what = broken(lab)[0]
        assert "missing" in what
        assert ("program.md of experiment 3" if kind == "program" else f"event {event(lab, 3, 'proposed')}") in what

    def test_every_text_of_program_md_is_gone(self, lab: Lab) -> None:
        sql(lab, "DELETE FROM blobs WHERE sha256 IN (SELECT json_extract(payload, '$.program_sha256') FROM events)")
        assert "program.md of experiment 0 is missing" in broken(lab)[0]

    def test_a_lab_from_before_the_texts_were_kept(self, lab: Lab) -> None:
        sql(lab, "DELETE FROM blobs WHERE sha256 IN (SELECT json_extract(payload, '$.program_sha256') FROM events)",
            "UPDATE events SET payload = json_remove(payload, '$.fingerprint') WHERE kind = 'checked'",
            "UPDATE experiments SET fingerprint = ''")  # fmt: skip
        relink(lab)
        assert "Ledger-Head" in broken(lab)[0]  # the ledger alone holds together

    def test_the_whole_file_is_gone_or_no_database(self, lab: Lab) -> None:
        for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
            (lab.state / name).unlink(missing_ok=True)
        assert "the commits of 6 experiments" in broken(lab)[0]
        assert not (lab.state / "ledger.sqlite").exists()
        (lab.state / "ledger.sqlite").write_bytes(b"not a database, " * 400)
        assert "not a database" in broken(lab)[0]

    def test_pages_that_were_overwritten(self, lab: Lab) -> None:
        sql(lab, "PRAGMA wal_checkpoint(TRUNCATE)")
        path = lab.state / "ledger.sqlite"
        content = bytearray(path.read_bytes())
        content[4096 * 3 : 4096 * 8] = b"\xff" * 4096 * 5
        path.write_bytes(content)
        assert "broken" in broken(lab)[0] or "malformed" in broken(lab)[0]


class TestGit:
    def test_a_ref_that_is_gone_or_moved(self, lab: Lab) -> None:
        was = commit_of(lab, 2)
        git(lab.directory, "update-ref", f"{REF}/2", commit_of(lab, 1))
        what, number = broken(lab)
        assert number == 2
        assert f"refs/experiments/2 is {commit_of(lab, 1)[:10]}" in what
        git(lab.directory, "update-ref", "-d", f"{REF}/2")
        assert broken(lab) == (f"refs/experiments/2 is gone, and the ledger says {was[:10]}", 2)
        report = verify(lab)
        assert report.broken is not None
        mend = report.broken.mend.split("`")[1]
        subprocess.run(mend.split(), cwd=lab.directory, check=True)
        assert verify(lab).ok

    def test_a_ref_that_the_ledger_does_not_know(self, lab: Lab) -> None:
        git(lab.directory, "update-ref", f"{REF}/5", commit_of(lab, 1))
        assert broken(lab)[1] == 5

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (lambda lab: rewritten(lab, 2, b"LR = 9\n"), "holds another train.py"),
            (lambda lab: rewritten(lab, 2, parent=commit_of(lab, 0)), "does not stand on"),
            (lambda lab: rewritten(lab, 2, message="idea 2\n\nExperiment: 2\n"), "another Ledger-Head"),
            (lambda lab: rewritten(lab, 2, tree=_tree_without(lab, 2, "program.md")), "changes more than train.py"),
        ],
    )
    def test_a_commit_that_was_written_anew(self, lab: Lab, change: Callable[[Lab], str], sentence: str) -> None:
        put(lab, 2, change(lab))
        what, number = broken(lab)
        assert number == 2
        assert sentence in what

    @pytest.mark.parametrize(
        ("part", "sentence"),
        [("", "git has no such commit"), ("^{tree}", "its tree is missing"), (":train.py", "holds another train.py")],
    )
    def test_an_object_that_is_gone(self, lab: Lab, part: str, sentence: str) -> None:
        file = _object(lab, f"{REF}/2{part}")
        file.chmod(0o644)
        file.unlink()
        what, number = broken(lab)
        assert number == 2
        assert sentence in what or "git" in what

    @pytest.mark.parametrize("part", ["", ":train.py"])
    def test_an_object_that_holds_something_else(self, lab: Lab, part: str) -> None:
        """Another sound object's bytes in its file: git hands them out without a word."""
        file, other = _object(lab, f"{REF}/2{part}"), _object(lab, f"{REF}/4{part}")
        file.chmod(0o644)
        file.write_bytes(other.read_bytes())
        what, number = broken(lab)
        assert number == 2
        assert "name" in what or "read" in what

    def test_a_branch_that_was_moved_back_or_is_gone(self, lab: Lab) -> None:
        git(lab.directory, "update-ref", "refs/heads/autoresearch/night", commit_of(lab, 1))
        what, number = broken(lab)
        assert number == 6
        assert f"autoresearch/night stands on {commit_of(lab, 1)[:10]}" in what
        git(lab.directory, "update-ref", "-d", "refs/heads/autoresearch/night")
        assert "autoresearch/night is gone" in broken(lab)[0]
        report = verify(lab)
        assert report.broken is not None
        subprocess.run(report.broken.mend.split("`")[1].split(), cwd=lab.directory, check=True)
        assert verify(lab).ok

    def test_a_branch_that_holds_what_was_not_kept(self, lab: Lab) -> None:
        merge = _made(lab, "commit-tree", "m", "-p", commit_of(lab, 2), "-p", commit_of(lab, 6), f"{REF}/2^{{tree}}")
        git(lab.directory, "update-ref", "refs/heads/autoresearch/night", merge)
        assert broken(lab)[1] == 2

    def test_the_first_of_several_is_named(self, lab: Lab) -> None:
        for number in (4, 2, 6):
            git(lab.directory, "update-ref", "-d", f"{REF}/{number}")
        assert broken(lab)[1] == 2


def _tree_without(lab: Lab, number: int, name: str) -> str:
    lines = git(lab.directory, "ls-tree", commit_of(lab, number)).splitlines(keepends=True)
    return _made(lab, "mktree", "".join(line for line in lines if not line.endswith(f"\t{name}\n")))


def _object(lab: Lab, name: str) -> Path:
    full = git(lab.directory, "rev-parse", name).strip()
    return lab.directory / ".git" / "objects" / full[:2] / full[2:]


class TestShow:
    def printed(self, report: Report, *, as_json: bool, capsys: pytest.CaptureFixture[str]) -> str:
        console = Console(file=io.StringIO(), width=200)
        show(report, console, as_json=as_json)
        return capsys.readouterr().out if as_json else console.file.getvalue()  # type: ignore[attr-defined,no-any-return]

    def test_for_people(self, lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
        assert "OK: 49 events, 7 experiments, 6 commits, 3 keeps" in self.printed(
            verify(lab), as_json=False, capsys=capsys
        )
        git(lab.directory, "update-ref", "-d", f"{REF}/2")
        text = self.printed(verify(lab), as_json=False, capsys=capsys)
        assert "broken: refs/experiments/2 is gone" in text
        assert "what to do: `git update-ref" in text

    def test_for_programs(self, lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
        git(lab.directory, "update-ref", "-d", f"{REF}/2")
        answer = json.loads(self.printed(verify(lab), as_json=True, capsys=capsys))
        assert answer["ok"] is False
        assert answer["broken"]["number"] == 2
