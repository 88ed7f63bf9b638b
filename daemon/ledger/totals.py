"""What a lab has counted in all its time, over every arena: added up by the database, without replaying anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from daemon.model import Decision, TrialStatus

_DECISIONS = "SELECT decision, count(*) FROM experiments WHERE phase = 'closed' GROUP BY decision"
_TRIALS = "SELECT json_extract(payload, '$.status'), count(*) FROM events WHERE kind = 'trial-result' GROUP BY 1"
# What is decided and not closed yet is counted when it closes.
_REFUSALS = """
SELECT json_extract(finding.value, '$.rule'), count(DISTINCT events.experiment)
FROM events JOIN experiments ON number = experiment, json_each(payload, '$.findings') AS finding
WHERE kind = 'checked' AND experiments.phase = 'closed' GROUP BY 1
"""
_USAGE = """
SELECT total(json_extract(payload, '$.input_tokens')), total(json_extract(payload, '$.cached_tokens')),
       total(json_extract(payload, '$.cache_write_tokens')), total(json_extract(payload, '$.output_tokens')),
       total(json_extract(payload, '$.usd'))
FROM events WHERE kind = 'usage'
"""

# As the loop counts them: when an experiment closes, or is withheld.
_SECONDS = """
SELECT total(total_seconds), total(replicate_seconds) FROM experiments WHERE phase IN ('closed', 'quarantined')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Closed experiments by decision and by the rules that refused them, trials by status, tokens and US dollars.

    An experiment that several rules refuse counts once for each. ``usd`` is what is known of the prices. Seconds are of
    trials, those of replicates among them.
    """

    decisions: Mapping[Decision, int]
    trials: Mapping[TrialStatus, int]
    refusals: Mapping[str, int]
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    usd: float
    trial_seconds: float
    replicate_seconds: float


def read(db: sqlite3.Connection) -> Totals:
    """Add it up: two passes over the events."""
    tokens = db.execute(_USAGE).fetchone()
    seconds = db.execute(_SECONDS).fetchone()
    return Totals(
        decisions={Decision(name): count for name, count in db.execute(_DECISIONS)},
        trials={TrialStatus(name): count for name, count in db.execute(_TRIALS)},
        refusals=dict(db.execute(_REFUSALS)),
        input_tokens=int(tokens[0]),
        cached_tokens=int(tokens[1]),
        cache_write_tokens=int(tokens[2]),
        output_tokens=int(tokens[3]),
        usd=tokens[4],
        trial_seconds=seconds[0],
        replicate_seconds=seconds[1],
    )
