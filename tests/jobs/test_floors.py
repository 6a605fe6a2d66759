"""The three floors: imports only point down, and the submitter needs no heavy library to start."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "torchvision", "transformers", "accelerate", "numpy", "PIL", "decord", "safetensors"}


def imports(folder: str, *, at_import_time: bool = False) -> Iterator[tuple[str, str]]:
    """(file, top-level name) of every import below `folder`."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in _running(tree) if at_import_time else ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                yield path.relative_to(ROOT).as_posix(), name.partition(".")[0]


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Statements that run when a module is imported: not those in functions or for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _running(child)


@pytest.mark.parametrize(
    ("folder", "above"),
    [("savs", {"jobs", "workers", "celery", "kombu", "redis"}), ("jobs", {"workers"})],
)
def test_imports_point_down_the_floors(folder: str, above: set[str]) -> None:
    assert [found for found in imports(folder) if found[1] in above] == []


def test_importing_the_submitter_imports_nothing_heavy() -> None:
    light = [found for found in imports("jobs", at_import_time=True) if found[1] in HEAVY]

    assert light == []


def test_the_rule_sees_an_import_where_there_is_one() -> None:
    assert ("savs/demo/train.py", "torch") in set(imports("savs", at_import_time=True))
