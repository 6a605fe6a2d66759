"""Runs every class of attack and prints what was tried and survived; the last line is JSON.

Usage: python -m tests.attack [SEED]
"""

import json
import secrets
import sys
import time

from tests.attack.media import attack_with_answers, attack_with_media
from tests.attack.queue import (
    attack_boards,
    attack_with_envelopes,
    attack_with_messages,
    attack_with_redis_faults,
)
from tests.attack.tally import Tally
from tests.jobs.cli.damaging import damage_and_run

FAILURES_SHOWN = 10


def attack_commands(seed: int, count: int) -> Tally:
    """Every command of `savs-submit` on damaged workspaces."""
    tried, _, failures = damage_and_run(seed, count)
    return Tally(tried, [str(failure) for failure in failures])


CLASSES = {
    "envelopes": (attack_with_envelopes, 200),
    "messages": (attack_with_messages, 100),
    "boards": (attack_boards, 100),
    "redis_faults": (attack_with_redis_faults, 21),
    "http_answers": (attack_with_answers, 500),
    "media": (attack_with_media, 20_000),
    "commands": (attack_commands, 5_000),
}


def main(seed: int) -> int:
    """Return the exit code: 0 if all were survived."""
    print(f"seed {seed}", flush=True)
    result: dict[str, dict[str, int]] = {}
    for name, (attack, count) in CLASSES.items():
        began = time.monotonic()
        tally = attack(seed, count)
        result[name] = {"tried": tally.tried, "survived": tally.survived}
        print(f"{name}: {tally.survived} of {tally.tried} in {time.monotonic() - began:.0f} s", flush=True)
        for failure in tally.failures[:FAILURES_SHOWN]:
            print(f"  {failure}", flush=True)
    print(json.dumps({"seed": seed, **result}))
    return int(any(one["tried"] != one["survived"] for one in result.values()))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else secrets.randbelow(10**6)))
