"""Every block of every page runs, from the page's top to its bottom."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from jobs.records.row import ResultRow
from jobs.settings import read_settings
from savs.data.rows import Line
from savs.data.samples import Reading, parse_line
from savs.storage import s3_client
from tests.docs.blocks import PAGES, Block, blocks_of, commands_of
from tests.docs.outputs import missing_line
from tests.docs.shell import Shell
from tests.docs.tables import NOT_RUN, PREPARED, SUBSTITUTIONS, substituted, why_not_run
from tests.pool.servers import free_port

SHELLS = ("sh", "bash")
RUN = (*SHELLS, "python", "json", "toml", "yaml", "text")
DRAWN = ("", "text")  # diagrams and trees, and output that follows no command
WITH_BLOCKS = [page for page in PAGES if any(b.language not in DRAWN for b in blocks_of(page))]

pytestmark = [pytest.mark.docs, pytest.mark.timeout(450)]


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stock") / "pictures"


@pytest.fixture
def storage(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The environment in which s3://bucket is an empty bucket."""
    environment = {
        "SAVS_S3_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    s3_client.cache_clear()
    s3_client(s3_server).create_bucket(Bucket="bucket")
    yield environment
    for entry in s3_client(s3_server).list_objects_v2(Bucket="bucket").get("Contents", []):
        s3_client(s3_server).delete_object(Bucket="bucket", Key=entry["Key"])
    s3_client(s3_server).delete_bucket(Bucket="bucket")
    s3_client.cache_clear()


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_every_block_of_the_page_runs(
    page: str, tmp_path: Path, stock: Path, storage: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    PREPARED.get(page, lambda *_: None)(folder, stock)
    monkeypatch.chdir(folder)
    shell, port, printed = Shell(folder, tmp_path / "private", storage), free_port(), None
    try:
        for block in blocks_of(page):
            if block.language in SHELLS:
                printed = run_commands(block, shell, port)
            elif block.language == "python":
                printed = run_python(block, shell, port)
            elif block.language == "text":
                if printed is not None:
                    compare(block, printed)
            elif block.language and why_not_run(page, block.text) is None:
                check_data(block)
    finally:
        shell.close()


def run_commands(block: Block, shell: Shell, port: int) -> str:
    """What the block's commands have printed, one after another."""
    printed = []
    for command in commands_of(block):
        if why_not_run(command.page, command.text) is not None:
            continue
        code, output = shell.run(substituted(command.text, port))
        assert code == 0, failed(command.page, command.line, command.text, f"exit code {code}", output, shell)
        printed.append(output)
    return "".join(printed)


def run_python(block: Block, shell: Shell, port: int) -> str | None:
    if why_not_run(block.page, block.text) is not None:
        return None
    script = shell.private / f"{block.line}.py"
    script.write_text(substituted(block.text, port))
    code, output = shell.run(f"python {script}")
    assert code == 0, failed(block.page, block.line, block.text, f"exit code {code}", output, shell)
    return output


def failed(page: str, line: int, text: str, what: str, output: str, shell: Shell) -> str:
    return f"{page}:{line}: {what}\n$ {text}\n{output}\n\nall commands so far:\n{shell.logs()}"


def compare(block: Block, printed: str) -> None:
    line = missing_line(block.text, printed)
    assert line is None, (
        f"{block.page}:{block.line}: the page shows {line!r}, but what is printed is\n{printed}"
    )


def check_data(block: Block) -> None:
    """Reads a block of data with the code that reads a user's."""
    where = f"{block.page}:{block.line}"
    try:
        if block.language == "json":
            check_json(block.text)
        elif block.language == "yaml":
            list(yaml.safe_load_all(block.text))
        elif block.language == "toml":
            tomllib.loads(block.text)
            Path("savs.toml").write_text(block.text)
            read_settings()
        else:
            pytest.fail(f"{where}: nothing runs blocks of {block.language!r}; use one of {', '.join(RUN)}")
    except Exception as error:
        raise AssertionError(f"{where}: {type(error).__name__}: {error}\n{block.text}") from error


def check_json(text: str) -> None:
    """One value, or a row per line: of results, or of a manifest."""
    try:
        values = [json.loads(text)]
    except ValueError:
        values = [json.loads(line) for line in text.splitlines() if line.strip()]
    for value in values:
        if not isinstance(value, dict):
            continue
        if {"index", "task"} <= value.keys():
            ResultRow.model_validate(value)
        elif {"image", "question"} & value.keys():
            line = json.dumps(value).encode()
            parse_line(Line(0, 1, 0, len(line), line), Reading("."), labelled=False)


def test_every_entry_of_the_tables_is_used() -> None:
    shells = [block for page in PAGES for block in blocks_of(page) if block.language in SHELLS]
    commands = [(one.page, one.text) for block in shells for one in commands_of(block)]
    texts = [*commands, *((b.page, b.text) for page in PAGES for b in blocks_of(page))]
    for page, begin in NOT_RUN:
        assert any(one == page and text.startswith(begin) for one, text in texts), (page, begin)
    for pattern in SUBSTITUTIONS:
        assert any(substituted(text, 1) != text for _, text in texts), pattern
    assert set(PREPARED) <= set(WITH_BLOCKS)
