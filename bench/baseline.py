"""How well the default train.py does and how much that varies: val_bpb over several seeds, by hand, no container.

    python prepare.py --sample
    python bench/baseline.py --python .venv-train/bin/python --seconds 20 --seeds 5 --cores 0

Runs one after another, pinned to the given cores. Leave the machine alone meanwhile: a busy core is worth more
than most ideas. `sd` is the standard deviation over seeds; `sd at equal steps` is what is left of it once a
straight line in ln(steps) is taken out, that is, without the part due to the machine being faster or slower.
"""

import argparse
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("seed", "val_bpb", "steps", "tok/s", "train s", "total s", "MiB")
FIRST_SEED = 1337


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, default=ROOT / "train.py", help="the file to run")
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--profile", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--data", type=Path, help="prepared data (default: where prepare.py puts it)")
    parser.add_argument("--seconds", type=float, default=20.0, help="training budget of one run")
    parser.add_argument("--seeds", type=int, default=5, help="number of runs")
    parser.add_argument("--cores", default="0", help="cores to pin to, such as 0 or 0,1; one thread on each")
    parser.add_argument("--max-steps", type=int, default=0, help="stop after so many steps, not by the clock")
    return parser.parse_args()


def environment(options: argparse.Namespace, seed: int) -> dict[str, str]:
    values = {
        "AUTORESEARCH_PROFILE": options.profile,
        "AUTORESEARCH_SEED": str(seed),
        "AUTORESEARCH_TRAIN_SECONDS": str(options.seconds),
        "AUTORESEARCH_MAX_STEPS": str(options.max_steps),
        "OMP_NUM_THREADS": str(len(options.cores.split(","))),
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads fall off a cliff when a core is busy elsewhere
        "PYTHONPATH": str(ROOT),  # prepare.py, for a train.py that lies elsewhere
    }
    if options.data:
        values["AUTORESEARCH_DATA"] = str(options.data)
    return os.environ | values


def run(options: argparse.Namespace, seed: int) -> dict[str, float]:
    """One run's figures by name. Raises: SystemExit with the end of its output if it fails."""
    command = [options.python, str(options.train)]
    finished = subprocess.run(command, env=environment(options, seed), capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise SystemExit(f"seed {seed} failed:\n{(finished.stdout + finished.stderr)[-2000:]}")
    lines = finished.stdout.rpartition("\n---\n")[2].splitlines()
    return {name: float(value) for name, value in (line.split(": ") for line in lines)}


def row(figures: dict[str, float]) -> tuple[str, ...]:
    speed = 1e6 * figures["total_tokens_M"] / figures["training_seconds"]
    return (
        f"{figures['seed']:.0f}",
        f"{figures['val_bpb']:.4f}",
        f"{figures['num_steps']:.0f}",
        f"{speed:,.0f}",
        f"{figures['training_seconds']:.1f}",
        f"{figures['total_seconds']:.1f}",
        f"{figures['peak_vram_mb']:.0f}",
    )


def sd_at_equal_steps(steps: list[float], scores: list[float]) -> float:
    """Standard deviation around a least-squares line in ln(steps); plain where all steps are the same."""
    logs = [math.log(count) for count in steps]
    if len(scores) < 3:
        return math.nan
    if len(set(logs)) == 1:
        return statistics.stdev(scores)
    slope, intercept = statistics.linear_regression(logs, scores)
    residuals = [score - slope * log - intercept for log, score in zip(logs, scores, strict=True)]
    return math.sqrt(sum(r * r for r in residuals) / (len(scores) - 2))


def main() -> None:
    options = arguments()
    os.sched_setaffinity(0, {int(core) for core in options.cores.split(",")})  # the runs inherit it
    print(f"cores {options.cores}, {options.seconds:g} s a run, load before the start {os.getloadavg()[0]:.2f}")
    print("".join(f"{name:>10}" for name in COLUMNS), flush=True)
    runs = []
    for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
        runs.append(run(options, seed))
        print("".join(f"{cell:>10}" for cell in row(runs[-1])), flush=True)
    scores, steps = [r["val_bpb"] for r in runs], [r["num_steps"] for r in runs]
    spread = statistics.stdev(scores) if len(scores) > 1 else math.nan
    print(f"mean {statistics.mean(scores):.4f}, sd {spread:.4f}, sd at equal steps", end=" ")
    print(f"{sd_at_equal_steps(steps, scores):.4f}, best {min(scores):.4f}, worst {max(scores):.4f}")


if __name__ == "__main__":
    main()
