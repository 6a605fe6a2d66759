"""The page: everything in one HTML file, which fetches nothing.

Texts come from datasets and may be hostile. Jinja escapes those in the markup; what the script needs is JSON
inside a data element, with `<` escaped, and the script sets it as text. A content security policy allows only
the page's own scripts, by their hashes, and no address.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jobs.report.charts.chart import Chart
from jobs.report.texts import shorten

TEMPLATES = Path(__file__).parent / "templates"


def render_page(context: Mapping[str, Any], charts: Sequence[Chart], data: Mapping[str, Any]) -> bytes:
    """Return the page in UTF-8.

    context  of `templates/report.html`
    data     for `templates/report.js`; the specs of `charts` are added
    """
    scripts = [_library(), (TEMPLATES / "report.js").read_text(encoding="utf-8")]
    page: str = (
        _environment()
        .get_template("report.html")
        .render(
            **context,
            version=version("savs"),
            css=_safe((TEMPLATES / "report.css").read_text(encoding="utf-8")),
            scripts=[_safe(script) for script in scripts],
            hashes=_safe(" ".join(f"'sha256-{_sha256(script)}'" for script in scripts)),
            data=_safe(_json({**data, "charts": {one.name: one.spec for one in charts}})),
        )
    )
    return page.encode("utf-8", "backslashreplace")  # half a character, as labels from JSON may have


def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    filters: dict[str, Any] = {"number": _number, "rate": _rate, "signed": _signed, "short": shorten}
    found.filters |= filters
    return found


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704  # only for texts of savs itself, and for `_json`


def _json(value: Any) -> str:
    """Return JSON that a data element may hold: no `<` can end it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


@cache
def _library() -> str:
    """Return Vega, Vega-Lite and vega-embed as one script."""
    import altair
    import vl_convert

    wanted = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    script: str = vl_convert.javascript_bundle(None, vl_version=wanted)  # type: ignore[arg-type]
    return script.replace("</script", "<\\/script")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _number(value: Any) -> str:
    """Return a cell of a table."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else shorten(str(value))


def _rate(value: float) -> str:
    return f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
