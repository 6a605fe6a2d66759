"""How patient a pool is: with workers that say nothing, with shards that hang, with itself when it stops.

All of a pool's processes are to have the same ones: a sweeper decides by its own whether another process
is dead.
"""

from dataclasses import dataclass

from jobs.settings import read_settings
from savs.errors import SettingsError


@dataclass(frozen=True)
class Timeouts:
    """Seconds, but for `attempts`.

    touch        between two signs of life of a unit that runs
    no_life      without a sign of life until a unit counts as lost; also how long all workers must have
                 refused a job until its shards are given up
    sweep        between two sweeps
    attempts     runs of a unit before it is given up
    shard_limit  that a unit may take before its process is killed, because it hangs
    grace        between SIGTERM and the end of a worker, whatever its shard does
    """

    touch: float = 10.0
    no_life: float = 120.0
    sweep: float = 30.0
    attempts: int = 3
    shard_limit: float = 3600.0
    grace: float = 100.0  # spot instances are told 120 s before


def read_timeouts(shard_limit: float | None = None, grace: float | None = None) -> Timeouts:
    """The times in force: options, else `SAVS_…` variables, else `savs.toml`. Raises SettingsError where
    one is unusable, or they do not fit each other."""
    given = read_settings(shard_time_limit=shard_limit, grace_time=grace)
    found = {
        "touch": given.touch_every,
        "no_life": given.no_life_limit,
        "sweep": given.sweep_every,
        "attempts": given.attempts,
        "shard_limit": given.shard_time_limit,
        "grace": given.grace_time,
    }
    times = Timeouts(**{name: value for name, value in found.items() if value is not None})  # type: ignore[arg-type]
    if times.no_life <= 3 * times.touch:
        raise SettingsError(
            f"SAVS_NO_LIFE_LIMIT ({times.no_life:g} s) must be more than three times SAVS_TOUCH_EVERY "
            f"({times.touch:g} s), or workers that live are taken for dead"
        )
    if times.shard_limit <= times.touch:
        raise SettingsError(
            f"SAVS_SHARD_TIME_LIMIT ({times.shard_limit:g} s) must be more than SAVS_TOUCH_EVERY "
            f"({times.touch:g} s): it is for shards that hang"
        )
    return times
