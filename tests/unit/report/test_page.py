"""The page of runs written by hand: each part or a sentence instead of it; no data becomes markup."""

import errno
import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from skyfan import api
from skyfan.catalogs import dataset, schema
from skyfan.cli import main
from skyfan.errors import UsageError
from skyfan.report import images, measured, section_costs, thumbnails
from skyfan.report import page as page_module
from skyfan.report.html import VOID
from skyfan.runs.judge import STATES

from .conftest import EVIL, FILES, RUN, RunFolder


class Reader(HTMLParser):
    """Checks that elements nest, and keeps what a reader of the page gets."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def rows(page: Reader) -> list[dict[str, Any]]:
    """The rows of the table of images, from the data in the page."""
    found: dict[str, list[Any]] = {}
    for element, content in zip(page.all("script"), page.scripts, strict=True):
        if re.fullmatch(r"(images|details)-\d+", element.get("id") or ""):
            found |= {key: unpacked(column) for key, column in json.loads(content).items()}
    return [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]


def unpacked(column: Any) -> list[Any]:
    return column if isinstance(column, list) else [column["words"][place] for place in column["places"]]


def report(folder: RunFolder) -> tuple[str, Reader]:
    html = api.report(RUN, folder.folder).read_text(encoding="utf-8")
    return html, Reader(html)


def test_the_whole_story(whole: RunFolder) -> None:
    _, page = report(whole)
    for fact in (
        "2 of 4", "failed or missing", "60",  # the banner
        "2 done, 1 failed, 1 unsent", "not public yet", "target",  # request and outcome
        "doubtful images", "1 of the collected images", "half of it is masked",
        "2 of 3 images", "median 25.5 AB mag", "55 of 60 sources", "5σ in 0.8″ apertures",
        "At most 2 at once", "1,024 MB", "20 invocations (4 failed, hatched): median 2 s",
        "Nothing was paid", "rules of 2018", "the 4 files of the plan", "c0ffee",
    ):  # fmt: skip
        assert fact in page.text, fact


def doubtful(page: Reader) -> str:
    """The part of the page about doubtful images."""
    return page.text.partition("Doubtful images")[2].partition("All images")[0]


def test_doubtful_images_are_counted_by_reason_with_an_example(whole: RunFolder) -> None:
    part = doubtful(report(whole)[1])
    assert all(part.count(name) == 1 for name in ("MASKED", "NO_SKY", "half of it is masked"))
    assert part.count(FILES[1]) == 2, "an example for each reason, its notes once"


def test_before_collect_doubtful_images_are_those_that_are_marked(begun: RunFolder) -> None:
    begun.plan()
    begun.done(*FILES[:2])
    assert "None of the images that are done" in doubtful(report(begun)[1])
    begun.place.put(f"runs/{RUN}/doubtful/NO_SKY-MASKED/{FILES[1].removeprefix('s3://')}", b"")
    _, page = report(begun)
    assert "doubtful images" in page.text
    assert all(fact in doubtful(page) for fact in ("1 of the images that are done", "NO_SKY", "--doubtful"))


def test_without_marks_and_data_set_doubtful_images_are_not_known(begun: RunFolder) -> None:
    begun.plan()
    begun.done(*FILES[:2])
    path = begun.folder / "runs" / RUN / "run.json"
    path.write_text(path.read_text().replace('"doubtful": true', '"doubtful": false'))
    assert "Not known" in doubtful(report(begun)[1])


def test_nothing_of_the_data_is_markup_and_nothing_is_fetched(whole: RunFolder) -> None:
    html, page = report(whole)
    assert page.text.count(EVIL) >= 5  # setting, query, instrument, error type and message
    names = {name for name, _ in page.tags}
    assert not names & {"b", "iframe", "object", "link", "form"}
    assert all((image.get("src") or "data:image/").startswith("data:image/") for image in page.all("img"))
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on") or a == "style"]
    assert all((link["href"] or "").startswith("#") for link in page.all("a"))
    assert not re.search(r"url\((?!#)|@import|https?://", re.sub(r"s3://\S+", "", html))
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert (policy or "").startswith("default-src 'none'; ")
    # One script runs, whose digest the policy has; all others are data.
    kinds = [script.get("type") for script in page.all("script")]
    assert kinds == ["application/json"] * (len(kinds) - 1) + [None]
    digest = b64encode(sha256(page.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'; " in (policy or "")
    assert page.scripts[-1] == Path(page_module.__file__).with_name("report.js").read_text("utf-8")
    assert EVIL in [row["reasons"] for row in rows(page)]


def test_what_is_named_is_there_once(whole: RunFolder) -> None:
    _, page = report(whole)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [link["href"] for link in page.all("a")]
    wanted = {(name or "").removeprefix("#") for name in named}
    for key in ("aria-labelledby", "aria-describedby"):
        wanted |= {attributes[key] or "" for _, attributes in page.tags if key in attributes}
    assert wanted <= set(ids)


def test_headings_do_not_skip_and_tables_are_headed(whole: RunFolder) -> None:
    _, page = report(whole)
    levels = [int(name[1]) for name, _ in page.tags if re.fullmatch(r"h\d", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    tables = page.all("table")
    assert len(tables) == len(page.all("caption")) >= 8
    assert all(heading.get("scope") in {"row", "col"} for heading in page.all("th"))
    assert all(image.get("alt") for image in page.all("img"))


def test_a_run_that_has_only_begun_has_a_page(begun: RunFolder) -> None:
    _, page = report(begun)
    for fact in (
        "No plan",
        "No file failed",
        "No position",
        "no previews",
        "skyfan collect night",
        "no bill",
    ):
        assert fact in page.text, fact


@pytest.mark.parametrize("part", ["plan", "collected", "log"])
def test_each_part_is_shown_without_the_others(begun: RunFolder, part: str) -> None:
    getattr(begun, part)()
    html, page = report(begun)
    expected = {
        "plan": "All images: 4 planned images",
        "collected": "2 of 3 images",
        "log": "At most 2 at once",
    }
    for name, fact in expected.items():
        assert (fact in page.text) == (name == part)
    assert html.count('class="notice"') >= 2


def test_a_damaged_data_set_is_reported_not_raised(whole: RunFolder) -> None:
    (whole.folder / f"runs/{RUN}/collected/images.parquet").write_bytes(b"not Parquet")
    _, page = report(whole)
    assert f"{RUN}/collected cannot be read" in page.text


def test_a_data_set_of_another_run_is_not_taken(whole: RunFolder) -> None:
    about = whole.folder / f"runs/{RUN}/collected/skyfan.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"run": "other"}))
    _, page = report(whole)
    assert "holds the run other" in page.text


def test_previews_become_pictures_and_damaged_ones_are_skipped(whole: RunFolder) -> None:

    body = BytesIO()
    Image.new("RGB", (900, 600), (10, 200, 90)).save(body, "PNG")
    where = f"runs/{RUN}/catalogs/bucket"
    whole.place.put(f"{where}/a_flt.fits.preview.png", body.getvalue())
    whole.place.put(f"{where}/b_flt.fits.preview.png", body.getvalue()[:99])
    _, page = report(whole)
    image, *others = page.all("img")
    assert [other["class"] for other in others] == ["sky", "outlines"], "those of the dialog, and no second"
    assert (image["width"], image["height"]) == ("360", "240")
    assert (image["alt"] or "").startswith("a_flt.fits with its sources outlined: ")
    assert "1 image of 2 that are done" in page.text


def test_many_kinds_of_failures_are_cut_and_counted(begun: RunFolder) -> None:
    files = [f"s3://bucket/f{n:03}.fits" for n in range(60)]
    alike = {"size": 1, "tier": "standard", "dropped": None, "instrument_name": "I", "filters": "F"}
    nowhere = dict.fromkeys(("s_ra", "s_dec", "s_region"))
    begun.plan(uri=files, **{name: [value] * 60 for name, value in (alike | nowhere).items()})
    for n, file in enumerate(files):
        begun.failed(file, f"Error{n}")
    _, page = report(begun)
    assert "60 failed" in page.text
    assert "40 files of rarer kinds are in the table of all images" in page.text
    assert sorted(row["reasons"] for row in rows(page)) == sorted(f"Error{n}" for n in range(60))
    assert "No position" in page.text


def _call(*words: str) -> Result:
    return CliRunner().invoke(main, ["report", *words])


def test_the_command_names_its_file(whole: RunFolder, tmp_path: Path) -> None:
    to = tmp_path / "page.html"
    done = _call(RUN, "--output", str(whole.folder), "--to", str(to), "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"run": RUN, "report": str(to), "bytes": to.stat().st_size}
    assert list(tmp_path.glob("*.html")) == [to]
    done = _call(RUN, "--output", str(whole.folder))
    assert done.stdout.startswith(str(whole.folder / f"runs/{RUN}/report.html"))


def test_a_full_disk_leaves_the_page_that_was_there_and_nothing_half_written(
    begun: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "INLINE", 3)
    begun.plan()
    report(begun)
    folder = begun.folder / f"runs/{RUN}"
    before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    begun.failed(FILES[3])
    now = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for write in ("write_bytes", "write_text"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, write, full)
            with pytest.raises(UsageError, match="No space left on device; free space there"):
                api.report(RUN, begun.folder)
        assert {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")} == now
    assert before.items() <= now.items()


@pytest.mark.parametrize(
    ("words", "name"),
    [(["absent"], "'absent'"), ([RUN, "--to", "no/such/folder.html"], "no/such/folder.html")],
)
def test_a_mistake_is_one_line(whole: RunFolder, words: list[str], name: str) -> None:
    done = _call(*words, "--output", str(whole.folder))
    assert done.exit_code == 2
    assert name in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_files_of_the_plan_are_named_as_they_are(whole: RunFolder) -> None:
    with pytest.raises(UsageError):
        api.report("no", whole.folder)
    _, page = report(whole)
    assert FILES[2] in page.text


def test_the_sample_of_magnitudes_is_fair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Partitions of 100 to 4,000 sources; the first row group of each holds bright ones alone."""
    monkeypatch.setattr(dataset, "ROW_GROUP", 100)
    rng = np.random.default_rng(1)
    columns = schema.described(pa.schema([(schema.HEALPIX, pa.int64()), ("MAG_AUTO", pa.float32())]), {})
    found, parts = [], []
    for number in range(30):
        size = int(rng.choice([100, 1000, 4000]))
        magnitudes = np.where(np.arange(size) < 100, 18, 25) + rng.normal(0, 0.5, size)
        pixel = dataset.Partition(4, number, size)
        arrays = [pa.array(np.arange(size)), schema.array(magnitudes.astype("f4"), pa.float32())]
        dataset.write_partition(pa.Table.from_arrays(arrays, schema=columns), tmp_path / pixel.path)
        found.append(pixel)
        parts.append(magnitudes)
    everything = np.concatenate(parts)
    dataset.write_metadata(tmp_path, found, columns, {"run": RUN, "place": "p", "sources": len(everything)})
    data = dataset.find(tmp_path)
    assert data is not None
    sample, _ = measured._magnitudes(data)
    assert sample is not None
    assert (sample.total, sample.sampled) == (len(everything), 64 * 100)
    assert sample.quantiles[2] == pytest.approx(np.median(everything), abs=0.05)
    bright = sample.counts[sample.edges[1:] < 21].sum() / sample.finite
    assert bright == pytest.approx((everything < 21).mean(), abs=0.04)


