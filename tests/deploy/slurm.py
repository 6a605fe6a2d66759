"""A Slurm of one node on this machine: its own munge, settings, ports and folders. Needs root."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.tools import program
from tests.pool.servers import free_port, wait_until

# Without cgroups, and with two GPUs that do not exist: nothing looks at them but the scheduler.
SETTINGS = """
ClusterName=savs
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire={credential_seconds}
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=65536 Gres=gpu:2 State=UNKNOWN
PartitionName=night Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes={host} Default=NO MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""
CREDENTIAL_SECONDS = 5  # also how long a requeued job waits; 120 by default


@dataclass
class Slurm:
    """The daemons of a Slurm in `folder`."""

    folder: Path
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Slurm's commands find this Slurm."""
        return os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Starts the daemons; returns once the node is idle."""
        munged, controller, node = (
            program("munged", "munge"),
            program("slurmctld", "slurm-wlm"),
            program("slurmd", "slurm-wlm"),
        )
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)
        (self.folder / "slurm.conf").write_text(
            SETTINGS.format(
                folder=self.folder,
                host=os.uname().nodename.partition(".")[0],
                controller_port=free_port(),
                node_port=free_port(),
                credential_seconds=CREDENTIAL_SECONDS,
            )
        )
        for number in (0, 1):
            (self.folder / f"gpu{number}").touch()
        (self.folder / "gres.conf").write_text(f"Name=gpu File={self.folder}/gpu[0-1]\n")
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        socket = self.folder / "munge.socket"
        self._daemon(
            *(munged, "--foreground", "--force", "--socket", socket, "--key-file", key),
            *("--pid-file", self.folder / "munged.pid", "--log-file", self.folder / "munged.log"),
            *("--seed-file", self.folder / "munge.seed"),
        )
        wait_until(socket.exists, "munged has a socket")
        self._daemon(controller, "-D")
        self._daemon(node, "-D")
        wait_until(lambda: self.ask("sinfo", "-h", "-o", "%t").split()[:1] == ["idle"], "the node is idle")

    def _daemon(self, *command: str | Path) -> None:
        with (self.folder / "daemons.log").open("ab") as log:
            self.daemons.append(
                subprocess.Popen(
                    [str(word) for word in command], env=self.environment, stdout=log, stderr=log
                )
            )

    def ask(self, *command: str | Path) -> str:
        """The output of a command of Slurm; empty if it fails, as it may while the daemons start."""
        words = [str(word) for word in command]
        return subprocess.run(words, env=self.environment, capture_output=True, text=True).stdout

    def submit(self, folder: Path, environment: Mapping[str, str], *words: str | Path) -> str:
        """Calls sbatch in `folder`; the id of the job."""
        done = subprocess.run(
            [program("sbatch", "slurm-wlm"), "--parsable", *map(str, words)],
            env=self.environment | environment,
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def states(self, job: str) -> list[str]:
        """The states of a job's array tasks, those that have ended included."""
        return sorted(self.ask("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%T").split())

    def restarts(self, job: str) -> int:
        """How often a job was requeued."""
        shown = self.ask("scontrol", "show", "job", job)
        return sum(
            int(word.removeprefix("Restarts=")) for word in shown.split() if word.startswith("Restarts=")
        )

    def stop(self) -> None:
        """Ends all jobs, then the daemons. What does not end is killed, as after a test that failed."""
        self.ask("scancel", "--user", "root")
        end = time.monotonic() + 35  # KillWait, and some
        while self.ask("squeue", "-h") and time.monotonic() < end:
            time.sleep(0.2)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for process in self.left():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def left(self) -> Iterator[int]:
        """Processes of this Slurm and of its jobs, which all have its settings in their environment."""
        mine = f"SLURM_CONF={self.folder / 'slurm.conf'}".encode()
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mine in (place / "environ").read_bytes().split(b"\0"):
                    yield int(place.name)


@contextmanager
def slurm_in(folder: Path) -> Iterator[Slurm]:
    """A running Slurm; its logs are printed, and everything is stopped at the end."""
    slurm = Slurm(folder)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()
        for path in sorted(folder.glob("*.log")):  # pytest shows them where the test failed
            print(f"--- {path.name}\n{path.read_text(errors='replace')[-6000:]}")
        shutil.rmtree(folder / "spool", ignore_errors=True)
