"""Sends bytes to untrusted web addresses, with the checks of `savs.data.web`.

Only the scheme and the host of an address are ever shown: its path often is a secret. Redirects are not
followed, and what the server answers is not read.
"""

import time
from urllib.parse import urlsplit

from savs.data.web import (
    BUSY,
    Allowed,
    Errand,
    Passing,
    Patience,
    Resolve,
    asked,
    is_public,
    parsed,
    places_of,
)
from savs.errors import UnreadableMedia

PATIENCE = Patience(total=20.0, connect=5.0, read=5.0, pauses=(1.0, 4.0))
MAX_ADDRESS = 2000  # characters


def why_not_postable(address: str) -> str | None:
    """Return why `post` cannot use the address, without quoting it; None if it can."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "its host or port cannot be read"
    if parts.scheme not in ("http", "https") or not host:
        return "not an http:// or https:// address with a host"
    if parts.username is not None or parts.password is not None:
        return "it has a user or a password, which belong into its path or query"
    if len(address) > MAX_ADDRESS or not address.isprintable() or " " in address:
        return f"it has spaces or more than {MAX_ADDRESS} characters"
    return None


def post(
    address: str,
    body: bytes,
    patience: Patience = PATIENCE,
    allowed: Allowed = is_public,
    resolve: Resolve = places_of,
) -> None:
    """Send `body`, JSON, to `address`, which `why_not_postable` accepts. Tries again if the server cannot be
    reached or is busy, as long as `patience` allows.

    allowed  returns whether an IP address may be connected to

    Raises ForbiddenMedia if one of the host's IP addresses may not, or UnreadableMedia.
    """
    deadline = time.monotonic() + patience.total
    errand = Errand(address, 0, patience, allowed, resolve, deadline, body)
    for pause in patience.pauses:
        try:
            _post_once(errand)
            return
        except Passing:
            if pause >= errand.left():
                raise
            time.sleep(pause)
    _post_once(errand)


def _post_once(errand: Errand) -> None:
    answer = asked(errand, parsed(errand, errand.address))
    try:
        status = answer.response.status
    finally:
        answer.close()
    if 200 <= status < 300:
        return
    if status >= 500 or status in BUSY:
        raise Passing(f"{errand.name} answers {status}; try again later")
    if 300 <= status < 400:
        raise UnreadableMedia(f"{errand.name} answers {status}; redirects are not followed: give its target")
    raise UnreadableMedia(f"{errand.name} answers {status}")
