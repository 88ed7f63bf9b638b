"""Fuzz the referee: mutants of real sealed models, judged by the real referee, checked against an oracle.

    python tests/guest/fuzz_run.py 20000 [--seed S] [--start I]

A mutant is named by the seed and its number; a run is taken up again with --seed and --start. Each one is judged in a
process of its own in which, once everything is loaded, opening any file but the referee's own, importing, compiling,
executing, sockets and the like end the process. A canary that no one may touch is watched by the kernel (inotify).
Where the referee says ok, its score is compared with that of `fuzz_oracle`.
"""

import argparse
import collections
import contextlib
import ctypes
import functools
import gc
import json
import os
import random
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

import fuzz_mutate
import fuzz_oracle
import numpy as np
import torch
import zoo
from torch import nn

from sandbox.guest import referee, score, sealed, worker
from sandbox.guest.errors import Invalid

# Every position of every row is cut once (SEQ passes), so that what looks ahead anywhere is met with certainty.
BATCH, SEQ, VOCAB, ROWS = 6, 8, zoo.VOCAB, 8
SECONDS, MEMORY_MIB, MARGIN_SECONDS = 10, 2048, 30
CHUNK, BREACH = 100, 97

FORBIDDEN_EVENTS = ("exec", "compile", "import", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess",
                    "socket", "ctypes", "pickle", "marshal", "code.", "os.listdir", "os.remove", "os.rename",
                    "os.mkdir", "os.chmod", "os.link", "os.symlink", "os.truncate", "shutil",
                    "urllib", "glob", "mmap")  # fmt: skip


def builders():
    """Small models of many kinds."""
    gpt = functools.partial(zoo.GPT, layers=1)
    return {
        "gpt": gpt, "tied": lambda: gpt(tied=True), "bf16": lambda: gpt().to(torch.bfloat16),
        "autocast": lambda: gpt(autocast=True), "manual": lambda: gpt(flavour="manual"),
        "complex": lambda: gpt(flavour="complex"), "topk": lambda: gpt(zoo.TopKMoE()),
        "masked": lambda: gpt(zoo.MaskedMoE()), "conv": lambda: gpt(zoo.CausalConv()),
        "cumsum": lambda: gpt(zoo.RunningMean()), "gru": lambda: gpt(zoo.Recurrent(nn.GRU)), "plain": zoo.Plain,
    }  # fmt: skip


def seal_all(names=None):
    """name -> (model.json, model.safetensors)."""
    found, every = {}, builders()
    with tempfile.TemporaryDirectory() as folder:
        for name, build in every.items() if names is None else [(n, every[n]) for n in names]:
            torch.manual_seed(0)
            capture = sealed.capture(build(), batch_size=BATCH, seq_len=SEQ, vocab_size=VOCAB)
            sealed.write(capture, Path(folder))
            files = sealed.read(Path(folder))
            found[name] = bytes(files.graph), bytes(files.weights)
    return found


def sealed_once():
    """Seal, or take what an earlier run of the same guest sealed: it takes longer than judging a hundred mutants."""
    cache = Path("build/fuzz") / f"models-{referee.own_sha256()[:12]}.json"
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(
            json.dumps({n: [t.decode("latin-1"), w.decode("latin-1")] for n, (t, w) in seal_all().items()})
        )
    return {n: (t.encode("latin-1"), w.encode("latin-1")) for n, (t, w) in json.loads(cache.read_text()).items()}


def load_everything():
    """Import before it is forbidden: the table, and what torch loads to print a tensor in a message."""
    score.ops.table()
    with contextlib.suppress(RuntimeError):
        torch.ops.aten.cat.default([torch.zeros(2), 3])


