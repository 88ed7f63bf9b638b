"""An example of a plug-in: event files for TensorBoard. Needs the extra ``tensorboard``.

The run ``lab`` has a point for each experiment; ``training-00012`` has the curve that experiment 12 claims of itself.
Numbers only: no text of a proposer or a candidate is written.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from daemon.model import Decision, Experiment
from daemon.observe import Claimed, Event, ExperimentClosed, Observer
from daemon.plugins.interface import Place


def build(place: Place) -> Observer:
    """Write below ``folder`` of the options, relative to the lab; below a folder of its own without."""
    given = place.options.get("folder")
    return TensorBoard(place.lab / str(given) if given else place.folder)


class TensorBoard:
    """See :class:`daemon.observe.Observer`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lab = EventFileWriter(str(folder / "lab"))
        self._training: tuple[int, EventFileWriter] | None = None

    def notify(self, event: Event) -> None:
        match event:
            case ExperimentClosed():
                self._end_of_training()
                _write(self._lab, event.experiment.number, _points(event.experiment, event.champion_bpb))
            case Claimed():
                points = {"claimed/loss": event.loss, "claimed/tokens_per_second": event.tokens_per_second}
                _write(self._curve(event.number), event.step, points)
            case _:
                pass

    def close(self) -> None:
        self._end_of_training()
        self._lab.close()

    def _curve(self, number: int) -> EventFileWriter:
        if self._training is None or self._training[0] != number:
            self._end_of_training()
            self._training = number, EventFileWriter(str(self._folder / f"training-{number:05d}"))
        return self._training[1]

    def _end_of_training(self) -> None:
        if self._training is not None:
            self._training[1].close()
            self._training = None


def _points(experiment: Experiment, champion_bpb: float | None) -> Mapping[str, float | None]:
    best = experiment.val_bpb if experiment.decision is Decision.KEEP else champion_bpb
    return {
        "score/val_bpb": experiment.val_bpb,
        "score/champion_val_bpb": best,
        "time/train_seconds": sum(trial.train_wall_seconds for trial in experiment.trials) or None,
        "cost/usd": sum(usage.usd or 0.0 for usage in experiment.usages),
    }


def _write(writer: EventFileWriter, step: int, points: Mapping[str, float | None]) -> None:
    values = [
        Summary.Value(tag=tag, simple_value=value)
        for tag, value in points.items()
        if value is not None and math.isfinite(value)
    ]
    writer.add_event(Record(wall_time=time.time(), step=step, summary=Summary(value=values)))
    writer.flush()
