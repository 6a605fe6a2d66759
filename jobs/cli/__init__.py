"""The `savs-submit` command. Imports are inside the commands, so that `--help` answers at once."""

from jobs.cli import (
    artifacts_show,
    cancel_delete,
    completion,
    plan_doctor,
    refit,
    relabel,
    report_open,
    results_logs_compare,
    resume_retry,
    run_extract_classify,
    status_list_watch,
    suggest,
)
from jobs.cli.group import main

__all__ = [
    "artifacts_show",
    "cancel_delete",
    "completion",
    "main",
    "plan_doctor",
    "refit",
    "relabel",
    "report_open",
    "results_logs_compare",
    "resume_retry",
    "run_extract_classify",
    "status_list_watch",
    "suggest",
]
