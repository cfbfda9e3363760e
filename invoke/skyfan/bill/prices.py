"""Prices and billing rules, read from prices.toml or a file of the same form."""

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
    """A price in USD per unit, for a month's units up to `up_to`."""

    up_to: float
    price: float


@dataclass(frozen=True)
class Model:
    """A set of billing rules."""

    name: str
    granularity_ms: int
    """Billed time is rounded up to a multiple of this."""
    init: bool
    """Whether cold starts are billed."""
    charges: tuple[str, ...]
    """The parts on the bill, some of CHARGES."""
    gb_second: float | None
    """The model's own price in USD per GB-s; None for the region's prices."""
    as_logged_since: float | None
    """Unix time since which the Billed Duration in AWS's logs follows this model."""


@dataclass(frozen=True)
class Prices:
    """All prices of one region in USD, and the models."""

    source: str
    collected: str
    region: str
    request: float
    tmp_gb_second: float
    snapstart_restore_gb: float
    s3_get: float
    s3_put: float
    s3_gb_month: float
    sqs_request: float
    transfer_gb: float
    """From S3 to the internet, of the first 10 TB of a month."""
    log_gb: float
    log_gb_month: float
    gb_second: dict[str, tuple[Tier, ...]]
    """Tiers by architecture, the last without an end."""
    models: dict[str, Model]
    free_requests: float
    """Per month; `free_gb_seconds` and `free_transfer_gb` too."""
    free_gb_seconds: float
    free_transfer_gb: float

    def model(self, name: str) -> Model:
        """The model of that name. Raises UsageError, which lists all names, if there is none."""
        try:
            return self.models[name]
        except KeyError:
            raise UsageError(
                f"there is no billing model {name!r}; choose one of {', '.join(self.models)}"
            ) from None

    def compute(self, gb_seconds: float, arch: str, model: Model) -> float:
        """USD for the GB-s of one month. Raises UsageError for an architecture without a price."""
        if model.gb_second is not None:
            return gb_seconds * model.gb_second
        if arch not in self.gb_second:
            raise UsageError(
                f"no price for {arch!r} in {self.region}; there are prices for {', '.join(self.gb_second)}"
            )
        below, amount = 0.0, 0.0
        for tier in self.gb_second[arch]:
            amount += max(0.0, min(gb_seconds, tier.up_to) - below) * tier.price
            below = tier.up_to
        return amount


def load(file: str | Path | None = None, region: str | None = None) -> Prices:
    """Reads the prices of a region from `file` (default: skyfan's own prices).

    `region` defaults to the only one in the file, or to us-east-1. Raises UsageError if the file cannot be
    read, is malformed, or has no such region.
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
        raise UsageError(
            f"the price file {path} does not have the form of skyfan's {OWN.name}: {what}"
        ) from error


def _prices(document: dict[str, Any], region: str | None, path: Path) -> Prices:
    regions = document["regions"]
    if region is None:
        region = next(iter(regions)) if len(regions) == 1 else REGION
    if region not in regions:
        raise UsageError(
            f"{path} has no prices for {region!r}, only for {', '.join(regions)}. "
            f"Copy {OWN}, add the region, and pass the copy with --prices"
        )
    here = regions[region]
    single = (
        "request",
        "tmp_gb_second",
        "snapstart_restore_gb",
        "s3_get",
        "s3_put",
        "s3_gb_month",
        "sqs_request",
        "transfer_gb",
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
        free_transfer_gb=_price(document["free"].get("transfer_gb", 0), "free transfer_gb"),
    )


def _price(value: Any, name: str) -> float:
    price = float(value)
    if not (math.isfinite(price) and price >= 0):
        raise ValueError(f"{name} is {value!r}, which is not a price")
    return price


def _tiers(tiers: list[dict[str, Any]], arch: str) -> tuple[Tier, ...]:
    parsed = tuple(Tier(float(tier.get("up_to", math.inf)), _price(tier["price"], arch)) for tier in tiers)
    ends = [tier.up_to for tier in parsed]
    if not ends or ends != sorted(set(ends)) or ends[-1] != math.inf:
        raise ValueError(f"the tiers of {arch} must rise, and the last must have no up_to")
    return parsed


def _model(name: str, model: dict[str, Any]) -> Model:
    charges, step = tuple(model["charges"]), int(model["granularity_ms"])
    if unknown := set(charges) - set(CHARGES):
        raise ValueError(f"model {name} charges {', '.join(sorted(unknown))}; known are {', '.join(CHARGES)}")
    if step < 1:
        raise ValueError(f"granularity_ms of model {name} must be at least 1")
    own = None if "gb_second" not in model else _price(model["gb_second"], name)
    since = model["as_logged_since"].timestamp() if "as_logged_since" in model else None
    return Model(name, step, bool(model["init"]), charges, own, since)
