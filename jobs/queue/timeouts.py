"""The timeouts of a pool: for missing heartbeats, for shards that hang, and for stopping workers.

All processes of a pool should use the same values: a sweeper applies its own values to the units of other
processes.
"""

from dataclasses import dataclass

from jobs.settings import read_settings
from savs.errors import SettingsError


@dataclass(frozen=True)
class Timeouts:
    """Timeouts in seconds, and the number of attempts.

    touch        between two heartbeats of a running unit
    no_life      without a heartbeat until a unit counts as lost; also how long all workers must have
                 refused a job until its shards are given up
    sweep        between two sweeps
    attempts     attempts at a unit before it is given up
    shard_limit  that a unit may take before its process is killed as hanging
    grace        from SIGTERM to the end of a worker, whatever its shard is doing
    """

    touch: float = 10.0
    no_life: float = 120.0
    sweep: float = 30.0
    attempts: int = 3
    shard_limit: float = 3600.0
    grace: float = 100.0  # spot instances are notified 120 s before they end


def read_timeouts(shard_limit: float | None = None, grace: float | None = None) -> Timeouts:
    """The timeouts in force: options, else `SAVS_…` variables, else `savs.toml`. Raises SettingsError if one
    is unusable, or if they contradict each other."""
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
            f"({times.touch:g} s), otherwise running units are treated as lost"
        )
    if times.shard_limit <= times.touch:
        raise SettingsError(
            f"SAVS_SHARD_TIME_LIMIT ({times.shard_limit:g} s) must be more than SAVS_TOUCH_EVERY "
            f"({times.touch:g} s), since it ends only shards that hang"
        )
    return times
