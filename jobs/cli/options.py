"""Options shared by several commands of `savs-submit`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.datasets import What, dataset_options
from jobs.cli.option_list import Command, options

if TYPE_CHECKING:
    from jobs.records.job import PromptOptions
    from savs.readout.decision import Decision

workspace_option = click.option(
    "--workspace",
    metavar="DIR",
    help="Folder or s3:// address that stores all results [SAVS_WORKSPACE, or savs.toml].",
)

broker_option = click.option(
    "--broker",
    metavar="URL",
    help="Redis of the pool (redis://…); without one, jobs run in this process [SAVS_BROKER_URL, or "
    "savs.toml].",
)

wait_option = click.option(
    "--wait", is_flag=True, help="With a broker: wait until the jobs have ended, like `watch`."
)

http_option = click.option(
    "--allow-http",
    is_flag=True,
    help="Also fetch media from http:// and https:// addresses. With a broker, set it on the workers.",
)

self_test_option = click.option(
    "--skip-self-test",
    is_flag=True,
    help="Skip the self-test, which checks at load time that an item's output does not depend on its batch. "
    "With a broker, set it on the workers.",
)


def _postable(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Returns `value` if it can be told of a job's end. Raises BadParameter, which does not quote it."""
    from savs.data.web_post import why_not_postable

    if value and (why := why_not_postable(value)) is not None:
        raise click.BadParameter(f"{why}; give one such as https://hooks.example.org/savs")
    return value or None


