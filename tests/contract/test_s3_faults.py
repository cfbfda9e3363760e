"""Faults of S3, once and always, through the handler and the commands: the table of docs/faults.md holds."""

from pathlib import Path

import pytest
from faults.__main__ import OTHER_VERSION, UNCHANGED, WRONG, inserted, matrix, prepared

REPO = Path(__file__).parents[2]


@pytest.mark.slow
def test_each_fault_ends_as_without_it_or_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with prepared() as bucket:
        rows = list(matrix(bucket))
    whole = max(row.once.written or 0 for row in rows)
    page = (REPO / "docs" / "faults.md").read_text()
    with capsys.disabled():
        print("\n" + "\n".join(map(str, rows)))
    for row in rows:
        for outcome in (row.once, row.always):
            assert outcome.result != WRONG, row
            if outcome.written is not None:
                is_written = outcome.result in (UNCHANGED, OTHER_VERSION, "doubtful (DATASUM)")
                assert is_written or "Error (" in outcome.result, row
                assert outcome.written == whole or not (is_written or outcome.written), row
    assert inserted(page, rows) == page, "python benchmarks/faults --write docs/faults.md"
