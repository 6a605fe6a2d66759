"""Folders and buckets with one small interface: whole objects, ranges, and conditional writes.

An address is a local path or `s3://bucket/key`. Writes are atomic: a reader sees the old object
or the new one. The ledger relies on `create`: of any number of writers exactly one wins. This
module does not retry beyond what boto3 does, and does not interpret the objects.
"""

from savs.storage.addresses import absolute_path, join, open_parent, open_store, without_scheme
from savs.storage.folder import LocalStore
from savs.storage.s3 import S3Store, s3_client
from savs.storage.store import Store

__all__ = [
    "LocalStore",
    "S3Store",
    "Store",
    "absolute_path",
    "join",
    "open_parent",
    "open_store",
    "s3_client",
    "without_scheme",
]
