"""Playing a folder, and following a script."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from proposer_conformance import ProposerConformance, after, closed, context_of

from daemon.model import MAX_HYPOTHESIS_CHARACTERS, OurFault, Proposal, UserError
from daemon.proposers.interface import Context, NothingToPropose, ProposalFailed, Proposer, load
from daemon.proposers.replay import MAX_FILE_BYTES, ReplayProposer
from daemon.proposers.scripted import ScriptedProposer
from policies.interface import PLAIN_TRAIN_PY, Named

CONTEXT = context_of(b"X = 0\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "patches"
    made.mkdir()
    (made / "01-wide.py").write_bytes(b'"""Twice as wide.\n\nBecause it may."""\nX = 1\n')
    (made / "02-deep.py").write_bytes(b"# no docstring\nX = 2\n")
    (made / "02-deep.md").write_text("Deeper\n\x1b[31mmodels learn more\n")
    (made / "03.py").write_bytes(b"X = 3\n")
    (made / "notes.txt").write_text("not a patch")
    return made


class TestReplay(ProposerConformance):
    @pytest.fixture(autouse=True)
    def _lab(self, folder: Path) -> None:
        self.lab = folder.parent

    def proposer(self) -> Proposer:
        return load("replay", {"seed": 1, "lab": str(self.lab)})

    def context(self) -> Context:
        return CONTEXT


class TestScripted(ProposerConformance):
    def proposer(self) -> Proposer:
        return ScriptedProposer([("one", b"X = 1\n"), ("two", lambda context: context.train_py + b"Y = 2\n")])

    def context(self) -> Context:
        return CONTEXT


def test_the_files_are_played_in_order_and_then_it_ends(folder: Path) -> None:
    context, seen = CONTEXT, []
    for _ in range(3):
        proposal = load("replay", {"lab": str(folder.parent), "folder": "patches"}).propose(context)
        seen.append((proposal.hypothesis, proposal.patch.train_py[-6:]))
        context = after(context, proposal, 1.6)
    assert seen == [
        ("Twice as wide.", b"X = 1\n"),
        ("Deeper \\x1b[31mmodels learn more", b"X = 2\n"),
        ("03", b"X = 3\n"),
    ]
    with pytest.raises(NothingToPropose, match="all 3 files"):
        load("replay", {"lab": str(folder.parent)}).propose(context)


def test_other_proposers_do_not_move_the_position(folder: Path) -> None:
    proposer = load("replay", {"lab": str(folder.parent)})
    first = proposer.propose(CONTEXT)
    assert proposer.propose(after(CONTEXT, replace(first, proposer="optuna"), 1.6)) == first


def test_files_are_given_as_they_are(folder: Path) -> None:
    (folder / "00.py").write_bytes(b"\xff\xfe(((\r\n" * 3)
    proposal = load("replay", {"lab": str(folder.parent)}).propose(CONTEXT)
    assert proposal.patch.train_py == b"\xff\xfe(((\r\n" * 3
    assert proposal.hypothesis == "00"


@pytest.mark.parametrize("start", [b'f"""{x}"""', b'b"bytes"', b'"""open', b"((((", b'"' + b"x" * 9999 + b'"'])
def test_odd_docstrings(folder: Path, start: bytes) -> None:
    (folder / "00.py").write_bytes(start)
    proposal = load("replay", {"lab": str(folder.parent)}).propose(CONTEXT)
    assert proposal.hypothesis == "00" or proposal.hypothesis.startswith("xxx")
    assert len(proposal.hypothesis) <= MAX_HYPOTHESIS_CHARACTERS


def test_a_missing_empty_or_monstrous_folder_is_the_users_to_mend(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        load("replay", {"lab": str(tmp_path), "folder": "nowhere"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no"):
        load("replay", {"lab": str(tmp_path), "folder": "empty"})
    (folder / "00.py").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(UserError, match="more than"):
        load("replay", {"lab": str(tmp_path)}).propose(CONTEXT)


def test_a_script_raises_each_exception_once_in_its_turn() -> None:
    script = ScriptedProposer([ProposalFailed("hm"), OurFault("down"), ("one", b"X = 1\n"), ProposalFailed("again")])
    with pytest.raises(ProposalFailed):
        script.propose(CONTEXT)
    with pytest.raises(OurFault):
        script.propose(CONTEXT)
    proposal = script.propose(CONTEXT)
    assert proposal.hypothesis == "one"
    context = after(CONTEXT, proposal, 1.6)
    with pytest.raises(ProposalFailed, match="again"):
        script.propose(context)
    with pytest.raises(NothingToPropose):
        script.propose(context)


def proposals(folder: Path, number: int) -> Proposal:
    context, proposer = CONTEXT, load("replay", {"lab": str(folder.parent)})
    for _ in range(number):
        proposal = proposer.propose(context)
        context = after(context, proposal, 1.6)
    return proposal


def test_a_plain_file_is_named_as_such(folder: Path) -> None:
    assert proposals(folder, 1).files == PLAIN_TRAIN_PY


def test_a_symlink_is_never_followed(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("SECRET = 1\n")
    (folder / "00.py").symlink_to(secret)
    (folder / "00.md").symlink_to(secret)
    proposal = proposals(folder, 1)
    assert proposal.files == (Named(path="train.py", mode=0o120000),)
    assert proposal.patch.train_py == str(secret).encode()
    assert "SECRET" not in proposal.hypothesis


def test_a_dangling_symlink_is_an_entry_too(folder: Path) -> None:
    (folder / "00.py").symlink_to("nowhere")
    assert proposals(folder, 1).files[0].mode == 0o120000


def test_an_executable_bit_is_named(folder: Path) -> None:
    (folder / "01-wide.py").chmod(0o755)
    assert proposals(folder, 1).files == (Named(path="train.py", mode=0o100755),)


def test_a_folder_proposes_all_its_files(folder: Path) -> None:
    made = folder / "00-two"
    (made / "sub").mkdir(parents=True)
    (made / "train.py").write_bytes(b"X = 0\n")
    (made / "prepare.py").write_bytes(b"")
    (made / "sub" / "hook").symlink_to("/bin/sh")
    (folder / "00-two.md").write_text("Two at once\n")
    proposal = proposals(folder, 1)
    assert proposal.patch.train_py == b"X = 0\n"
    assert proposal.hypothesis == "Two at once"
    assert [(named.path, named.mode) for named in proposal.files] == [
        ("prepare.py", 0o100644), ("sub/hook", 0o120000), ("train.py", 0o100644),
    ]  # fmt: skip


def test_a_folder_without_train_py_and_a_pipe_are_no_entries(folder: Path) -> None:
    (folder / "00-notes").mkdir()
    os.mkfifo(folder / "00.py")
    assert proposals(folder, 1).hypothesis == "Twice as wide."


def test_what_is_being_tried_meanwhile_is_not_proposed_again(tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / f"{name}.py").write_text(f"x = {name}\n")
    proposer = ReplayProposer(tmp_path)
    context = context_of(b"x = 0\n")
    first = proposer.propose(context)
    running = replace(closed(1, first.patch.train_py, None, proposer="replay"), outcome=None)
    assert proposer.propose(replace(context, pending=(running,))).patch.train_py == b"x = 2\n"
