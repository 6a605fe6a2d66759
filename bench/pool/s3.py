"""An S3 server for benchmarks: `python -m bench.pool.s3 PORT [FOLDER]`.

Has the buckets `corpus` and `workspace`; the latter contains the files below FOLDER, stored without HTTP,
because 10,000 requests would take longer than the measurement.
"""

import logging
import sys
import threading
from pathlib import Path

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

BUCKETS = ("corpus", "workspace")
REGION = "us-east-1"


def main(port: int, folder: Path | None = None) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for bucket in BUCKETS:
        backend.create_bucket(bucket, REGION)
    if folder is not None:
        for path in sorted(one for one in folder.rglob("*") if one.is_file()):
            backend.put_object("workspace", path.relative_to(folder).as_posix(), path.read_bytes())
    ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(Path, sys.argv[2:]))
