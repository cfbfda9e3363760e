"""Prices and rules of counting, read from prices.toml or from a file of the same form."""

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError

REGION, MODEL = "us-east-1", "today"
OWN = Path(__file__).with_name("prices.toml")
CHARGES = ("compute", "requests", "tmp", "snapstart", "s3", "logs")


@dataclass(frozen=True)
class Tier:
    """A price in USD a unit for the units of a month up to `up_to`."""

    up_to: float
    price: float


@dataclass(frozen=True)
class Model:
    """A way of counting."""

    name: str
    granularity_ms: int
    """Billed time is rounded up to a multiple of this."""
    init: bool
    """Whether the start of an environment is billed."""
    charges: tuple[str, ...]
    """The parts that are on the bill, of CHARGES."""
    gb_second: float | None
    """The model's own price in USD a GB-s, where it does not go by the region's."""
    as_logged_since: float | None
    """Unix time since which AWS's logs themselves follow this model."""


@dataclass(frozen=True)
class Prices:
    """All prices of one region, in USD, and the models."""

    source: str
    collected: str
    region: str
    request: float
    tmp_gb_second: float
    snapstart_restore_gb: float
    s3_get: float
    s3_put: float
    s3_gb_month: float
    log_gb: float
    log_gb_month: float
    gb_second: dict[str, tuple[Tier, ...]]
    """By architecture: tiers, the last without an end."""
    models: dict[str, Model]
    free_requests: float
    """A month."""
    free_gb_seconds: float

    def model(self, name: str) -> Model:
        """The model of that name. Raises UsageError that names those that there are."""
        try:
            return self.models[name]
        except KeyError:
            raise UsageError(f"there is no model {name!r}; there are: {', '.join(self.models)}") from None

    def compute(self, gb_seconds: float, arch: str, model: Model) -> float:
        """USD for so many GB-s of one month. Raises UsageError for an architecture without a price."""
        if model.gb_second is not None:
            return gb_seconds * model.gb_second
        if arch not in self.gb_second:
            raise UsageError(f"no price of {arch!r} in {self.region}: there is {', '.join(self.gb_second)}")
        below, amount = 0.0, 0.0
        for tier in self.gb_second[arch]:
            amount += max(0.0, min(gb_seconds, tier.up_to) - below) * tier.price
            below = tier.up_to
        return amount


def load(file: str | Path | None = None, region: str | None = None) -> Prices:
    """Reads prices. Raises UsageError where the file is missing or wrong, or has no such region.

    Without `region` it is us-east-1, or the only one that the file has.
    """
    path = Path(file) if file else OWN
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"the price file {path} does not exist") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"the price file {path} cannot be read: {error}") from error
    try:
        return _prices(document, region, path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"the price file {path} is not as {OWN.name} of skyfan is: {what}") from error


def _prices(document: dict[str, Any], region: str | None, path: Path) -> Prices:
    regions = document["regions"]
    if region is None:
        region = next(iter(regions)) if len(regions) == 1 else REGION
    if region not in regions:
        raise UsageError(
            f"{path.name} has no prices of {region!r}; it has: {', '.join(regions)}. "
            f"Copy {OWN}, add the region, and give it with --prices"
        )
    here = regions[region]
    single = (
        "request",
        "tmp_gb_second",
        "snapstart_restore_gb",
        "s3_get",
        "s3_put",
        "s3_gb_month",
        "log_gb",
        "log_gb_month",
    )
    return Prices(
        source=str(document["source"]),
        collected=str(document["collected"]),
        region=region,
        **{name: _price(here[name], name) for name in single},
        gb_second={arch: _tiers(tiers, arch) for arch, tiers in here["gb_second"].items()},
        models={str(name): _model(str(name), model) for name, model in document["models"].items()},
        free_requests=_price(document["free"]["requests"], "free requests"),
        free_gb_seconds=_price(document["free"]["gb_seconds"], "free gb_seconds"),
    )


def _price(value: Any, name: str) -> float:
    price = float(value)
    if not (math.isfinite(price) and price >= 0):
        raise ValueError(f"{name} is {value!r}, which is no price")
    return price


def _tiers(tiers: list[dict[str, Any]], arch: str) -> tuple[Tier, ...]:
    read = tuple(Tier(float(tier.get("up_to", math.inf)), _price(tier["price"], arch)) for tier in tiers)
    ends = [tier.up_to for tier in read]
    if not ends or ends != sorted(set(ends)) or ends[-1] != math.inf:
        raise ValueError(f"the tiers of {arch} must rise, and the last must have no up_to")
    return read


def _model(name: str, model: dict[str, Any]) -> Model:
    charges, step = tuple(model["charges"]), int(model["granularity_ms"])
    if unknown := set(charges) - set(CHARGES):
        raise ValueError(f"model {name} charges {', '.join(sorted(unknown))}; there is {', '.join(CHARGES)}")
    if step < 1:
        raise ValueError(f"granularity_ms of model {name} must be at least 1")
    own = None if "gb_second" not in model else _price(model["gb_second"], name)
    since = model["as_logged_since"].timestamp() if "as_logged_since" in model else None
    return Model(name, step, bool(model["init"]), charges, own, since)
