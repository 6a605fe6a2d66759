"""Completes commands that messages advise with the options that the user gave."""

import re
from shlex import quote

import click

NO_QUESTION = "'question' is missing"  # why a row of examples cannot be used, as of a picture in a folder
QUESTION_OPTION = "--question TEXT gives all rows one"
# A message names its command without options, because it may be stored and then read in another place.
ADVISED = re.compile(
    r"savs-submit (?:artifacts(?![\w-])|(?P<pool>resume|retry|cancel|watch) [\w.-]*\w"
    r"|(?:logs|open|report) [\w.-]*\w)"
    r"|(?P<worker>savs-worker (?:cpu\b|gpu --model (?:'[^']*'(?:\"'\"'[^']*')*|[^\s',;]+)))"
)


def with_question_option(text: str) -> str:
    """Return `text` with the option that helps, if rows of examples have no question."""
    return f"{text}\n  {QUESTION_OPTION}" if NO_QUESTION in text else text


def complete(text: str) -> str:
    """Return `text` with --workspace and --broker added to the commands in it, as far as the current
    command was given them. A broker's address that holds a password is written as URL."""
    context = click.get_current_context(silent=True)
    given = context.params if context else {}
    workspace, broker = given.get("workspace"), given.get("broker")
    if broker:
        from jobs.queue.broker import without_password

        broker = broker if without_password(broker) == broker else "URL"

    def completed(found: re.Match[str]) -> str:
        added = [f" --workspace {quote(workspace)}"] if workspace else []
        added += [f" --broker {quote(broker)}"] if broker and (found["pool"] or found["worker"]) else []
        return found.group() + "".join(added)

    return ADVISED.sub(completed, text)
