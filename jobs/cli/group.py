"""What all commands share: the group, their options, and how errors are reported."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from jobs.ledger import Ledger
    from jobs.specs import Job, PromptOptions

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
        type=click.IntRange(1, 768),  # savs.media.MAX_VIDEO_FRAMES
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
        from jobs.specs import RowsAs

        return {
            "rows": RowsAs(
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

    from jobs.specs import PromptOptions
    from savs.errors import SettingsError

    try:
        return PromptOptions(**{name: given.pop(name) for name in PromptOptions.model_fields})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        option = "".join(f"--{name}: ".replace("_", "-") for name in map(str, problem["loc"]))
        raise SettingsError(option + problem["msg"].removeprefix("Value error, ")) from error


def reports_errors(command: Command) -> Command:
    """Prints savs' own errors, and Redis's, as one message: exit code 2 where nothing was begun, else 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        from jobs.settings import set_up_storage
        from savs.errors import (
            ArtifactNotFound,
            JobNotFound,
            ManifestError,
            ModelNotFound,
            SavsError,
            SettingsError,
        )

        wrong_usage = (SettingsError, ManifestError, JobNotFound, ArtifactNotFound, ModelNotFound)
        as_json = kwargs.get("as_json", False)
        try:
            set_up_storage()
            return command(*args, **kwargs)
        except SavsError as error:
            _fail(str(error), as_json, 2 if isinstance(error, wrong_usage) else 1)
        except Exception as error:
            redis = sys.modules.get("redis")  # a command that needs no broker has not imported it
            if redis is None or not isinstance(error, redis.RedisError):
                raise
            _fail(f"the broker does not answer ({error}); doing this again is safe", as_json, 1)
        except KeyboardInterrupt:
            name = kwargs.get("name", "NAME")
            _fail(f"stopped; `savs-submit resume {name}`, or the same command again, goes on", False, 1)

    return run  # type: ignore[return-value]


def _fail(message: str, as_json: bool, code: int) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"error": message}))
    click.echo(f"savs-submit: {message}", err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="savs", prog_name="savs-submit")
def main() -> None:
    """Labels image and video corpora from a few examples per class.

    \b
    savs-submit run --train train.jsonl --data corpus.jsonl --model qwen2.5_vl \\
        --workspace results --name pets
    """


def ledger_of(workspace: str | None) -> "Ledger":
    """The ledger of the workspace that option or settings name."""
    from jobs.ledger import Ledger
    from jobs.settings import workspace_of

    return Ledger(workspace_of(workspace))


def jobs_of(ledger: "Ledger", name: str) -> "list[Job]":
    """All jobs of a name and its splits, or the one with that id. Raises JobNotFound, which lists the
    known names."""
    from savs.errors import JobNotFound

    jobs = ledger.jobs(name)
    if not jobs:
        known = sorted({job_id.rsplit("-", 2)[0] for job_id in ledger.job_ids()})
        raise JobNotFound(f"no job {name!r} in {ledger.workspace}; there is: {', '.join(known) or 'none'}")
    return jobs


def newest_of(ledger: "Ledger", name: str) -> "list[Job]":
    """The newest extract job of a name, and the newest classify job, as far as there are any; of each
    of its splits."""
    newest = {(job.spec.name, job.spec.kind): job for job in jobs_of(ledger, name)}
    names = dict.fromkeys(name for name, _ in newest)
    return [newest[one, kind] for one in names for kind in ("extract", "classify") if (one, kind) in newest]


def complete_name(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Names of jobs, for the shell's completion; none where the workspace cannot be read."""
    from jobs.settings import set_up_storage
    from savs.errors import SavsError

    try:
        set_up_storage()
        ids = ledger_of(context.params.get("workspace")).job_ids()
    except SavsError:
        return []
    return sorted({name for job_id in ids if (name := job_id.rsplit("-", 2)[0]).startswith(begun)})


name_argument = click.argument("name", shell_complete=complete_name)
