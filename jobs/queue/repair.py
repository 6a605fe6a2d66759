"""Repairs a queue's keys in Redis: removes what savs did not write there.

Redis holds only hints, which the ledger can restore, so whatever cannot be used is removed. Left in place it
would keep a unit, or a job whose counts are wrong, from being finished.
"""

import logging
from collections import Counter

from jobs.queue.board import Board, BoardEntry
from jobs.queue.broker import Broker, lanes

log = logging.getLogger("savs.board")


def repaired_entries(broker: Broker, queue: str) -> tuple[list[BoardEntry], bool]:
    """Return every entry of the queue's board, after repairing it, and whether anything was removed. Not a
    consistent snapshot."""
    board = broker.board(queue)
    hashes, lists = (board.key, board.counts), lanes(queue)
    removed = _remove_wrong_types(broker, dict.fromkeys(hashes, b"hash") | dict.fromkeys(lists, b"list"))
    entries = []
    for field, value in board.fields():
        entry = board.read(field, value)
        if entry is not None:
            entries.append(entry)
        else:
            board.remove(field, value)
            removed = True
    _correct_counts(board, entries)
    return entries, removed


def _remove_wrong_types(broker: Broker, kinds: dict[str, bytes]) -> bool:
    with broker.redis.pipeline(transaction=False) as pipeline:
        for key in kinds:
            pipeline.type(key)
        found = dict(zip(kinds, pipeline.execute(), strict=True))
    wrong = [key for key, kind in kinds.items() if found[key] not in (kind, b"none")]
    for key in wrong:
        log.warning("removed %s, which was not written by savs: its type is %r", key, found[key])
        broker.redis.delete(key)
    return bool(wrong)


def _correct_counts(board: Board, entries: list[BoardEntry]) -> None:
    """Count again the jobs whose count differs from their entries, which change meanwhile."""
    right = Counter(entry.job_id for entry in entries)
    stored = board.stored_counts()
    for job_id in right.keys() | stored.keys():
        if stored.get(job_id) != str(right[job_id]):
            board.recount(job_id)
