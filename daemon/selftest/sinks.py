"""Every place where text from behind the wall comes to people and programs, filled and then looked at."""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from daemon import lab as labs
from daemon import output, plot, results, status
from daemon.ledger import Committed, Ledger, TrialStarted
from daemon.model import Arena, Decision, Experiment, Outcome, Patch, Proposal, TrialResult
from daemon.phases import Value
from daemon.selftest.corpus import Attack
from daemon.selftest.judge import LEAK, NO_EFFECT, REACHED, Seen
from daemon.table import one_line
from daemon.trial import Listener, run_trial
from daemon.workspace import commit_message
from daemon.workspace.git import Git
from policies.interface import Verdict
from sandbox.fake import FakeRun, FakeSandbox
from sandbox.interface import RunStatus, SandboxSpec

# Written down by number, not asked of the sanitiser or of what it asks: controls, zero-width and bidi characters,
# line separators, surrogates, private and tag characters.
MOVING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\ue000-\uf8ff\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
MAX_SINK_CHARACTERS = 2_000_000
ARENA = Arena(
    prepare_sha256="0", manifest_sha256="0", image_contents="0", device="0", torch_version="0", train_seconds=1.0,
    clock="release", sandbox="selftest",
)  # fmt: skip
AT = "2026-01-01T00:00:00.000Z"


@dataclass(frozen=True, slots=True)
class Sink:
    """A name and what it shows."""

    name: str
    text: str


def leak(sinks: Iterator[Sink]) -> str | None:
    """The first sink that shows something which moves a cursor, hides text, or has no end; None is clean."""
    for sink in sinks:
        if len(sink.text) > MAX_SINK_CHARACTERS:
            return f"{sink.name}: {len(sink.text)} characters"
        if found := MOVING.search(sink.text):
            return f"{sink.name}: U+{ord(found[0]):04X}"
    return None


def of_trial(result: TrialResult) -> Iterator[Sink]:
    """What a person or a program sees of one trial."""
    yield from (Sink(name, text) for name, text in asdict(result).items() if isinstance(text, str))
    yield Sink("terminal", _printed(partial(output.trial, result, as_json=False)))
    yield Sink("json", _printed(partial(output.trial, result, as_json=True)))


def _printed(show: Callable[..., None]) -> str:
    text = io.StringIO()
    with redirect_stdout(text):
        show(console=Console(file=text, width=200, force_terminal=False))
    return text.getvalue()