notify_option = click.option(
    "--notify",
    metavar="URL",
    callback=_postable,
    envvar="SAVS_NOTIFY_URL",
    help="Post JSON with the counts of each job to this address when it ends: done, incomplete, failed, or "
    "stopped because its first rows failed. Only public addresses, and hosts in SAVS_NOTIFY_HOSTS; with a "
    "broker, set that on the workers. If the address contains a secret, use the variable: other users can "
    "see a command line [SAVS_NOTIFY_URL].",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

verbose_option = click.option("--verbose", is_flag=True, help="Also print the rate of each stage.")

hand_options = options(broker_option, wait_option, http_option, self_test_option, json_option, verbose_option)


@dataclass(frozen=True, kw_only=True)
class Handing:
    """The values of `hand_options`: how jobs are run, what is printed, and whom to tell of their end."""

    broker: str | None
    wait: bool
    allow_http: bool
    skip_self_test: bool
    as_json: bool
    verbose: bool
    notify: str | None = None


name_option = click.option("--name", required=True, help="Name of the task, its jobs and its artifact.")

model_option = click.option(
    "--model", required=True, help="Model: a folder, an alias (demo, llava_ov, …) or a hub id."
)

train_option = click.option(
    "--train",
    required=True,
    multiple=True,
    metavar="DATASET",
    help="Labelled examples: a JSONL, CSV or Parquet file, tars, or a folder with one folder per class; "
    "local or s3://; repeatable.",
)

data_option = click.option(
    "--data",
    required=True,
    metavar="DATASET",
    help="Corpus to label: a JSONL, CSV or Parquet file, tars, or a folder of images and videos; local or "
    "s3://.",
)

shard_option = click.option(
    "--shard-size",
    type=click.IntRange(min=1),
    help="Rows per shard, the unit that is retried after a crash. Default: about two minutes of a worker's "
    "time, if an earlier job has measured the model's rate, else 256 (videos: 64).",
)


def fit_options(readout: str | None = "auto") -> Callable[[Command], Command]:
    """Options of a fit; `readout` is the default."""
    return options(
        click.option(
            "--heads",
            type=click.IntRange(min=1),
            help="Number of attention heads that the readout uses. Default: 20 for `reference` and `hec`, "
            "else all. Layers above the last of them are not run.",
        ),
        click.option(
            "--readout",
            type=click.Choice(["auto", "reference", "ridge", "corpus", "hec"]),
            default=readout,
            show_default=readout is not None,
            help="How labels follow from the heads: `reference`, the published vote; `ridge`; `corpus`, a "
            "ridge that also learns from unlabelled rows of the corpus; `auto`: `corpus` for `run`, `ridge` "
            "without a corpus, `reference` with fewer than 3 examples per class; `hec`: Gaussian "
            "discriminants of the best heads.",
        ),
    )


report_option = click.option(
    "--report/--no-report",
    default=True,
    show_default=True,
    envvar="SAVS_REPORT",
    help="Make a report of the labels, one HTML page: savs-submit open NAME.",
)

prompt_options = options(
    click.option(
        "--frames",
        type=click.IntRange(1, 768),  # savs.data.media.MAX_VIDEO_FRAMES
        help="Frames per video, evenly spaced. Default: the checkpoint's number or rate, else 16.",
    ),
    click.option(
        "--fps",
        type=click.FloatRange(min=0, min_open=True),
        help="Frames per second of video, instead of --frames. Default of Qwen2-VL and Qwen2.5-VL: 2.",
    ),
    click.option(
        "--min-pixels",
        type=click.IntRange(min=1),
        help="Scale images and videos up to at least this many pixels, as counted by the checkpoint's "
        "processor. Default: the checkpoint's.",
    ),
    click.option(
        "--max-pixels",
        type=click.IntRange(min=1),
        help="Scale images and videos down to at most this many pixels. Default: the checkpoint's.",
    ),
)

decision_options = options(
    click.option(
        "--abstain-below",
        type=click.FloatRange(0, 1),
        metavar="P",
        help="Leave rows without a prediction if their confidence is lower.",
    ),
    click.option(
        "--target-precision",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        metavar="P",
        help="Leave the least certain rows without a prediction, so that this share of the others is right, "
        "as far as their confidence tells.",
    ),
    click.option(
        "--prior",
        default="examples",
        show_default=True,
        metavar="NAME|FILE",
        help="Class shares of the corpus: as in the `examples`, `uniform`, `estimated` from the corpus, or a "
        'JSON file, for example {"cat": 0.9, "dog": 0.1}.',
    ),
)

keep_option = click.option(
    "--keep-vectors",
    type=click.Choice(["heads", "all"]),
    help="Store the head vectors of every row, float16: of the `heads` that the readout uses, or of `all` "
    "heads, which another readout may use. `all` runs all layers: those above the readout's last head are "
    "no longer left out.",
)

how_options = options(
    dataset_options,
    workspace_option,
    shard_option,
    click.option(
        "--batch-tokens",
        type=click.IntRange(min=1),
        help="Tokens per forward pass, including padding; halved automatically if memory runs out. "
        "Default: chosen for the device.",
    ),
    click.option(
        "--plan",
        type=click.Choice(["here", "pool"]),
        default="pool",
        show_default=True,
        help="With a broker: where to plan manifests on S3. Local ones are always planned here.",
    ),
    click.option(
        "--max-failure-rate",
        type=click.FloatRange(0, 1),
        default=0.5,
        show_default=True,
        help="Stop a job if more than this share of its first 1000 rows fail.",
    ),
    click.option("--note", help="Text shown by `list` and `status`, to recognise the job."),
    hand_options,
)


@dataclass(frozen=True, kw_only=True)
class How(Handing):
    """The values of `how_options`."""

    what: What
    workspace: str | None
    shard_size: int | None
    batch_tokens: int | None
    plan: str
    max_failure_rate: float
    note: str | None
    report: bool = False

    @classmethod
    def of(cls, given: dict[str, Any]) -> "How":
        """Return the values of all options, which are in `given`."""
        return cls(what=What.take(given), **given)

    @property
    def job(self) -> dict[str, Any]:
        """The values that are part of a job."""
        return {
            "rows": self.what.rows,
            "shard_size": self.shard_size,
            "batch_tokens": self.batch_tokens,
            "max_failure_rate": self.max_failure_rate,
            "note": self.note,
        }


def prompt_of(given: dict[str, Any]) -> "PromptOptions":
    """The values of `prompt_options`, which are removed from `given`. Raises SettingsError."""
    from pydantic import ValidationError

    from jobs.records.job import PromptOptions
    from savs.errors import SettingsError

    try:
        return PromptOptions(**{name: given.pop(name) for name in PromptOptions.model_fields})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        option = "".join(f"--{name}: ".replace("_", "-") for name in map(str, problem["loc"]))
        raise SettingsError(option + problem["msg"].removeprefix("Value error, ")) from error


def decision_of(given: dict[str, Any]) -> "Decision":
    """The values of `decision_options`, which are removed from `given`. Raises SettingsError."""
    import json
    from pathlib import Path

    from pydantic import ValidationError

    from savs.errors import SettingsError, why_invalid
    from savs.readout.decision import Decision

    prior = given.pop("prior")
    try:
        if prior not in ("examples", "uniform", "estimated"):
            prior = json.loads(Path(prior).read_bytes())
        fields = {name: given.pop(name) for name in ("abstain_below", "target_precision")}
        return Decision(**fields, prior=prior)
    except ValidationError as error:
        raise SettingsError(
            why_invalid(error, Decision.model_fields).removeprefix("Value error, ")
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(
            f"--prior: {prior} is neither examples, uniform nor estimated, nor a file of JSON: {error}"
        ) from error
