"""Loading checkpoints: names, weights, fingerprints, and what is refused."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import savs
from savs.data.video.sampling import FrameSampling
from savs.errors import ModelNotFound, UnsupportedModel
from savs.loading import load_model
from savs.model.checkpoint import ALIASES
from savs.model.fingerprint import fingerprint

CHECKPOINT = {
    "config.json": "{}",
    "tokenizer.json": '{"a": 1}',
    "chat_template.jinja": "{{ messages }}",
    "processor_config.json": '{"size": 84}',
    "model.safetensors": "weights",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of a checkpoint, as far as a fingerprint is concerned."""
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    for name, text in CHECKPOINT.items():
        (checkpoint / name).write_text(text)
    return checkpoint


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["qwen3", "no such model", "../..", "./nothing/here/at/all"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        load_model(name)
    assert repr(name) in str(caught.value)
    for alias in ALIASES:
        assert alias in str(caught.value)


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"not a folder with a config\.json"):
        load_model(tmp_path)


def test_a_hub_id_that_cannot_be_fetched_is_refused_with_the_known_names() -> None:
    with pytest.raises(ModelNotFound, match=r"could not be downloaded from the hub .*Aliases: demo"):
        load_model("nobody-at-all/no-such-model-for-tests")


def test_a_checkpoint_that_has_only_pickled_weights_is_refused_and_nothing_is_unpickled(
    qwen2_vl: Path, tmp_path: Path
) -> None:
    # given a checkpoint whose weights are a pickle that would run code
    checkpoint, sprung = tmp_path / "checkpoint", tmp_path / "sprung"
    shutil.copytree(qwen2_vl, checkpoint, ignore=shutil.ignore_patterns("*.safetensors"))
    (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(sprung)))
    # then it is not read
    with pytest.raises(UnsupportedModel, match="safetensors"):
        load_model(checkpoint, device="cpu")
    assert not sprung.exists()


@pytest.mark.parametrize("kept", [0, 100, 50_000])
def test_a_checkpoint_whose_weights_are_cut_short_is_refused(
    qwen2_vl: Path, tmp_path: Path, kept: int
) -> None:
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(qwen2_vl, checkpoint)
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(UnsupportedModel, match="checkpoint"):
        load_model(checkpoint, device="cpu")


@pytest.mark.parametrize("config", ["not json", "{}", '{"model_type": "from_the_future"}'])
def test_a_config_of_no_known_model_is_refused(qwen2_vl: Path, tmp_path: Path, config: str) -> None:
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(qwen2_vl, checkpoint)
    (checkpoint / "config.json").write_text(config)
    with pytest.raises(UnsupportedModel, match="checkpoint"):
        load_model(checkpoint, device="cpu")


def test_on_a_cpu_a_half_precision_checkpoint_runs_in_float32(qwen2_vl: Path, tmp_path: Path) -> None:
    # given a checkpoint in bfloat16
    half = load_model(qwen2_vl, device="cpu", dtype="bfloat16")
    half.network.save_pretrained(tmp_path)
    half.processor.save_pretrained(tmp_path)
    # then it runs in float32, unless told otherwise
    assert load_model(tmp_path, device="cpu").dtype == "float32"
    assert load_model(tmp_path, device="cpu", dtype="auto").dtype == "bfloat16"


def test_a_model_says_what_it_is(qwen2_5: savs.Model, qwen2_5_vl: Path) -> None:
    assert qwen2_5.name == str(qwen2_5_vl)
    assert qwen2_5.revision == "local"
    assert qwen2_5.fingerprint == fingerprint(qwen2_5_vl)
    assert len(qwen2_5.layout.heads()) == 6 * 12
    assert qwen2_5.context == 1024
    assert not qwen2_5.network.training


def test_frames_are_sampled_as_the_checkpoint_says_unless_told_otherwise(qwen2_vl: Path) -> None:
    assert load_model(qwen2_vl, device="cpu").sampling == FrameSampling(frames=8)
    by_rate = FrameSampling(frames=None, fps=1.0)
    assert load_model(qwen2_vl, device="cpu", sampling=by_rate).sampling == by_rate


def test_the_fingerprint_is_of_the_bytes_wherever_they_lie(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert fingerprint(copy) == fingerprint(folder)


@pytest.mark.parametrize("name", CHECKPOINT)
def test_the_fingerprint_changes_with_every_file_that_matters(folder: Path, name: str) -> None:
    before = fingerprint(folder)
    (folder / name).write_text(CHECKPOINT[name] + " ")
    assert fingerprint(folder) != before
    (folder / name).unlink()
    assert fingerprint(folder) != before


def test_the_fingerprint_changes_when_a_file_is_added_or_renamed(folder: Path) -> None:
    before = fingerprint(folder)
    (folder / "model-2.safetensors").write_text("more weights")
    added = fingerprint(folder)
    (folder / "model-2.safetensors").rename(folder / "model-3.safetensors")
    assert len({before, added, fingerprint(folder)}) == 3


def test_files_that_do_not_change_vectors_do_not_change_the_fingerprint(folder: Path) -> None:
    before = fingerprint(folder)
    for name in ("generation_config.json", "README.md", "picture.png", "pytorch_model.bin"):
        (folder / name).write_text("{}")
    assert fingerprint(folder) == before


def test_a_file_is_hashed_again_only_when_its_path_size_or_time_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights = folder / "model.safetensors"
    before, stat = fingerprint(folder), weights.stat()
    # given other bytes of the same size, dated as the old ones
    weights.write_text("WEIGHTS")
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    # then the hash that was kept is used
    assert fingerprint(folder) == before
    # and without it, or with another time, the new bytes are read
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert fingerprint(folder) != before
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert fingerprint(folder) != before


@pytest.mark.parametrize("damaged", ["", "not json", "[]", "null", '"text"'])
def test_a_damaged_cache_costs_time_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damaged: str
) -> None:
    before = fingerprint(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "savs").mkdir()
    (tmp_path / "savs" / "fingerprints.json").write_text(damaged)
    assert fingerprint(folder) == before


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/nowhere")
    assert fingerprint(folder) == before


def test_importing_savs_imports_nothing_heavy() -> None:
    code = (
        "import sys, savs; dir(savs)\n"
        "heavy = {'torch', 'transformers', 'numpy', 'PIL', 'decord', 'boto3', 'safetensors'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_reading_samples_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"question": "Why?"}\n')
    code = (
        f"import sys, savs; savs.read_samples({str(tmp_path / 'a.jsonl')!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_public_name_is_there() -> None:
    for name in savs.__all__:
        assert getattr(savs, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = savs.nonsense


def test_a_checkpoint_that_lacks_weights_is_refused(qwen2_vl: Path, tmp_path: Path) -> None:
    # given a checkpoint whose last layer has no output projection; transformers would make one up
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(qwen2_vl, broken)
    weights = load_file(broken / "model.safetensors")
    [missing] = [name for name in weights if name.endswith("layers.2.self_attn.o_proj.weight")]
    save_file(
        {n: t for n, t in weights.items() if n != missing}, broken / "model.safetensors", {"format": "pt"}
    )

    with pytest.raises(UnsupportedModel, match=r"lacks weights: .*layers\.2\.self_attn\.o_proj\.weight"):
        savs.load_model(broken)
