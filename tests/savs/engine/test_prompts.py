"""Prompts: true times of videos, one call of the processor, and items that cannot be shown."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import savs
from savs.data.media import open_media
from savs.data.video.sampling import Video
from savs.engine.prompts import Processed, Prompt, preprocess
from savs.errors import ItemError, ItemTooLong, UnusablePrompt
from tests.savs.data.drawing import noise, write_clip
from tests.savs.data.video import clips

SQUARE = noise(84, 84)


class Counted:
    """A real processor that remembers what it was called with."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.calls: list[dict[str, Any]] = []

    def __call__(self, **arguments: Any) -> Any:
        self.calls.append(arguments)
        return self.processor(**arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processor, name)


def counted(model: savs.Model) -> tuple[savs.Model, Counted]:
    processor = Counted(model.processor)
    return replace(model, processor=processor), processor


def only_batch(model: savs.Model, prompts: Sequence[Prompt]) -> Processed:
    [(positions, batch)], errors = preprocess(model, prompts)
    assert not errors
    assert positions == list(range(len(prompts)))
    return batch


def shown_and_refused(
    model: savs.Model, prompts: Sequence[Prompt]
) -> tuple[list[int], dict[int, type[ItemError]]]:
    batches, errors = preprocess(model, prompts)
    shown = sorted(position for positions, _ in batches for position in positions)
    return shown, {position: type(error) for position, error in errors.items()}


def clip(folder: Path, frames: int, sampling: savs.FrameSampling) -> Video:
    video = open_media(str(write_clip(folder / "clip.mp4", frames, 8)), sampling)
    assert isinstance(video, Video)
    return video


def test_a_video_has_the_times_of_its_frames(qwen2_5: savs.Model, tmp_path: Path) -> None:
    # given four seconds at 8 frames a second, of which two a second are shown
    video = clip(tmp_path, 32, savs.FrameSampling(frames=None, fps=2.0))
    assert len(video.frames) == 8
    # if it is made into a prompt
    batch = only_batch(qwen2_5, [Prompt((video,), "What happens?")])
    # then a step in time, of two merged frames, is as long as they are apart in the video
    patch = qwen2_5.processor.video_processor.temporal_patch_size
    assert np.diff(video.indices).tolist() == [4] * 7
    assert batch.inputs["second_per_grid_ts"].tolist() == [pytest.approx(patch * 4 / 8)]
    # and the processor took the frames as they are
    assert batch.inputs["video_grid_thw"][0, 0] == 8 // patch


def test_a_video_of_a_variable_rate_has_the_true_times_of_its_frames(
    model: savs.Model, tmp_path: Path
) -> None:
    # given a video whose first frames are shown for a second each, and the others for 33 ms
    watched, processor = counted(model)
    path = clips.write(tmp_path / "v.mp4", range(40), times=clips.STILL_THEN_FAST)
    video = open_media(str(path), savs.FrameSampling(frames=4))
    only_batch(watched, [Prompt((video,), "What happens?")])
    [metadata] = processor.calls[0]["videos_kwargs"]["video_metadata"]
    # then a time as processors compute it is the time at which a player shows the frame
    assert video.indices == (0, 13, 26, 39)
    times = [index / metadata.fps for index in metadata.frames_indices]
    assert times == pytest.approx([0.0, 9.132, 9.561, 9.99], abs=0.001)
    assert metadata.duration == pytest.approx(10.03, abs=0.001)


def test_a_video_shown_whole_at_eight_frames_a_second_has_steps_of_a_quarter_second(
    qwen2_5: savs.Model, tmp_path: Path
) -> None:
    video = clip(tmp_path, 8, savs.FrameSampling(frames=8))
    batch = only_batch(qwen2_5, [Prompt((video,), "What happens?")])
    assert batch.inputs["second_per_grid_ts"].tolist() == [pytest.approx(0.25)]


def test_the_processor_is_told_not_to_sample_again(model: savs.Model, tmp_path: Path) -> None:
    # given a processor that would take 8 frames of its own choice
    watched, processor = counted(model)
    video = clip(tmp_path, 32, savs.FrameSampling(frames=16))
    # if a video of 16 frames is shown
    batch = only_batch(watched, [Prompt((video,), "What happens?")])
    # then it is told what they are, and leaves them alone
    [call] = processor.calls
    assert call["videos_kwargs"]["do_sample_frames"] is False
    [metadata] = call["videos_kwargs"]["video_metadata"]
    assert (metadata.fps, metadata.total_num_frames, metadata.duration) == (8.0, 32, 4.0)
    assert metadata.frames_indices == list(video.indices)
    assert batch.inputs["video_grid_thw"][0, 0] == 8


def test_a_video_of_one_frame_can_be_shown(model: savs.Model, tmp_path: Path) -> None:
    video = clip(tmp_path, 1, savs.FrameSampling(frames=None, fps=2.0))
    assert shown_and_refused(model, [Prompt((video,), "What happens?")]) == ([0], {})


def test_a_batch_is_one_call_of_the_processor(model: savs.Model) -> None:
    watched, processor = counted(model)
    media = [(SQUARE,), (), (noise(56, 140), SQUARE), (noise(200, 100),)]
    batch = only_batch(watched, [Prompt(shown, "Shape?") for shown in media])
    assert len(processor.calls) == 1
    assert len(batch.lengths) == 4


