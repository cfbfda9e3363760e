"""Where a run lies: in the folder or bucket that a person names, else in the results bucket of a stack."""

from pathlib import Path

from ..runs.place import Place


def find(output: str | Path | None, stack: str) -> tuple[Place, Place | None]:
    """The place of runs, and that of Lambda's failure records where the stack tells it.

    Raises UsageError for a folder, bucket or stack that is not there.
    """
    if output is not None:
        return Place.at(output), None
    from ..aws import stack as stacks  # boto3 takes its time, and a folder does not need it

    found = stacks.find(stack)
    return found.results, found.failures
