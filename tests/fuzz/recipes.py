"""What the fuzzer found, each with how it must end: the name of a seed, its mutations, and the outcome."""

from __future__ import annotations

from .mutations import Mutation

_INFINITE = "7f800000"
RECIPES: dict[str, tuple[str, list[Mutation], str]] = {
    # astropy counts to the last of two NAXIS cards.
    "two values of NAXIS": (
        "gzip tiles",
        [["remove", 1], ["line", 0, 9, "NAXIS   =  9223372036854775807", 300]],
        "UnreadableError",
    ),
    # Without EXTEND, astropy reads the second header with the first, before it was checked.
    "a number of columns behind a header without EXTEND": (
        "hcompress",
        [["card", 1, "TFIELDS", "1000000000000000000"], ["drop", 0, "EXTEND"]],
        "UnreadableError",
    ),
    "two values of ZIMAGE": ("rice", [["line", 1, 9, "ZIMAGE  =                    F"]], "UnreadableError"),
    "CONTINUE without text": ("blank plain", [["card", 0, "CONTINUE", "1"]], "UnreadableError"),
    # Pixels of quite different heights hid the sky from the histogram of a mesh: noise 0, and a level of 1e8.
    "outliers hide the sky": ("blank plain", [["flip", 0, 503930533, 200]], "catalog"),
    "outliers beside an error plane": ("flt", [["flip", 1, 11420247, 200]], "catalog"),
    "outliers in a drizzled image": ("47 tuc drizzled", [["flip", 1, 331133079, 200]], "catalog"),
    "most pixels are outliers": ("long", [["flip", 0, 584506118, 5000]], "catalog"),
    # Hot pixels with dark neighbours: Poisson noise of less than nothing.
    "dark neighbours": ("double", [["flip", 0, 701318545, 5000]], "catalog"),
    "a hot pixel": (
        "planes",
        [["write", 10, 10618, "34ef700f51cb59645d9e61b1f054c8eea0a280961dd3e4bb6d3399026585", 1]],
        "catalog",
    ),
    "asinh-scaled pixels beyond float32": ("asinh", [["flip", 0, 612877240, 20]], "catalog"),
    "errors of all sizes": ("flt", [["flip", 2, 444919132, 5000]], "catalog"),
    "errors of all sizes in a mosaic": ("mosaic", [["flip", 2, 546636769, 200]], "catalog"),
    "errors that are other bytes": ("tables", [["length", 3, 0]], "catalog"),
    "pixels among the smallest numbers": (
        "lookup",
        [["remove", 2], ["flip", 1, 791166458, 200]],
        "catalog",
    ),
    "weights of all sizes": ("weight", [["flip", 2, 745924516, 5000]], "catalog"),
    "every second error is 0": (
        "rice short",
        [["extension", 1, "UNCERT", 8, [64, 64, 1], "0001"]],
        "catalog",
    ),
    "an infinite card of the observation": ("47 tuc", [["card", 0, "RA_TARG", "1E309", "about"]], "catalog"),
    "infinite numbers of exposures": (
        "weight",
        [["extension", 3, "CTX", -64, [64, 64], _INFINITE]],
        "catalog",
    ),
    "infinite numbers of reads": ("plain", [["extension", 0, "SAMP", -32, [64, 64], _INFINITE]], "catalog"),
    "pixels below float32": ("short", [["card", 0, "BSCALE", "1E-38"]], "NoValidPixelsError"),
    "pixels too small for their gain": ("short", [["card", 0, "BSCALE", "1E-34"]], "catalog"),
    # astropy looks for headers behind empty bytes, where none was checked: it went back in the file.
    "an empty block before a header": (
        "two chips",
        [["length", 0, 2880], ["card", 10, "PCOUNT", "-32768", "size"]],
        "UnreadableError",
    ),
    "meshes of very different noise": (
        "byte",
        [
            ["extension", 0, "UNCERT", 32, [9, 9], "0001"],
            ["card", 0, "NAXIS2", "128", "present"],
            ["length", 0, 2048],
        ],
        "catalog",
    ),
    # wcslib takes 134 MB for the square of it, several times.
    "thousands of axes": ("hcompress", [["card", 1, "WCSAXES", "4096", "WCS"]], "catalog"),
    "pixels of less than no bytes": ("rice", [["card", 1, "ZVAL2", "-4"]], "UnreadableError"),
    # astropy looked for 81 million cards.
    "distortion of a huge order": (
        "hcompress",
        [["card", 1, "A_ORDER", "9000"], ["card", 1, "B_ORDER", "9000"]],
        "catalog",
    ),
    # What the filter made of bright pixels around: no light to measure, and errors of 0.
    "a source of masked pixels alone": (
        "long",
        [["write", 0, 8496, "8080808080808080", 2048], ["flip", 0, 825877804, 5000]],
        "catalog",
    ),
    # They made pixels 1e29 sigma bright, after such pixels were masked.
    "areas of all sizes": (
        "planes",
        [["extension", 7, "UNCERT", 8, [64, 64, 1], "3f800000"], ["flip", 11, 798609872, 5000]],
        "catalog",
    ),
    "an exposure of no time": ("plio", [["card", 0, "EXPTIME", "1E-100"]], "catalog"),
    # ERR of 1 beside pixels of 3e23 that are nearly all equal: its square, scaled, was no float32.
    "an error plane of another image": (
        "blank",
        [["write", 1, 1305, "7b628b749bc38866", 5000]],
        "catalog",
    ),
    # A lack of memory, which a larger function was then asked to mend.
    "a heap of ten billion values": (
        "mosaic rice",
        [["card", 1, "TFORM1", "'1QB(9999999999)'", "present"]],
        "UnreadableError",
    ),
    "a tile beyond its heap": ("mosaic rice", [["write", 1, 0, "7f", 9]], "UnreadableError"),
    # astropy refuses it.
    "a heap that begins nowhere": ("frames", [["card", 1, "THEAP", "(1,2)", "size"]], "UnreadableError"),
    "noise of the smallest numbers": (
        "abell",
        [["write", 0, 0, "0da24260", 4096], ["flip", 0, 329934346, 3]],
        "catalog",
    ),
    # What a cast makes of numbers that it has no bits for is not the same everywhere.
    "flags beyond 32 bits": ("mosaic", [["card", 3, "BSCALE", "1E30", "scale"]], "catalog"),
    # Meshes of one value have no noise; that of ERR, which stands for it, was not in BACKGROUND_RMS.
    "a mosaic of one value": ("mosaic", [["write", 1, 2286, "5a74f5de5f5418ea", 5000]], "catalog"),
    # astropy refuses it once it comes to this card.
    "a number that goes on": ("frames", [["line", 1, 6, "CONTINUE  'x&'", 1]], "UnreadableError"),
    # astropy printed 17 lines, as no axis but the first two said SIP.
    "a third axis beside lookup tables": (
        "grism",
        [["card", 1, "CTYPE3", "'x'", "WCS"], ["card", 1, "CPDIS1", "'CLEAR   '", "WCS"]],
        "catalog",
    ),
}