def judged_text(attack: Attack, spec: SandboxSpec) -> Seen:
    """Give the text to everything at once: hypothesis, log, reason; then read all that was written and shown."""
    text: str = ast.literal_eval(attack.program.decode()) + "\x1bx" * (attack.about.pad_bytes // 2)
    with TemporaryDirectory(prefix="autoresearch-selftest-") as folder:
        lab = _new_lab(Path(folder, "lab"))
        before = _fixed(lab)
        trial = run_trial(FakeSandbox(lambda _: FakeRun(val_bpb=1.5, log=text)), spec, Listener())
        failed = run_trial(
            FakeSandbox(lambda _: FakeRun(status=RunStatus.CRASH, reason=text, log=text)), spec, Listener()
        )
        for result, decision in ((trial, Decision.KEEP), (failed, Decision.CRASH)):
            _remember(lab, text, result, decision)
        found = leak(_of_lab(lab)) or _swallowed(lab, text) or leak(of_trial(failed)) or _broken_table(lab)
        if found:
            return Seen(verdict=LEAK, detail=found)
        if _fixed(lab) != before:
            return Seen(verdict=REACHED, detail="the text changed a file of the lab")
    return Seen(verdict=NO_EFFECT)


def _new_lab(folder: Path) -> labs.Lab:
    labs.init(folder, "cpu", "selftest")
    lab = labs.Lab(folder)
    lab.workspace.start_branch()
    return lab


def _fixed(lab: labs.Lab) -> dict[str, bytes]:
    """What no answer may change: settings, policy, program, prepare, git's own configuration and hooks."""
    git = [lab.directory / ".git" / "config", *(lab.directory / ".git" / "hooks").glob("*")]
    files = [path for path in lab.directory.iterdir() if path.is_file() and path.name != "results.tsv"]
    return {str(path): path.read_bytes() for path in (*files, *git) if path.is_file()}


def _remember(lab: labs.Lab, text: str, trial: TrialResult, decision: Decision) -> None:
    tip = lab.workspace.tip()
    patch = Patch(train_py=b"import prepare\n", base_commit=tip)
    with lab.ledger() as ledger:
        experiment = ledger.open(arena=ARENA, base_commit=tip, champion=None, program="")
        history: list[Value] = [
            Proposal(hypothesis=text, patch=patch, proposer="selftest"),
            Verdict(rules=("none",), findings=()),
            TrialStarted(seed=trial.seed),
            trial,
            Outcome(decision=decision, reason=asdict(trial)["reason"] or "it is better"),
        ]
        for value in history:
            experiment = ledger.add(experiment, value)
        message = commit_message(experiment, ledger.head_hash())
        commit = lab.workspace.record(experiment.number, patch, message, AT)
        ledger.close(ledger.add(experiment, Committed(commit=commit)))
        results.write(lab.directory / "results.tsv", ledger.summaries())


def _of_lab(lab: labs.Lab) -> Iterator[Sink]:
    """Every sink of a lab that remembers the text."""
    with lab.ledger() as ledger:
        yield from _of_ledger(ledger)
    yield Sink("results.tsv", (lab.directory / "results.tsv").read_bytes().decode())
    for commit in lab.workspace.recorded().values():
        yield Sink("commit message", Git(lab.directory).text("log", "-1", "--format=%B", commit))
    for as_json in (False, True):
        yield Sink("status", _printed(partial(status.status, lab, as_json=as_json)))
        for number in (0, 1):
            yield Sink("show", _printed(partial(output.show, lab, number, as_json=as_json)))


def _of_ledger(ledger: Ledger) -> Iterator[Sink]:
    experiments: list[Experiment] = [ledger.get(number) for number in (0, 1)]
    yield from (Sink("event line", one_line(experiment, None)) for experiment in experiments)
    yield from (Sink("picture", label) for label in plot.steps(ledger.summaries()).labels)


def _swallowed(lab: labs.Lab, text: str) -> str | None:
    """Square brackets are markup to the terminal's library: what it obeys, it does not show."""
    marked = text[:10]
    if marked.startswith("[") and marked not in _printed(partial(output.show, lab, 0, as_json=False)):
        return "show: markup was obeyed"
    return None


def _broken_table(lab: labs.Lab) -> str | None:
    """results.tsv must stay a table of five columns without formulas, whatever a hypothesis holds."""
    lines = (lab.directory / "results.tsv").read_text().rstrip("\n").split("\n")
    cells = [line.split("\t") for line in lines]
    if len(lines) != 3 or any(len(row) != 5 for row in cells):
        return "results.tsv: a row or column too many"
    if any(cell.startswith(FORMULA) for row in cells[1:] for cell in row):
        return "results.tsv: a formula"
    return None


def judged_submission(attack: Attack) -> Seen:
    """Record it as the workspace does, then look for anything but the bytes of one train.py."""
    with TemporaryDirectory(prefix="autoresearch-selftest-") as folder:
        lab = _new_lab(Path(folder, "lab"))
        before, tip = _fixed(lab), lab.workspace.tip()
        commit = lab.workspace.record(1, Patch(train_py=attack.program, base_commit=tip), attack.about.title, AT)
        git = Git(lab.directory)
        old, new = git.tree(tip), git.tree(commit)
        changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
        if _fixed(lab) != before:
            return Seen(verdict=REACHED, detail="a file of the lab was written")
        if changed - {"train.py"}:
            return Seen(verdict=REACHED, detail=f"the commit changes {sorted(changed)}")
        if new["train.py"].mode != "100644" or lab.workspace.read(commit) != attack.program:
            return Seen(verdict=REACHED, detail=f"train.py has mode {new['train.py'].mode}")
    return Seen(verdict=NO_EFFECT)
