"""The options that commands of `savs-submit` share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from jobs.records.job import PromptOptions

DEFAULT_HEADS = 20  # as published

Command = TypeVar("Command", bound=Callable[..., Any])


def options(*chosen: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator."""

    def decorate(command: Command) -> Command:
        for option in reversed(chosen):
            command = option(command)
        return command

    return decorate


workspace_option = click.option(
    "--workspace", metavar="DIR", help="Folder or s3:// address of all results [SAVS_WORKSPACE]."
)

broker_option = click.option(
    "--broker", metavar="URL", help="redis://… of a pool; without one, jobs run here [SAVS_BROKER_URL]."
)

wait_option = click.option(
    "--wait", is_flag=True, help="With a broker: stay until the jobs have ended, as `watch` does."
)

http_option = click.option(
    "--allow-http",
    is_flag=True,
    help="Without a broker: fetch media from http(s):// addresses too. A pool's workers have a flag of "
    "their own.",
)

self_test_option = click.option(
    "--skip-self-test",
    is_flag=True,
    help="Without a broker: do not try, when the model is loaded, whether its answers depend on what else "
    "is in a batch. A pool's workers have a flag of their own.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")

name_option = click.option("--name", required=True, help="Name of the task, the job and its artifact.")

model_option = click.option(
    "--model", required=True, help="A folder, an alias (demo, llava_ov, …) or a hub id."
)

train_option = click.option(
    "--train",
    required=True,
    multiple=True,
    metavar="FILE",
    help="Labelled examples: JSONL, a local path or s3://; may be repeated.",
)

data_option = click.option(
    "--data", required=True, metavar="FILE", help="The corpus: JSONL, a local path or s3://."
)

shard_option = click.option(
    "--shard-size",
    type=click.IntRange(min=1),
    help="Rows per shard: what is done again after a crash. By default as many as take a worker two "
    "minutes, where the model's rate is known from an earlier job, else 256 (videos: 64).",
)

fit_options = options(
    click.option(
        "--heads",
        type=click.IntRange(min=1),
        default=DEFAULT_HEADS,
        show_default=True,
        help="Attention heads that vote.",
    ),
    click.option("--readout", type=click.Choice(["reference"]), default="reference", show_default=True),
)

prompt_options = options(
    click.option(
        "--frames",
        type=click.IntRange(1, 768),  # savs.data.media.MAX_VIDEO_FRAMES
        help="Frames of a video, from its first to its last. By default the checkpoint's own, else 16.",
    ),
    click.option(
        "--fps",
        type=click.FloatRange(min=0, min_open=True),
        help="Instead of --frames: frames per second of a video. Qwen2-VL: 2.",
    ),
    click.option(
        "--min-pixels",
        type=click.IntRange(min=1),
        help="Pixels that a picture or video is scaled up to, as the checkpoint's processor counts them.",
    ),
    click.option("--max-pixels", type=click.IntRange(min=1), help="Pixels that it is scaled down to."),
)

rows_options = options(
    click.option(
        "--format",
        "row_format",
        default="general",
        show_default=True,
        metavar="NAME",
        help="What the rows' fields mean: general, natural_ret, sugarcrepe, camerabench, vizwiz, eurosat, "
        "pets, vlguard, mhalu, blink, mrb or mrb_individual.",
    ),
    click.option(
        "--media-root",
        metavar="DIR",
        help="Folder or s3:// address of relative paths; by default the manifest's own folder.",
    ),
    click.option(
        "--strip-prefix",
        default="",
        metavar="TEXT",
        help="Taken away from the front of paths, which are relative then.",
    ),
)

how_options = options(
    rows_options,
    workspace_option,
    broker_option,
    wait_option,
    shard_option,
    click.option(
        "--batch-tokens",
        type=click.IntRange(min=1),
        help="Tokens in one forward pass, padding included; by default what suits the device. Halved by "
        "itself where memory does not suffice.",
    ),
    click.option(
        "--plan",
        type=click.Choice(["here", "pool"]),
        default="pool",
        show_default=True,
        help="With a broker: who cuts a manifest on S3 into shards. Local ones are cut here.",
    ),
    click.option(
        "--max-failure-rate",
        type=click.FloatRange(0, 1),
        default=0.5,
        show_default=True,
        help="Stop a job of whose first 1000 rows more than this share fail.",
    ),
    http_option,
    self_test_option,
    click.option("--note", help="A line to find the job by, shown by `list` and `status`."),
    json_option,
)


@dataclass(frozen=True)
class How:
    """What `how_options` say."""

    row_format: str
    media_root: str | None
    strip_prefix: str
    workspace: str | None
    broker: str | None
    wait: bool
    shard_size: int | None
    batch_tokens: int | None
    plan: str
    max_failure_rate: float
    allow_http: bool
    skip_self_test: bool
    note: str | None
    as_json: bool

    @property
    def job(self) -> dict[str, Any]:
        """What goes into a job."""
        from jobs.records.job import RowOptions

        return {
            "rows": RowOptions(
                format=self.row_format, media_root=self.media_root, strip_prefix=self.strip_prefix
            ),
            "shard_size": self.shard_size,
            "batch_tokens": self.batch_tokens,
            "max_failure_rate": self.max_failure_rate,
            "note": self.note,
        }


def prompt_of(given: dict[str, Any]) -> "PromptOptions":
    """What `prompt_options` say, which is taken out of `given`. Raises SettingsError."""
    from pydantic import ValidationError

    from jobs.records.job import PromptOptions
    from savs.errors import SettingsError

    try:
        return PromptOptions(**{name: given.pop(name) for name in PromptOptions.model_fields})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        option = "".join(f"--{name}: ".replace("_", "-") for name in map(str, problem["loc"]))
        raise SettingsError(option + problem["msg"].removeprefix("Value error, ")) from error
