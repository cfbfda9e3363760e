"""Settings of --config and --config-file: TOML values, text, or refused by name."""

from pathlib import Path
from typing import Any

import pytest

from skyfan.cli.run import read, value
from skyfan.errors import UsageError
from skyfan.task import Task

LONG, DEEP = "1" * 5000, "[" * 5000


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", 3), ("[0.1, 0.2]", [0.1, 0.2]), ("true", True), ("a b", "a b"), (LONG, LONG), (DEEP, DEEP)],
)
def test_a_value_is_toml_or_text(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("pairs", [["a"], ["=1"], ["a=1", "a.b=2"], ["a=1", " a =2"]])
def test_a_setting_that_is_none_or_given_twice_is_refused(pairs: list[str]) -> None:
    with pytest.raises(UsageError, match="--config"):
        read(pairs)


@pytest.mark.parametrize("text", [f"a = {LONG}", f"a = {DEEP}", "a = ", "a = 1\na = 2", "\0", "\udcff"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (file := tmp_path / "settings.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=r"settings\.toml cannot be read"):
        read([], file)


@pytest.mark.parametrize("text", ["inf", "-nan", "2020-01-01", "0x" + "F" * 5000, "{ b = [nan] }"])
def test_what_no_event_can_hold_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match=r"'deep'"):
        Task(config=read([f"deep.one={text}"]))
    with pytest.raises(UsageError, match="3"):
        Task(config={3: "x"})  # type: ignore[dict-item]
