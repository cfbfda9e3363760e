"""The AWS engine refuses what cannot be before it asks anybody."""

from pathlib import Path

import pytest

from skyfan import template
from skyfan.aws import dispatch, engine
from skyfan.errors import UsageError
from skyfan.task import Task

REPO = Path(__file__).parents[3]


def test_a_function_that_takes_one_file_an_event_is_sent_no_batch() -> None:
    registry = template.read(REPO / "template.yaml")
    assert engine.FAILURES in registry.function("SepExtract").environment
    options = engine.AwsOptions(sending=dispatch.Options(batch=5))
    with pytest.raises(UsageError, match="FitsSummary takes one file an invocation"):
        engine.run(["s3://stpubdata/a.fits"], registry, "FitsSummary", Task(), options)