def test_planned_files_of_unknown_instrument_are_in_the_table(begun: RunFolder) -> None:
    instruments = [None, "WFC3/IR", "WFC3/IR", None, "WFC3/IR"]
    begun.plan(instrument_name=instruments, filters=[None, "F160W", "F160W", None, "F160W"])
    _, page = report(begun)
    assert re.search(r"unknown\s*–\s*2\s*2\.0 MB", page.text)
    assert re.search(r"WFC3/IR\s*F160W\s*2", page.text)


def test_the_page_says_what_its_bill_lacks(whole: RunFolder) -> None:
    assert "The bill lacks" not in report(whole)[1].text
    assert "3 of 20 accepted requests" in str(section_costs._unreported(3, 20))


def test_a_picture_of_noise_is_encoded() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    with Image.open(BytesIO(thumbnails._encoded(Image.fromarray(noise), None).base)) as picture:
        assert picture.size == (80, 60)


def test_the_table_has_every_image_and_those_that_need_a_look_come_first(whole: RunFolder) -> None:
    found = rows(report(whole)[1])
    assert [row["state"] for row in found] == ["failed", "doubtful", "done", "unsent"]
    failed, doubtful, done, _ = found
    assert (failed["uri"], failed["reasons"], failed["notes"]) == (FILES[2], EVIL, EVIL)
    assert (doubtful["reasons"], doubtful["notes"]) == ("MASKED NO_SKY", "half of it is masked")
    assert (done["sources"], done["depth"], done["date"]) == (10, 25.0, "2020-05-31")


