"""An error of our own is no damage of the file."""

from collections.abc import Callable
from typing import Any

import pytest

from sep_extract import chip

Make = Callable[..., Any]


@pytest.mark.parametrize("error", [KeyError("EXPTIME"), ValueError("ours"), AttributeError("gain")])
@pytest.mark.parametrize("step", ["calibration", "Sky.read"])
def test_an_error_of_our_own_is_no_damage_of_the_file(
    extract: Make, flt: Make, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(f"{chip.__name__}.{step}", fail)
    with pytest.raises(type(error)) as caught:
        extract(flt())
    assert caught.value is error
