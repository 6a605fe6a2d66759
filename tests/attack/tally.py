"""How many inputs of a class were tried and survived."""

from dataclasses import dataclass, field


@dataclass
class Tally:
    """failures  what went wrong, of those that did not survive"""

    tried: int = 0
    failures: list[str] = field(default_factory=list)

    def count(self, failure: str | None) -> None:
        self.tried += 1
        if failure is not None:
            self.failures.append(failure)

    @property
    def survived(self) -> int:
        return self.tried - len(self.failures)
