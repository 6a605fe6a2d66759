"""Opens media inside of containers: members of tars, and cells of tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from savs.data.containers.contained import ContainedPath, Member


@contextmanager
def open_contained(address: ContainedPath) -> Iterator[IO[bytes]]:
    """Yield the bytes of a medium. Raises MissingMedia if its container does not exist or has changed,
    ForbiddenMedia if a link leads out of the folders that may be read, and UnreadableMedia."""
    if isinstance(address.place, Member):
        from savs.data.containers.tar_member import open_member as open_place
    else:
        from savs.data.containers.table_cell import open_cell as open_place
    with open_place(address) as stream:
        yield stream
