"""The only user of SQLite: what the lab has done, append-only and hash-chained."""

from daemon.ledger.chain import GENESIS
from daemon.ledger.holdout import Look
from daemon.ledger.ledger import Ledger, utc_now
from daemon.ledger.listing import Listing
from daemon.ledger.projection import summarise
from daemon.ledger.records import MAX_LOG_TAIL
from daemon.ledger.schema import LedgerBroken, LedgerError
from daemon.ledger.totals import Totals
from daemon.model import Summary
from daemon.phases import (
    Abandoned,
    Committed,
    IllegalTransition,
    Interrupted,
    Lent,
    Looked,
    Quarantined,
    TrialStarted,
    Voided,
)

__all__ = [
    "GENESIS",
    "MAX_LOG_TAIL",
    "Abandoned",
    "Committed",
    "IllegalTransition",
    "Interrupted",
    "Ledger",
    "LedgerBroken",
    "LedgerError",
    "Lent",
    "Listing",
    "Look",
    "Looked",
    "Quarantined",
    "Summary",
    "Totals",
    "TrialStarted",
    "Voided",
    "summarise",
    "utc_now",
]
