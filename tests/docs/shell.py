"""A shell that runs the commands of a page one after another, as the page's reader would."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.docs.blocks import ROOT
from tests.pool.servers import redis_binary

PATIENCE = 240.0  # seconds until a command counts as hanging


class Shell:
    """A bash in `folder`: variables, the current folder and processes in the background outlive a command.

    On the PATH are the commands of savs, `python`, and `redis-server`; `.venv` is in the folder, as in a
    checkout. Nothing else of the environment is from whoever runs the tests.
    """

    def __init__(self, folder: Path, private: Path, environment: dict[str, str]) -> None:
        private.mkdir()
        binaries = Path(sys.executable).parent
        (private / "redis-server").symlink_to(redis_binary())
        (folder / ".venv").symlink_to(sys.prefix)
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "XDG_CACHE_HOME") if name in os.environ}
        path = f"{private}:{binaries}:/usr/local/bin:/usr/bin:/bin"
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        self.folder, self.private, self.count = folder, private, 0
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-O", "expand_aliases"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=kept | own | environment,
            start_new_session=True,
        )

    def run(self, text: str) -> tuple[int, str]:
        """The exit code of a command and what it has printed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.count += 1
        script, output = self.private / f"{self.count}.sh", self.private / f"{self.count}.out"
        script.write_text(text + "\n")
        order = f". '{script}' > '{output}' 2>&1 < /dev/null; echo $?\n"
        self.process.stdin.write(order.encode())
        self.process.stdin.flush()
        ended, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        said = output.read_text(errors="replace") if output.exists() else ""
        if not ended:
            return 124, f"{said}\n(still running after {PATIENCE:.0f} s)"
        code = self.process.stdout.readline().strip()
        return (int(code) if code else 125), said

    def logs(self) -> str:
        """The ends of all outputs so far, for processes in the background."""
        files = sorted(self.private.glob("*.out"), key=lambda path: int(path.stem))
        return "\n".join(
            f"--- command {path.stem}\n{path.read_text(errors='replace')[-1500:]}" for path in files
        )

    def close(self) -> None:
        """Ends the shell and all that it has started."""
        for one in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, one)
            except ProcessLookupError:
                break
            time.sleep(0.5)  # for workers to end their children
        self.process.wait()
