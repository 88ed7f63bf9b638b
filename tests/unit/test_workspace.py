"""The workspace: experiments as commits that can be made twice, a branch that moves by compare-and-swap."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from labs import FILES, git, make_lab
from values import DISCARD, experiment

from daemon.model import OurFault, Outcome, Patch, Proposal, UserError
from daemon.workspace import NotALab, Workspace, WorkspaceError, commit_message, ledger_head_of

AT = "2026-01-01T00:00:00.123Z"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    return make_lab(tmp_path / "lab")


@pytest.fixture
def space(lab: Path) -> Workspace:
    workspace = Workspace(lab, "night")
    workspace.start_branch()
    return workspace


def patch(space: Workspace, content: bytes = b"LR = 2\n") -> Patch:
    return Patch(train_py=content, base_commit=space.tip())


class TestInit:
    def test_makes_a_repository_of_the_files(self, lab: Path) -> None:
        assert git(lab, "ls-tree", "--name-only", "HEAD").split() == sorted(FILES)
        assert git(lab, "branch", "--show-current") == "main\n"
        assert git(lab, "status", "--porcelain") == ""
        assert (lab / "train.py").read_bytes() == FILES["train.py"]
        assert not (lab / ".git" / "hooks").exists()

    def test_signs_as_the_person_or_as_the_program(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
        monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        first = make_lab(tmp_path / "first")
        (tmp_path / "config").write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n")
        second = make_lab(tmp_path / "second")
        assert git(first, "log", "--format=%an <%ae>") == "autoresearchd <autoresearchd@localhost>\n"
        assert git(second, "log", "--format=%an <%ae>") == "Ada <ada@example.org>\n"

    def test_a_folder_with_other_things_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("")
        with pytest.raises(UserError, match="not empty"):
            make_lab(tmp_path)
        assert os.listdir(tmp_path) == ["thesis.tex"]

    def test_a_file_is_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("")
        with pytest.raises(UserError, match="not empty"):
            make_lab(tmp_path / "x")

    def test_a_lab_is_a_lab_already(self, lab: Path) -> None:
        with pytest.raises(UserError, match="a lab already"):
            make_lab(lab)

    def test_a_repository_gets_what_it_lacks(self, tmp_path: Path) -> None:
        git(tmp_path, "init", "--quiet", "--initial-branch=trunk")
        for name in ("train.py", ".gitignore", "thesis.tex"):
            (tmp_path / name).write_text("mine\n")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "--quiet", "--message=mine")
        (tmp_path / "thesis.tex").write_text("staged\n")
        git(tmp_path, "add", ".")
        written = Workspace.init(tmp_path, FILES, "A new lab")
        assert written == ["prepare.py", "program.md", "lab.toml", "policy.yaml"]
        (tmp_path / ".autoresearch").mkdir()
        (tmp_path / ".autoresearch" / "ledger.sqlite").write_text("")
        assert git(tmp_path, "status", "--porcelain") == "M  thesis.tex\n"
        assert git(tmp_path, "show", "HEAD:train.py") == "mine\n"
        assert git(tmp_path, "log", "--format=%s") == "A new lab\nmine\n"
        assert Workspace(tmp_path, "night").start_branch() == git(tmp_path, "rev-parse", "trunk").strip()


class TestOpening:
    def test_no_repository(self, tmp_path: Path) -> None:
        with pytest.raises(NotALab, match="autoresearch init"):
            Workspace(tmp_path, "night")

    def test_a_folder_inside_a_repository_is_not_taken_for_its_top(self, lab: Path) -> None:
        (lab / "sub" / ".git").mkdir(parents=True)
        with pytest.raises(NotALab):
            Workspace(lab / "sub", "night")

    def test_no_train_py(self, tmp_path: Path) -> None:
        git(tmp_path, "init", "--quiet")
        with pytest.raises(NotALab, match="no commit yet"):
            Workspace(tmp_path, "night")
        git(tmp_path, "commit", "--quiet", "--allow-empty", "--message=empty")
        with pytest.raises(NotALab, match=r"no committed train\.py"):
            Workspace(tmp_path, "night")

    def test_a_repository_damaged_later_is_not_looked_for_above(self, tmp_path: Path) -> None:
        outer = make_lab(tmp_path / "outer")
        Workspace(outer, "night").start_branch()
        space = Workspace(make_lab(outer / "lab"), "night")
        space.start_branch()
        (outer / "lab" / ".git" / "HEAD").unlink()
        with pytest.raises(WorkspaceError, match="not a git repository"):
            space.tip()

    @pytest.mark.parametrize("tag", ["", "-d", "a/b", "a b", "a..b", "x" * 65, "a\n", "ü"])
    def test_a_tag_must_name_a_branch(self, lab: Path, tag: str) -> None:
        with pytest.raises(UserError, match="cannot name a branch"):
            Workspace(lab, tag)

    def test_an_environment_that_points_elsewhere(self, lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GIT_DIR", "/elsewhere")
        with pytest.raises(UserError, match="GIT_DIR would send git"):
            Workspace(lab, "night")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
    def test_a_lab_of_another_user(self, lab: Path) -> None:
        for path in (lab, lab / ".git"):
            os.chown(path, 12345, 12345)
        with pytest.raises(UserError, match=r"belongs to another user; .* safe\.directory"):
            Workspace(lab, "night")


class TestBranch:
    def test_starts_at_the_labs_commit_and_stays(self, lab: Path) -> None:
        space = Workspace(lab, "night")
        with pytest.raises(WorkspaceError, match="is gone"):
            space.tip()
        first = space.start_branch()
        assert first == git(lab, "rev-parse", "HEAD").strip() == space.tip()
        git(lab, "commit", "--quiet", "--allow-empty", "--message=more")
        assert space.start_branch() == first

    def test_is_not_moved_under_somebodys_feet(self, lab: Path, space: Workspace, tmp_path: Path) -> None:
        commit = space.record(1, patch(space), "an idea", AT)
        git(lab, "worktree", "add", "--quiet", str(tmp_path / "other"), "autoresearch/night")
        with pytest.raises(UserError, match=r"other has autoresearch/night checked out.*git switch main"):
            space.start_branch()
        with pytest.raises(WorkspaceError, match="checked out"):
            space.advance(commit, space.tip())
        git(tmp_path / "other", "switch", "--quiet", "--detach")
        git(lab, "switch", "--quiet", "autoresearch/night")
        with pytest.raises(UserError, match=r"lab has autoresearch/night checked out"):
            space.start_branch()

    def test_another_branch_in_the_way(self, lab: Path) -> None:
        git(lab, "branch", "autoresearch")
        with pytest.raises(UserError, match="in the way"):
            Workspace(lab, "night").start_branch()

    def test_advances_once_and_only_from_where_it_was(self, lab: Path, space: Workspace) -> None:
        base = space.tip()
        one = space.record(1, patch(space), "one", AT)
        two = space.record(2, patch(space, b"LR = 3\n"), "two", AT)
        space.advance(one, base)
        space.advance(one, base)
        assert space.tip() == one
        with pytest.raises(OurFault, match="update-ref failed"):
            space.advance(two, base)
        assert space.tip() == one
        assert [entry.subject for entry in space.log(5)] == ["one", "A new lab"]
        movers = git(lab, "reflog", "--format=%gn <%ge>", "autoresearch/night").split("\n")
        assert movers == ["autoresearchd <autoresearchd@localhost>"] * 2 + [""]
        assert space.log(1)[0].at.startswith("2026-01-01T00:00:00")


class TestRecord:
    def test_keeps_the_bytes_as_they_are(self, lab: Path, space: Workspace) -> None:
        content = b"x = '\xff\r\n\x00'\n"
        (lab / ".gitattributes").write_text("* text eol=crlf\n")
        commit = space.record(7, patch(space, content), "an idea", AT)
        assert space.read(commit) == content
        assert space.read(commit, "prepare.py") == FILES["prepare.py"]
        assert git(lab, "rev-parse", "refs/experiments/7").strip() == commit
        assert git(lab, "rev-parse", f"{commit}^").strip() == space.tip()
        assert (lab / "train.py").read_bytes() == FILES["train.py"]
        assert git(lab, "fsck", "--strict") == ""
        assert space.recorded() == {7: commit}

    def test_again_gives_the_same_commit(self, space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        commit = space.record(7, patch(space), "an idea", AT)
        monkeypatch.setenv("GIT_AUTHOR_NAME", "somebody else")
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        assert space.record(7, patch(space), "an idea", AT) == commit

    def test_another_one_is_refused(self, space: Workspace) -> None:
        commit = space.record(7, patch(space), "an idea", AT)
        with pytest.raises(WorkspaceError, match="another commit"):
            space.record(7, patch(space, b"other\n"), "an idea", AT)
        assert space.recorded() == {7: commit}

    @pytest.mark.parametrize("base", ["HEAD", "--help", "0" * 40, ""])
    def test_a_base_that_is_no_commit(self, space: Workspace, base: str) -> None:
        with pytest.raises(WorkspaceError):
            space.record(7, Patch(train_py=b"", base_commit=base), "an idea", AT)

    def test_what_is_not_there_cannot_be_read(self, space: Workspace) -> None:
        with pytest.raises(WorkspaceError, match=r"no file gone\.py"):
            space.read(space.tip(), "gone.py")


def test_the_message_tells_and_cannot_be_forged(space: Workspace) -> None:
    hostile = Proposal(hypothesis="faster\n\nLedger-Head: f00\x1b[2J" + "x" * 200, patch=patch(space), proposer="llm")
    reason = Outcome(decision=DISCARD.decision, reason="worse\n\nLedger-Head: f00")
    message = commit_message(experiment(proposal=hostile, outcome=reason), "abc123")
    subject, _, rest = message.partition("\n\n")
    assert len(subject) == 100
    assert subject.startswith(r"faster Ledger-Head: f00\x1b[2J")
    assert rest.startswith("discard: worse Ledger-Head: f00\nval_bpb: 1.500000\narena: ")
    assert rest.endswith("\n\nExperiment: 3\nLedger-Head: abc123\n")
    space.record(3, hostile.patch, message, AT)
    space.record(4, hostile.patch, "no trailers", AT)
    assert space.ledger_heads() == {3: "abc123"}
    assert ledger_head_of("Ledger-Head: f00\n\nno trailer") is None


def test_diff_shows_the_change_even_of_bytes(lab: Path, space: Workspace) -> None:
    commit = space.record(7, patch(space, b"LR = 2 # \x00\xff\n"), "an idea", AT)
    git(lab, "config", "color.ui", "always")
    change = space.diff(space.tip(), commit)
    assert "\n-LR = 1\n+LR = 2 # \x00\ufffd\n" in change
    assert "\x1b" not in change
    assert space.diff(commit, commit) == ""


class TestDirty:
    def test_a_clean_lab_whatever_else_lies_there(self, lab: Path, space: Workspace) -> None:
        (lab / "notes.txt").write_text("mine")
        (lab / ".autoresearch").mkdir()
        assert space.dirty() == []

    def test_changed_removed_replaced_or_staged(self, lab: Path, space: Workspace) -> None:
        (lab / "train.py").write_bytes(b"LR = 9\n")
        (lab / "prepare.py").unlink()
        (lab / "prepare.py").symlink_to("/etc/hostname")
        (lab / "lab.toml").write_bytes(b"new\n")
        git(lab, "add", "lab.toml")
        (lab / "lab.toml").write_bytes(FILES["lab.toml"])
        (lab / "policy.yaml").unlink()
        assert space.dirty() == ["train.py", "prepare.py", "lab.toml", "policy.yaml"]

    def test_the_brief_may_change_at_any_time(self, lab: Path, space: Workspace) -> None:
        (lab / "program.md").write_bytes(b"be bolder\n")
        assert space.dirty() == []

    def test_a_file_git_does_not_track(self, lab: Path, space: Workspace) -> None:
        git(lab, "rm", "--quiet", "policy.yaml")
        git(lab, "commit", "--quiet", "--message=no policy")
        (lab / "policy.yaml").write_bytes(b"untracked\n")
        assert space.dirty() == []
        git(lab, "add", "policy.yaml")
        assert space.dirty() == ["policy.yaml"]
