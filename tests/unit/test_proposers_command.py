"""The command proposer with real commands."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from proposer_conformance import ProposerConformance, context_of

from daemon.model import UserError
from daemon.proposers.command import CommandProposer, build
from daemon.proposers.interface import Context, ProposalFailed, Proposer
from policies.interface import Named

BASE = b"LR = 1\n"


def proposer(tmp_path: Path, program: str, **options: object) -> CommandProposer:
    (tmp_path / "prepare.py").write_text("MAX_SEQ_LEN = 256\n")
    return build({"lab": str(tmp_path), "command": [sys.executable, "-c", program], **options})


DOUBLE = (
    "from pathlib import Path; p = Path('train.py'); text = p.read_text().replace('1', '2'); "
    "p.write_text(text); print('twice the rate')"
)


class TestConformance(ProposerConformance):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path

    def proposer(self) -> Proposer:
        return proposer(self.tmp_path, DOUBLE)

    def context(self) -> Context:
        return context_of(BASE)


def test_takes_the_file_and_the_last_line(tmp_path: Path) -> None:
    proposal = proposer(tmp_path, DOUBLE).propose(context_of(BASE))
    assert proposal.patch.train_py == b"LR = 2\n"
    assert proposal.hypothesis == "twice the rate"
    assert proposal.files == (Named(path="train.py", mode=0o100644),)


def test_a_hypothesis_may_be_written_to_a_file(tmp_path: Path) -> None:
    program = DOUBLE + "; Path('hypothesis.txt').write_text('two\\nlines \\x1b[31m')"
    assert proposer(tmp_path, program).propose(context_of(BASE)).hypothesis == "two lines \\x1b[31m"


def test_it_sees_the_brief_and_the_data_contract(tmp_path: Path) -> None:
    program = DOUBLE + "; print(Path('program.md').read_text(), Path('prepare.py').read_text())"
    assert proposer(tmp_path, program).propose(context_of(BASE)).hypothesis == "be bold MAX_SEQ_LEN = 256"


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("pass", "as it was"),
        ("import os; os.unlink('train.py')", "no readable train.py"),
        ("import os; os.unlink('train.py'); os.mkdir('train.py')", "no file"),
        ("import sys; sys.exit('out of \\x1b[31mideas')", r"exited with 1: out of \\x1b"),
    ],
)
def test_what_gives_no_proposal_says_why(tmp_path: Path, program: str, why: str) -> None:
    with pytest.raises(ProposalFailed, match=why):
        proposer(tmp_path, program).propose(context_of(BASE))


def test_other_files_it_changed_are_named_for_the_policies(tmp_path: Path) -> None:
    program = DOUBLE + "; Path('prepare.py').write_text('TIME_BUDGET = 9999'); Path('notes.txt').write_text('mine')"
    proposal = proposer(tmp_path, program).propose(context_of(BASE))
    assert [named.path for named in proposal.files] == ["train.py", "prepare.py"]
    assert (tmp_path / "prepare.py").read_text() == "MAX_SEQ_LEN = 256\n"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    program = "import os; os.unlink('train.py'); os.symlink('/etc/passwd', 'train.py')"
    proposal = proposer(tmp_path, program).propose(context_of(BASE))
    assert proposal.files[0].mode == 0o120000
    assert proposal.patch.train_py == b"/etc/passwd"


def test_one_that_takes_too_long_is_killed_with_all_it_started(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    program = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', "
        f"\"import time; time.sleep(3); open('{alive}', 'w')\"]); time.sleep(60)"
    )
    began = time.monotonic()
    with pytest.raises(ProposalFailed, match="more than 1 s"):
        proposer(tmp_path, program, timeout_seconds=1.0).propose(context_of(BASE))
    assert time.monotonic() - began < 30
    time.sleep(3.5)
    assert not alive.exists()


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not to be found"):
        build({"lab": str(tmp_path), "command": ["no-such-agent"]})


def test_the_scratch_folder_is_gone_afterwards(tmp_path: Path) -> None:
    program = DOUBLE + "; print(Path.cwd())"
    assert not Path(proposer(tmp_path, program).propose(context_of(BASE)).hypothesis).exists()