def test_every_state_has_its_place_in_the_table() -> None:
    assert set(images.ORDER) == {*STATES, images.DOUBTFUL}
    style = Path(page_module.__file__).with_name("page.css").read_text("utf-8")
    assert all(f".{state}" in style for state in images.ORDER if state != "done")


def test_before_collect_the_table_knows_doubts_by_their_marks(begun: RunFolder) -> None:
    begun.plan()
    begun.done(*FILES[:2])
    begun.place.put(f"runs/{RUN}/doubtful/NO_SKY-MASKED/{FILES[1].removeprefix('s3://')}", b"")
    first = rows(report(begun)[1])[0]
    assert (first["uri"], first["state"], first["reasons"]) == (FILES[1], "doubtful", "NO_SKY MASKED")


def test_a_run_on_this_machine_headlines_its_own_time(whole: RunFolder) -> None:
    _, page = report(whole)
    banner = page.text.partition("Outcome")[0]
    assert re.search(r"on this machine\s*21\.0 s\s*is what Lambda would have cost\s*[\d.]+ USD", banner)


def test_many_images_lie_in_files_beside_the_page_of_this_version_alone(
    begun: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "INLINE", 3)
    monkeypatch.setattr(images, "ROWS", 3)
    begun.plan()
    begun.failed(FILES[3])
    html, page = report(begun)
    folder = begun.folder / f"runs/{RUN}/report-data"
    (version,) = folder.iterdir()
    names = [f"{kind}-{number:03}.js" for kind in ("details", "images") for number in range(2)]
    assert sorted(path.name for path in version.iterdir()) == names
    assert json.loads(page.scripts[0])["folder"] == f"report-data/{version.name}"
    assert "b>e" not in html.partition("All images")[2].partition("<script")[0]
    for path in version.iterdir():
        text = path.read_text("ascii")
        assert text.startswith(f'skyfanData("{path.stem}",{{')
        assert not set(text) & set("<>&"), "no markup in data, whatever reads them"
    begun.failed(FILES[2])
    report(begun)
    (second,) = folder.iterdir()
    assert second != version
    monkeypatch.undo()
    report(begun)
    assert not folder.exists()


def test_the_script_makes_no_markup() -> None:
    script = Path(page_module.__file__).with_name("report.js").read_text("utf-8")
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(|fetch\(|XMLHttp|import\("
    )
    assert not re.search(forbidden, script)
    assert len(script.splitlines()) < 400
    assert script.count("createElement(") == 1


def test_outlines_are_taken_out_of_a_preview() -> None:
    picture = np.full((40, 50), 70, np.uint8)
    picture[10:20, 10:20] = 120
    known = np.ones(picture.shape, bool)
    known[15, 5:30] = known[5:30, 15] = False
    filled = thumbnails.filled(np.where(known, picture, 0).astype(np.uint8), known)
    assert np.array_equal(filled[known], picture[known])
    assert np.abs(filled.astype(int) - picture).max() <= 50
    assert (filled[~known] >= 70).all()