class Arena:
    """A directory with data, a place for the mutant, a watched canary, and the judge."""

    def __init__(self, folder: Path) -> None:
        self.out, self.data = folder / "out", folder / "data"
        for path in (self.out, self.data / "common", self.data / "val", Path(fuzz_mutate.CANARY).parent):
            path.mkdir(parents=True, exist_ok=True)
        self.rows = np.random.default_rng(2).integers(0, VOCAB, (ROWS, SEQ + 1)).astype("<u2")
        self.token_bytes = (np.arange(VOCAB) % 5).astype("<u2")
        self.rows.tofile(self.data / "val" / "rows.bin")
        self.token_bytes.tofile(self.data / "common" / "token_bytes.bin")
        self.options = argparse.Namespace(
            sealed=self.out, data=self.data, split="val", seq_len=SEQ, vocab_size=VOCAB, audit_rows=SEQ * ROWS,
            audit_level="normal", max_seconds=SECONDS, memory_mib=MEMORY_MIB, keep=None, keep_mib=1, device="cpu",
            confirm_rows=0, confirm_below=None,
        )  # fmt: skip
        if not Path(fuzz_mutate.CANARY).exists():  # another run may be watching it
            Path(fuzz_mutate.CANARY).write_bytes(bytes(4096))
        libc = ctypes.CDLL("libc.so.6", use_errno=True)
        self._watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._watch < 0 or libc.inotify_add_watch(self._watch, fuzz_mutate.CANARY.encode(), 0xFFF) < 0:
            raise OSError("the kernel does not watch the canary")

    def canary_touched(self) -> bool:
        """Whether anybody, by any road, opened the canary since the last question."""
        try:
            return bool(os.read(self._watch, 65536))
        except BlockingIOError:
            return False

    def judge(self, mutants) -> Iterator[dict]:
        """Yield the referee's verdict on each (text, weights), or what went wrong: status crash, hang or breach."""
        mutants = list(mutants)
        while mutants:
            for answer in _forked(functools.partial(self._verdicts, mutants)):
                if self.canary_touched():
                    answer = {"status": "breach", "reason": "the canary was touched"}
                mutants = mutants[1:]
                yield answer

    def _verdicts(self, mutants, writer: int) -> None:
        paths = self.out / "model.json", self.out / "model.safetensors"
        ours = {str(p) for p in (*paths, self.data / "val" / "rows.bin", self.data / "common" / "token_bytes.bin",
                                 "/proc/self/oom_score_adj", "/proc/self/statm", os.devnull)}  # fmt: skip
        gc.freeze()  # a collection in every fork would copy every page
        gc.disable()
        sys.addaudithook(functools.partial(_guard, ours, writer))
        for mutant in mutants:
            for path, data in zip(paths, mutant, strict=True):
                path.write_bytes(data)
            _say(writer, referee.judge(self.options)[0])


def _say(writer, verdict):
    os.write(writer, json.dumps(verdict).encode()[:3500] + b"\n")


def _guard(ours, writer, event, arguments):
    opens = event == "open" and not isinstance(arguments[0], int)  # an integer is a descriptor: nothing is opened
    if (opens and str(arguments[0]) not in ours) or event.startswith(FORBIDDEN_EVENTS):
        _say(writer, {"status": "breach", "reason": f"{event} {str(arguments)[:200]}"})
        os._exit(BREACH)


