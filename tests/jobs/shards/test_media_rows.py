"""One odd file is one row: with a note, or with an error that came in time."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.jobs.conftest import (
    Corpus,
    read_jsonl,
    run_arguments,
    savs_submit,
    started,
    wait_until,
    write_jsonl,
)
from tests.savs.data.video import clips

HANGING_AV = "import time\ntime.sleep(3600)\n"  # in PyAV's place: whoever opens a video waits


def results(workspace: Path) -> list[dict[str, Any]]:
    out = workspace / "rows.jsonl"
    assert savs_submit("results", "shapes", "--workspace", workspace, "--out", out).exit_code == 0
    return read_jsonl(out)


@pytest.fixture
def hanging_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hanging").mkdir()
    (tmp_path / "hanging" / "av.py").write_text(HANGING_AV)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hanging"))


def test_a_jpeg_without_its_end_marker_has_a_label_and_a_note(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given a picture that was cut off behind its last pixel, and one that was cut off before
    rows = read_jsonl(own_corpus.data)
    for number, missing in ((3, 2), (4, 300)):
        path = own_corpus.pictures[number].with_suffix(".jpg")
        Image.open(own_corpus.pictures[number]).save(path, quality=95)
        path.write_bytes(path.read_bytes()[:-missing])
        rows[number]["image"] = f"pictures/{path.name}"
    write_jsonl(own_corpus.data, rows)

    assert savs_submit(*run_arguments(own_corpus, qwen2_vl, workspace)).exit_code == 3

    found = results(workspace)
    assert found[3]["notes"] == ["item-03.jpg: the JPEG lacks its end marker; all of its pixels are there"]
    assert found[3]["prediction"] is not None
    assert found[4]["error"]["kind"] == "unreadable_media"
    assert [row["index"] for row in found if "notes" in row] == [3]


@pytest.mark.usefixtures("hanging_decoder")
def test_a_video_that_hangs_fails_its_row_after_a_while_and_no_other(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from savs.data.video import decoder_pool

    decoder_pool.DECODERS.close()  # so that the next process finds the hanging module
    monkeypatch.setattr(decoder_pool, "BASE_SECONDS", 1.0)
    rows = read_jsonl(own_corpus.data)
    clips.plain(own_corpus.folder / "pictures" / "clip.mp4", range(4))
    rows[7]["image"] = "pictures/clip.mp4"
    write_jsonl(own_corpus.data, rows)

    assert savs_submit(*run_arguments(own_corpus, qwen2_vl, workspace)).exit_code == 3

    found = results(workspace)
    assert [row["index"] for row in found if "error" in row] == [7]
    assert "decoding took longer than 1 s" in found[7]["error"]["message"]


@pytest.mark.usefixtures("hanging_decoder")
def test_ctrl_c_does_not_wait_for_a_video_that_hangs(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    rows = read_jsonl(own_corpus.train)
    clips.plain(own_corpus.folder / "pictures" / "clip.mp4", range(4))
    rows[7]["image"] = "pictures/clip.mp4"
    write_jsonl(own_corpus.train, rows)

    with started(*run_arguments(own_corpus, qwen2_vl, workspace)) as process:
        wait_until(lambda: bool(decoders_of(process.pid)), "a decoder is at work")
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        process.wait(timeout=60)

    assert time.monotonic() - began < 20
    wait_until(lambda: not decoders_of(process.pid), "no decoder is left")


def test_what_is_not_a_file_or_too_large_fails_its_row_and_no_other(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given pictures that lead to themselves, that wait, that never end, and that are many
    loop, pipe, device = (own_corpus.pictures[number] for number in (3, 5, 6))
    for path in (loop, pipe, device):
        path.unlink()
    loop.symlink_to(loop.name)
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    rows = read_jsonl(own_corpus.data)
    rows[7]["image"] = [f"pictures/{path.name}" for path in own_corpus.pictures[8:30]]
    write_jsonl(own_corpus.data, rows)
    pixels = Image.open(own_corpus.pictures[8]).size
    monkeypatch.setenv("SAVS_MAX_ITEM_BYTES", str(3 * pixels[0] * pixels[1] * 20))

    assert savs_submit(*run_arguments(own_corpus, qwen2_vl, workspace)).exit_code == 3

    errors = {row["index"]: row["error"] for row in results(workspace) if "error" in row}
    assert {index: error["kind"] for index, error in errors.items()} == {
        **dict.fromkeys((3, 5, 6), "unreadable_media"),
        7: "media_too_large",
    }
    assert "Too many levels of symbolic links" in errors[3]["message"]
    assert "is a named pipe, not a file" in errors[5]["message"]
    assert "is a device, not a file" in errors[6]["message"]


def test_the_limit_of_an_item_may_come_from_the_settings_file(
    tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from savs.data.space import max_item_bytes

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAVS_MAX_ITEM_BYTES", "")  # which is put back after the test
    (tmp_path / "savs.toml").write_text("max_item_bytes = 123456\n")
    assert savs_submit("list", "--workspace", workspace).exit_code == 0
    assert max_item_bytes() == 123456

    monkeypatch.setenv("SAVS_MAX_ITEM_BYTES", "much")
    said = savs_submit("list", "--workspace", workspace)
    assert said.exit_code == 2 and "SAVS_MAX_ITEM_BYTES (or max_item_bytes in savs.toml)" in said.stderr


def decoders_of(pid: int) -> list[int]:
    """Process ids of the decoders that a process has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if b"savs.data.video.decoder\0" in line and parent == pid:
                found.append(int(entry.name))
    return found
