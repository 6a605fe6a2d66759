"""`savs-worker gpu --gpus`: starts one worker process per GPU, passes on signals, and waits for all.

Each process has one GPU and one model, so that a GPU that fails affects no other. Nothing here uses
CUDA, reads a message or restarts a worker: restarting is left to the machine's service manager.
"""

import ctypes
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from types import FrameType

from savs.errors import SettingsError
from workers.monitoring.logs import GPU_VARIABLE
from workers.settings import WorkerSettings

VISIBLE = "CUDA_VISIBLE_DEVICES"
THREADS = "OMP_NUM_THREADS"  # of PyTorch's work on the CPU
TOLD = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
POLL = 0.2  # seconds between two checks of the workers
COUNT_TIMEOUT = 60.0  # seconds; importing torch from a cold disk is slow
LAST_PORT = 65535
SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)

log = logging.getLogger("savs.gpus")


@dataclass
class GpuWorker:
    """The worker process of one GPU."""

    gpu: str
    process: subprocess.Popen[bytes]


def _numbers(wanted: str) -> list[int]:
    return [int(number) for number in wanted.split(",")]


def chosen_gpus(wanted: str, environment: Mapping[str, str]) -> list[str]:
    """The GPUs of a list, or with `all` those that are visible to this process. Raises SettingsError if
    there are none, or if this machine does not have one of the list."""
    if wanted != "all":
        numbers = _numbers(wanted)
        if shutil.which("nvidia-smi") and 0 < (count := _count()) <= max(numbers):
            raise SettingsError(f"--gpus {wanted}: this machine has {count} GPUs, numbered from 0")
        return [str(number) for number in numbers]
    if VISIBLE not in environment:
        gpus = [str(number) for number in range(_count())]
    else:
        named = [name.strip() for name in environment[VISIBLE].split(",")]
        gpus = [name for name in takewhile(lambda name: name != "-1", named) if name]  # as CUDA reads it
    if not gpus:
        hidden = f"{VISIBLE} hides them" if VISIBLE in environment else "this machine has none"
        raise SettingsError(f"--gpus all: no GPU: {hidden}; omit --gpus to run the model on the CPU")
    return gpus


def _count() -> int:
    """The number of GPUs of this machine, from nvidia-smi, else from torch in a separate process."""
    if shutil.which("nvidia-smi"):
        return len(re.findall(r"^GPU \d+:", _output(["nvidia-smi", "-L"]), re.MULTILINE))
    ask = "import torch; print('GPUS', torch.cuda.device_count())"
    found = re.search(r"^GPUS (\d+)$", _output([sys.executable, "-P", "-c", ask]), re.MULTILINE)
    return int(found[1]) if found else 0


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COUNT_TIMEOUT)  # noqa: S603
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout if done.returncode == 0 else ""


def command_of(settings: WorkerSettings, number: int) -> list[str]:
    """The command line of the worker for the `number`th GPU. The broker's address may contain a password,
    so it is passed in the environment."""
    port = settings.metrics_port
    return [
        *(sys.executable, "-P", "-m", "workers.cli", "gpu"),
        f"--model={settings.model}",
        f"--workspace={settings.workspace}",
        f"--log-format={settings.log_format}",
        f"--grace-time={settings.times.grace}",
        f"--shard-time-limit={settings.times.shard_limit}",
        *(f"--allowed-root={root}" for root in settings.roots),
        *(["--allow-http"] if settings.allow_http else []),
        *([] if settings.self_test else ["--skip-self-test"]),
        *([] if port is None else [f"--metrics-port={port + number}"]),
        f"--metrics-host={settings.metrics_host}",
        *([] if settings.runtime_dir is None else [f"--runtime-dir={settings.runtime_dir}"]),
        *([] if settings.exit_when_idle is None else [f"--exit-when-idle={settings.exit_when_idle}"]),
    ]


def environment_of(settings: WorkerSettings, gpu: str, workers: int) -> dict[str, str]:
    """The environment of the worker of `gpu`, one of `workers` that share this machine's cores."""
    return {
        THREADS: str(max(1, _cores() // workers)),  # else each uses all of them
        # So that GPUs have nvidia-smi's numbers, also if a machine's GPUs differ.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        **os.environ,
        "SAVS_BROKER_URL": settings.broker_url,
        VISIBLE: gpu,
        GPU_VARIABLE: gpu,
    }


def _cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def start_worker(gpu: str, command: Sequence[str], environment: Mapping[str, str]) -> GpuWorker:
    """Starts a worker in a session of its own, so that Ctrl-C in a terminal reaches it only once, through
    this process: at a second one, Celery stops without waiting for tasks."""
    process = subprocess.Popen(  # noqa: S603
        command, env=environment, start_new_session=True, preexec_fn=_end_with_parent
    )
    return GpuWorker(gpu, process)


def _end_with_parent() -> None:
    """On Linux, makes the kernel stop the worker if its supervisor is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def run_on_gpus(settings: WorkerSettings, gpus: Sequence[str]) -> int:
    """Runs one worker per GPU until all have ended, and returns the exit code. Raises SettingsError."""
    if settings.metrics_port is not None and settings.metrics_port + len(gpus) - 1 > LAST_PORT:
        raise SettingsError(f"--metrics-port: {len(gpus)} workers need a port each, up to {LAST_PORT}")
    told: list[int] = []

    def remember(number: int, _: FrameType | None) -> None:
        told.append(number)

    for number in TOLD:
        signal.signal(number, remember)
    workers = [
        start_worker(gpu, command_of(settings, i), environment_of(settings, gpu, len(gpus)))
        for i, gpu in enumerate(gpus)
    ]
    log.info("started a worker on each of the GPUs %s", ", ".join(gpus))
    return supervise(workers, told)


def supervise(workers: Sequence[GpuWorker], told: list[int]) -> int:
    """Waits for all `workers`, and passes on the signals that appear in `told`.

    Returns the exit code of the first worker that failed before it was stopped, else 0.
    """
    code, stopping, running = 0, False, list(workers)
    while running:
        while told:
            stopping = True
            number = told.pop(0)
            for worker in running:
                worker.process.send_signal(number)
        for worker in [worker for worker in running if worker.process.poll() is not None]:
            running.remove(worker)
            ended = _exit_code(worker.process.returncode)
            if not stopping:
                _tell(worker, ended, len(running))
                code = code or ended
        time.sleep(POLL if running else 0)
    return code


def _tell(worker: GpuWorker, code: int, others: int) -> None:
    rest = f"{others} others continue" if others else "no others are running"
    log.log(
        logging.ERROR if code else logging.INFO,
        "the worker of GPU %s ended with exit code %d; %s",
        worker.gpu,
        code,
        rest,
    )


def _exit_code(returncode: int) -> int:
    """The exit code as in a shell: 128 plus the signal's number if a signal ended the process."""
    return returncode if returncode >= 0 else 128 - returncode
