"""A run that tidies up after itself: models that nobody needs, then now and then everything that piles up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from daemon import held, models, retention
from daemon.lab import Lab
from daemon.ledger import Ledger
from daemon.model import Decision, OurFault, UserError
from daemon.observe import Event, ExperimentClosed
from daemon.text import clean

log = logging.getLogger(__name__)


class Tidying:
    """Watches experiments end. Whatever goes wrong here is said once and costs no experiment."""

    def __init__(self, lab: Lab, ledger: Ledger, *, now: Callable[[], float] = time.monotonic) -> None:
        self._lab = lab
        self._ledger = ledger
        self._now = now
        self._next = now()

    def notify(self, event: Event) -> None:
        if not isinstance(event, ExperimentClosed):
            return
        self._tidy_models(event)
        every = self._lab.settings.retention.every_seconds
        if every and self._now() >= self._next:
            self._next = self._now() + every
            tidy(self._lab)

    def _tidy_models(self, event: ExperimentClosed) -> None:
        kept = models.of_lab(self._lab.state)
        if event.experiment.decision is not Decision.KEEP:
            kept.drop(event.experiment.number)
        elif len(kept.numbers()) > self._lab.settings.retention.models:
            champions = models.worth_keeping(self._ledger.summaries())
            for number in kept.surplus(champions, self._lab.settings.retention.models):
                kept.drop(number)


def tidy(lab: Lab) -> None:
    """Remove what may go while a run goes on, and write down what the lab holds."""
    try:
        done = retention.collect(lab, busy=True)
        measure(lab)
    except (OSError, OurFault, UserError) as error:
        log.warning("could not tidy up: %s", clean(str(error), 300))
        return
    for note in done.notes:
        log.warning("while tidying up: %s", clean(note, 300))
    if done.items:
        log.info("tidied up: %d things, %d MiB", len(done.items), done.size_bytes >> 20)


def measure(lab: Lab) -> None:
    """Write down what the lab holds, for whoever asks soon.

    Raises:
        OSError: it cannot be written down.
    """
    held.write(lab.state, retention.disk_use(lab))
