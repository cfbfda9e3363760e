"""How good the catalog of one image is, beside SExtractor's.

    python benchmarks/science [--json] [--mincont C] [--plot FILE]

Stars are planted on a shaken grid all over real images, in two shapes: a Gaussian of FWHM 3 pixels, and 80
% in a Gaussian of FWHM 2 pixels with 20 % in a Moffat halo. S/N is that of a background-limited star in a
circle of 3 pixels' radius. Stars within 3 pixels of a source of the image do not count. Completeness is of
all others; biases and pulls are of those with FLAGS below 4 where the image shows nothing, and in 47 Tuc,
where it shows something everywhere, of all with FLAGS below 4. A pull is (measured - true) / error; its
robust width is 1 where errors are right. Fluxes are relative to the true total, or to the share of it that
a circle holds. Positions are judged by the truth, not by repeated exposures. Negatives are the rows of the
mirrored image; the limits of the bit FAINT of CLASS are applied to SExtractor's, too. SExtractor gets the
same pixels, mask and settings; its time includes the writing of these.

--mincont is the contrast of deblending (default: that of the kind of image). --plot draws completeness, bias
and pull into a picture, the total flux being FLUX_TOTAL, or SExtractor's FLUX_AUTO. Images: cut-outs that
ship, and whole files of $SKYFAN_SHARED_DATA (or ../shared/data) where they are.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("functions/runtime", "functions/sep_extract", "benchmarks")]

import kinds  # noqa: E402
import numpy as np  # noqa: E402
import sep  # noqa: E402
import sextractor  # noqa: E402
from fields import CORE_AND_HALO, negative, one_sigma, planted, read, rows_of, shares_within, stars  # noqa: E402
from planting import Floats, Planted, grown, star  # noqa: E402
from plot import draw  # noqa: E402
from recovery import table, width  # noqa: E402

from sep_extract.chip import Chip  # noqa: E402
from sep_extract.classes import FAINT_BELOW, FAINT_BELOW_ISO  # noqa: E402
from sep_extract.event import Config  # noqa: E402
from sep_extract.extract import measure  # noqa: E402

DEMO = ROOT / "tests/data/demo"
SHARED = Path(os.environ.get("SKYFAN_SHARED_DATA") or ROOT.parent / "shared/data")
SHAPES = {"gaussian": star(3.0), "core + halo": CORE_AND_HALO}
OURS, THEIRS = "SepExtract", "SExtractor"
PROGRAMS = (OURS, THEIRS) if sextractor.PROGRAM else (OURS,)
RANGES = ((5, 10), (10, 20), (20, 50), (50, 200), (200, 400), (400, 1000))
SPACING, MATCH, APART = 30, 1.5, 3.0
KIND_SPACING = 40


NAMES = (
    *(f"{column}_{name}" for column in ("FLUX", "FLUXERR") for name in ("ISO", "AUTO", "APER", "TOTAL")),
    *(name for a in "XY" for win in ("", "WIN") for name in (f"{a}{win}_IMAGE", f"ERR{a}2{win}_IMAGE")),
    "FLAGS",
)


class Image(NamedTuple):
    """A real image, and how many pictures are made of it; ``crowded`` where no star stands alone."""

    name: str
    path: Path
    pictures: int
    crowded: bool = False


IMAGES = (
    Image("Abell 2744", DEMO / "abell2744_f105w_drz.fits", 4),
    Image("F140W", SHARED / "ib6o23rtq_sci1_blt.fits.gz", 1),
    Image("47 Tuc", SHARED / "j8bt06nyq_square_drz.fits.gz", 1, crowded=True),
)


class Sample:
    """What one program makes of planted stars: S/N and ``found`` (n,), and of each quantity by name the error
    and the claimed error (n,), NaN where a star was not found or is not used.
    """

    def __init__(self, signal_to_noise: Floats, found: np.ndarray, quantities: dict[str, np.ndarray]) -> None:
        self.signal_to_noise, self.found, self.quantities = signal_to_noise, found, quantities

    def within(self, least: float, most: float) -> np.ndarray:
        return (self.signal_to_noise >= least) & (self.signal_to_noise < most)

    def completeness(self, least: float, most: float) -> float:
        here = self.within(least, most)
        return float(self.found[here].mean()) if here.any() else math.nan

    def of(self, figure: str, name: str, least: float, most: float) -> float:
        """The bias (median), scatter (robust width) or pull of a quantity in a range of S/N."""
        error, claimed = self.quantities[name][self.within(least, most)].T
        values = error / claimed if figure == "pull" else error
        values = values[np.isfinite(values)]
        if len(values) < 10:
            return math.nan
        return float(np.median(values)) if figure == "bias" else width(values)


def nearest(x: Floats, y: Floats, rows: Any) -> tuple[np.ndarray, Floats]:
    """The nearest row to each 0-based position, and how far it is."""
    at = np.asarray(rows["X_IMAGE"]) - 1.0, np.asarray(rows["Y_IMAGE"]) - 1.0
    distance = np.stack([np.hypot(at[0] - a, at[1] - b) for a, b in zip(x, y, strict=True)])
    row = distance.argmin(axis=1)
    return row, distance[np.arange(len(x)), row]


def quantities(sources: Planted, rows: Any, config: Config, scale: float) -> dict[str, np.ndarray]:
    """Error and claimed error (n, 2) of each quantity; ``rows`` are those of the stars, one for one."""
    found = {}
    for name in ("ISO", "AUTO", "TOTAL"):
        if f"FLUX_{name}" not in rows:
            continue  # SExtractor has no total
        found[name] = np.stack(
            [rows[f"FLUX_{name}"] / sources.flux - 1, rows[f"FLUXERR_{name}"] / sources.flux]
        )
    for k, diameter in enumerate(config.phot_apertures):
        true = sources.flux * shares_within(sources, diameter / 2 / scale)
        flux, error = (np.asarray(rows[f"{c}_APER"])[:, k] for c in ("FLUX", "FLUXERR"))
        found[f"APER {diameter:g}"] = np.stack([flux / true - 1, error / true])
    for name, true in (("X", sources.x), ("Y", sources.y)):
        for win in ("", "WIN"):
            off = rows[f"{name}{win}_IMAGE"] - 1 - true
            found[name + win] = np.stack([off, np.sqrt(rows[f"ERR{name}2{win}_IMAGE"])])
    return {name: np.asarray(pair, dtype=float).T for name, pair in found.items()}


def free(chip: Chip) -> np.ndarray:
    """Where an image shows nothing at 1.2 sigma, (ny, nx), 8 pixels around sources left out."""
    model = sep.Background(chip.data, mask=chip.mask)
    sep.set_extract_pixstack(chip.data.size)
    _, segments = sep.extract(
        chip.data - model.back(),
        1.2,
        err=model.globalrms,
        mask=chip.mask,
        deblend_cont=1.0,
        segmentation_map=True,
    )
    return ~grown((segments > 0) | chip.mask, 8)


def samples(image: Image, chip: Chip, shape: Any, config: Config) -> dict[str, Sample]:
    """Stars of one shape in all pictures of an image, by program."""
    rng, rms = np.random.default_rng(1), measure(chip.pixels, config).rms
    empty, scale = rows_of(chip, Config()), chip.sky.scale or 1.0
    usable = ~chip.mask if image.crowded else free(chip)
    unit = one_sigma(rms)
    parts: dict[str, list[Sample]] = {program: [] for program in PROGRAMS}
    for _ in range(image.pictures):
        sown = stars(~chip.mask, shape, (5 * unit, 1000 * unit), rng, SPACING)
        apart = nearest(sown.x, sown.y, empty)[1] > APART
        x, y, flux = (v[apart] for v in (sown.x, sown.y, sown.flux))
        sources = Planted(x, y, flux, (shape,) * len(x))
        picture = planted(chip, sources, rng)
        for program in PROGRAMS:
            every: Any = rows_of(picture, config) if program == OURS else sextractor.run(picture, config, rms)
            row, distance = nearest(x, y, every)
            known = [name for name in NAMES if program == OURS or name in every.colnames]
            rows = {name: np.asarray(every[name])[row] for name in known}
            found = distance < MATCH
            use = found & (rows["FLAGS"] < 4) & usable[np.rint(y).astype(int), np.rint(x).astype(int)]
            measured = quantities(sources, rows, config, scale)
            for pair in measured.values():
                pair[~use] = np.nan
            parts[program].append(Sample(flux / unit, found, measured))
    return {program: joined(several) for program, several in parts.items()}


def joined(parts: list[Sample]) -> Sample:
    names = parts[0].quantities
    return Sample(
        np.concatenate([p.signal_to_noise for p in parts]),
        np.concatenate([p.found for p in parts]),
        {name: np.concatenate([p.quantities[name] for p in parts]) for name in names},
    )


def kinds_of(chip: Chip, config: Config) -> list[dict[str, float]]:
    """What CLASS makes of planted stars, galaxies and hits, in four pictures."""
    parts = [kinds.measured(chip, np.random.default_rng(seed), config, KIND_SPACING) for seed in range(4)]
    return kinds.figures({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def counts(chip: Chip, config: Config) -> dict[str, dict[str, Any]]:
    """Rows of the image, those of its negative, and the CPU time of the first, by program."""
    result: dict[str, dict[str, Any]] = {}
    rms, mirrored = measure(chip.pixels, config).rms, negative(chip)
    for program in PROGRAMS:
        run = rows_of if program == OURS else (lambda c, config: sextractor.run(c, config, rms))
        before = os.times()
        positive: Any = run(chip, config)
        after = os.times()
        false: Any = run(mirrored, config)
        cpu = sum(after[:4]) - sum(before[:4])
        result[program] = {
            "rows": len(positive["X_IMAGE"]),
            "negative": len(false["X_IMAGE"]),
            "rows not faint": not_faint(positive),
            "negative not faint": not_faint(false),
            "CPU s": round(cpu, 2),
        }
    return result


def not_faint(rows: Any) -> int:
    """Number of rows that are not faint by the limits of CLASS, which SExtractor does not have."""
    firm = np.asarray(rows["FLUX_AUTO"] >= FAINT_BELOW * rows["FLUXERR_AUTO"])
    firm |= np.asarray(rows["FLUX_ISO"] >= FAINT_BELOW_ISO * rows["FLUXERR_ISO"])
    return int(np.count_nonzero(firm))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks/science"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--mincont", type=float, metavar="C")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a picture, such as an .svg")
    options = parser.parse_args()
    base = Config(deblend_mincont=options.mincont)
    document: dict[str, Any] = {"deblend_mincont": options.mincont, "images": {}}
    summary: dict[str, dict[str, float]] = {}
    for image in IMAGES:
        if not image.path.exists():
            continue
        chip = read(image.path)
        config = chip.configured(base)
        entry: dict[str, Any] = {"counts": counts(chip, config), "scale": chip.sky.scale}
        found = {name: samples(image, chip, shape, config) for name, shape in SHAPES.items()}
        for name, programs in found.items():
            entry[name] = {program: figures(sample) for program, sample in programs.items()}
        document["images"][image.name] = entry
        if image.name == "F140W":
            entry["kinds"] = kinds_of(chip, base)
            for row in entry["kinds"]:
                for name in list(row)[2:]:
                    summary[f"{image.name}: {name}, S/N over {row['S/N over']:g}"] = {OURS: row[name]}
        for program, quantity, value in summary_of(image, entry, found):
            summary.setdefault(quantity, {})[program] = value
        if not options.json:
            show(image, entry)
    document["summary"] = summary
    if options.plot:
        draw(document, options.plot)
    if options.json:
        print(json.dumps(json.loads(json.dumps(document), parse_constant=lambda _: None), indent=1))
        return
    print("  ".join(f"{program:>10}" for program in PROGRAMS))
    for quantity, values in summary.items():
        print("  ".join(f"{value:10.3f}" for value in values.values()), f" {quantity}")


def figures(sample: Sample) -> list[dict[str, Any]]:
    """One row for each quantity and range of S/N."""
    rows = []
    for least, most in RANGES:
        row: dict[str, Any] = {"S/N over": least, "planted": int(sample.within(least, most).sum())}
        row["complete"] = sample.completeness(least, most)
        for name in sample.quantities:
            row[f"{name} bias"] = sample.of("bias", name, least, most)
            row[f"{name} pull"] = sample.of("pull", name, least, most)
        rows.append(row)
    return rows


def summary_of(image: Image, entry: dict[str, Any], found: dict[str, Any]) -> list[tuple[str, str, float]]:
    """The quantities by which a change is judged, of the image that each is judged on."""
    rows: list[tuple[str, str, float]] = []
    for program in PROGRAMS:
        round_star, winged = (found[name][program] for name in SHAPES)

        def add(quantity: str, value: float, program: str = program) -> None:
            rows.append((program, f"{image.name}: {quantity}", value))

        number = entry["counts"][program]
        add("negative per positive detections", number["negative"] / max(number["rows"], 1))
        firm = number["negative not faint"] / max(number["rows not faint"], 1)
        add("negative per positive detections that are not faint", firm)
        add("completeness, S/N > 400, gaussian", round_star.completeness(400, 1000))
        add("completeness, S/N > 400, core + halo", winged.completeness(400, 1000))
        if image.crowded:
            for least, most in RANGES:
                add(f"pull of FLUX_AUTO, S/N {least} to {most}", round_star.of("pull", "AUTO", least, most))
            continue
        milliarcsec = 1000 * (entry["scale"] or math.nan)
        for win, name in (("", "barycentre"), ("WIN", "windowed position")):
            scatter = np.hypot(*(round_star.of("scatter", a + win, 50, 200) for a in "XY")) / math.sqrt(2)
            add(f"scatter of {name} along an axis, S/N 50 to 200, mas", float(scatter) * milliarcsec)
        for least, most in ((10, 20), (50, 200), (400, 1000)):
            pull = max(round_star.of("pull", name, least, most) for name in ("XWIN", "YWIN"))
            add(f"pull of XWIN, YWIN, the larger, S/N {least} to {most}", pull)
        smallest = next(name for name in round_star.quantities if name.startswith("APER"))
        for figure in ("scatter", "pull"):
            add(f"{figure} of FLUX_{smallest} arcsec, S/N > 100", round_star.of(figure, smallest, 100, 1000))
        for least, most in ((10, 20), (200, 1000)):
            lost = -2.5 * math.log10(1 + winged.of("bias", "AUTO", least, most))
            add(f"MAG_AUTO - total, core + halo, S/N {least} to {most}", lost)
            if "TOTAL" in winged.quantities:
                lost = -2.5 * math.log10(1 + winged.of("bias", "TOTAL", least, most))
                add(f"MAG_TOTAL - total, core + halo, S/N {least} to {most}", lost)
                pull = winged.of("pull", "TOTAL", least, most)
                add(f"pull of FLUX_TOTAL, core + halo, S/N {least} to {most}", pull)
    return rows


def show(image: Image, entry: dict[str, Any]) -> None:
    """Print the figures of one image."""
    print(f"{image.name}: {image.path.name}")
    for program, number in entry["counts"].items():
        print(f"  {program}: " + ", ".join(f"{value} {name}" for name, value in number.items()))
    for shape in SHAPES:
        for program, rows in entry[shape].items():
            keys = ("S/N over", "planted", "complete")
            for figure in ("bias", "pull"):
                print(f"\n{image.name}, {shape}, {program}: {figure}\n")
                short = [
                    {k: row[k] for k in keys}
                    | {k.removesuffix(f" {figure}"): v for k, v in row.items() if k.endswith(f" {figure}")}
                    for row in rows
                ]
                print(table(short))
    print(flush=True)


if __name__ == "__main__":
    main()