def test_rows_are_padded_on_the_right_and_end_with_the_generation_prompt(model: savs.Model) -> None:
    batch = only_batch(model, [Prompt((SQUARE,), "Shape?"), Prompt((), "Why? " * 30)])
    ids, mask = batch.inputs["input_ids"].numpy(), batch.inputs["attention_mask"].numpy()
    for row, length in enumerate(batch.lengths):
        assert mask[row].tolist() == [1] * length + [0] * (mask.shape[1] - length)
        assert model.processor.tokenizer.decode(ids[row, :length]).endswith("<|assistant|>")


def test_media_stand_before_the_question_in_their_order(model: savs.Model) -> None:
    wide, high = noise(200, 100), noise(56, 140)
    batch = only_batch(model, [Prompt((wide, high), "Which is wider?")])
    sizes = batch.inputs["image_grid_thw"].numpy()
    assert sizes[0, 2] > sizes[0, 1]
    assert sizes[1, 2] < sizes[1, 1]
    text = model.processor.tokenizer.decode(batch.inputs["input_ids"][0])
    assert text.rindex("<|vision_end|>") < text.index("Which is wider?")


@pytest.mark.parametrize("words", [1000, 50_000])
def test_a_question_longer_than_the_context_costs_its_own_row(model: savs.Model, words: int) -> None:
    # given a question of more tokens than the model takes, or of so many that counting them is a waste
    prompts = [Prompt((SQUARE,), "Shape?"), Prompt((), "why " * words), Prompt((), "Colour?")]
    # then it is refused, not cut, and the others are shown
    assert shown_and_refused(model, prompts) == ([0, 2], {1: ItemTooLong})


def test_a_question_that_just_fits_the_context_is_shown(model: savs.Model) -> None:
    length = only_batch(model, [Prompt((), "a")]).lengths[0]
    longer = only_batch(model, [Prompt((), "a" + " b" * 10)]).lengths[0]
    assert longer == length + 10
    fits = Prompt((), "a" + " b" * (model.context - length))
    over = Prompt((), "a" + " b" * (model.context - length + 1))
    assert shown_and_refused(model, [fits, over]) == ([0], {1: ItemTooLong})


def test_pictures_count_against_the_context(model: savs.Model) -> None:
    many = Prompt((SQUARE,) * 120, "How many?")
    assert shown_and_refused(model, [many, Prompt((SQUARE,), "Shape?")]) == ([1], {0: ItemTooLong})


@pytest.mark.parametrize("mark", ["<|image_pad|>", "<|video_pad|>"])
@pytest.mark.parametrize("media", [(), (SQUARE,)])
def test_a_question_that_spells_out_a_placeholder_costs_its_own_row(
    model: savs.Model, mark: str, media: tuple[Any, ...]
) -> None:
    good = Prompt((SQUARE,), "Shape?")
    prompts = [good, Prompt(media, f"What does {mark} mean?"), good, Prompt((), "Colour?"), good]
    assert shown_and_refused(model, prompts) == ([0, 2, 3, 4], {1: UnusablePrompt})


def test_a_picture_that_the_processor_refuses_costs_its_own_row(model: savs.Model) -> None:
    # given a picture 400 times as high as wide
    good = Prompt((SQUARE,), "Shape?")
    prompts = [good, good, Prompt((noise(1, 400),), "Shape?"), good]
    assert shown_and_refused(model, prompts) == ([0, 1, 3], {2: UnusablePrompt})


def test_the_others_of_a_batch_are_shown_as_if_the_refused_were_not_there(model: savs.Model) -> None:
    good = [Prompt((noise(84, 84, seed),), f"Shape {seed}?") for seed in range(3)]
    bad = Prompt((noise(1, 400),), "Shape?")
    batches, _ = preprocess(model, [good[0], bad, *good[1:]])
    calm = only_batch(model, good)
    pixels = np.concatenate([batch.inputs["pixel_values"].values.numpy() for _, batch in batches])
    assert np.array_equal(pixels, calm.inputs["pixel_values"].values.numpy())
    assert [n for _, batch in batches for n in batch.lengths] == calm.lengths


def test_pictures_and_videos_of_different_items_stand_in_different_batches(
    qwen2: savs.Model, tmp_path: Path
) -> None:
    video = clip(tmp_path, 8, savs.FrameSampling(frames=4))
    media = [(SQUARE,), (video,), (), (video, SQUARE), (SQUARE, SQUARE), (video, video)]
    batches, errors = preprocess(qwen2, [Prompt(shown, "What?") for shown in media])
    assert not errors
    assert sorted(positions for positions, _ in batches) == [[0, 2, 4], [1, 5], [3]]


@pytest.mark.parametrize("question", ["<image> <image>?", "<image><image><image>?"])
def test_marks_that_are_not_as_many_as_media_cost_their_item(qwen2: savs.Model, question: str) -> None:
    prompts = [Prompt((SQUARE,), question), Prompt((SQUARE,), "What?")]

    batches, errors = preprocess(qwen2, prompts)

    assert isinstance(errors[0], UnusablePrompt) and "marks, but there are 1 media" in str(errors[0])
    assert [positions for positions, _ in batches] == [[1]]