def _forked(work) -> Iterator[dict]:
    """Yield what a forked worker says, a line a mutant; where it falls silent, one verdict of ours, and the end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            work(writer)
        finally:
            os._exit(0)
    os.close(writer)
    text, late, breach = b"", True, None
    while select.select([reader], [], [], SECONDS + MARGIN_SECONDS)[0]:
        part = os.read(reader, 65536)
        if not part:
            late = False
            break
        *lines, text = (text + part).split(b"\n")
        for said in map(json.loads, lines):
            if said["status"] == "breach":  # by a child of the judge, who goes on and says what he makes of it
                breach = said
            else:
                yield breach or said
                breach = None
    if late:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(reader)
    if breach:
        yield breach
    elif late or status != 0:
        yield {"status": "hang" if late else "crash", "reason": f"the judge ended with status {status}"}


def true_bpb(arena, text, weights):
    """Return the isolated score, or None where the oracle itself cannot run the graph."""

    def work() -> bytes:
        torch.set_num_threads(1)
        document, tensors = fuzz_oracle.load(text, weights)
        return struct.pack("<d", fuzz_oracle.isolated_bpb(document, tensors, arena.rows.astype(np.int64),
                                                          arena.token_bytes))  # fmt: skip

    try:
        return struct.unpack("<d", worker.in_child(work, "the oracle", 8, worker.bounds(60, 4 * MEMORY_MIB)))[0]
    except Invalid:
        return None


def classify(arena, verdict, text, weights) -> tuple[str, str]:
    """Return (class, detail) of a mutant's verdict. Good classes: invalid, ok. All others are findings."""
    if verdict["status"] == "invalid":
        return ("invalid", verdict["reason"]) if verdict["reason"] else ("silent", "no reason")
    if verdict["status"] != "ok":
        return verdict["status"], verdict["reason"]
    truth = true_bpb(arena, text, weights)
    if truth is None:
        return "untold", f"the oracle cannot run what scored {verdict['val_bpb']}"
    slack = verdict["audit"]["slack_bpb"] + 1e-4 + 1e-5 * abs(truth)  # 1e30 bits are a true score, in float32
    if abs(truth - verdict["val_bpb"]) <= slack:
        return "ok", ""
    kind = "forgery" if verdict["val_bpb"] < truth else "worse"
    return kind, f"scored {verdict['val_bpb']:.6f}, alone {truth:.6f}, slack {slack:.6f}, audit {verdict['audit']}"


def check(arena, text, weights) -> tuple[str, str]:
    """Judge one mutant."""
    (verdict,) = arena.judge([(text, weights)])
    return classify(arena, verdict, text, weights)


def save(folder: Path, number: int, kind: str, text: bytes, weights: bytes) -> None:
    """Write a finding down, to become a test."""
    place = folder / f"{number}-{kind}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "model.json").write_bytes(text)
    (place / "model.safetensors").write_bytes(weights)


def main() -> int:
    """Run; exit 1 if anything but invalid and ok came out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # the referee takes all the cores it may
    print(f"seed {options.seed}; again from N with: --seed {options.seed} --start N", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm"))
    try:
        return run(Arena(folder), options)
    finally:
        shutil.rmtree(folder)


def run(arena, options) -> int:
    """Judge `count` mutants and print the summary."""
    load_everything()
    models, counts, began = sealed_once(), collections.Counter(), time.monotonic()
    for name, (text, weights) in models.items():
        fuzz_oracle.logits(*fuzz_oracle.load(text, weights), torch.zeros(BATCH, SEQ, dtype=torch.int64))  # warm kernels
        if (found := check(arena, text, weights))[0] != "ok":
            raise SystemExit(f"the unchanged model {name} does not pass: {found}")
    for first in range(options.start, options.start + options.count, CHUNK):
        numbers = range(first, min(first + CHUNK, options.start + options.count))
        chunk = [fuzz_mutate.mutant(random.Random(f"{options.seed}:{n}"), models) for n in numbers]
        verdicts = arena.judge([(text, weights) for _, text, weights in chunk])
        for number, (what, text, weights), verdict in zip(numbers, chunk, verdicts, strict=True):
            kind, detail = classify(arena, verdict, text, weights)
            counts[kind] += 1
            if kind not in ("invalid", "ok"):
                print(f"FINDING {kind} {number} {what}: {detail}", flush=True)
                save(options.findings, number, kind, text, weights)
        print(f"{numbers.stop - options.start} in {time.monotonic() - began:.0f} s: {dict(counts)}", flush=True)
    bad = sum(n for kind, n in counts.items() if kind not in ("invalid", "ok"))
    print(f"{options.count} mutants, seed {options.seed}, {time.monotonic() - began:.0f} s: {dict(counts)}; "
          f"crashes without a verdict {counts['crash'] + counts['hang']}, breaches {counts['breach']}, "
          f"faults {counts['fault']}, forgeries {counts['forgery']}")  # fmt: skip
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
