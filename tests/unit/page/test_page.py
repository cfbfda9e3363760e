"""The page of runs made by hand: all is there, or a sentence in its place; no data becomes markup."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from skyfan import api
from skyfan.cli import main
from skyfan.errors import UsageError
from skyfan.page.markup import _VOID

from .conftest import EVIL, FILES, RUN, Made


class Reader(HTMLParser):
    """Checks that elements nest, and keeps what a reader of the page gets."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def report(made: Made) -> tuple[str, Reader]:
    html = api.report(RUN, made.folder).read_text(encoding="utf-8")
    return html, Reader(html)


def test_the_whole_story(whole: Made) -> None:
    _, page = report(whole)
    for told in (
        "2 of 4", "failed or missing", "60",  # the banner
        "4 files planned: 2 done, 1 failed, 1 unsent.", "not public yet", "target",  # asked and outcome
        "2 of 3 images have one: median 25.5 AB mag",
        "55 of 60 sources have one", "5σ in 0.8″ apertures",
        "At most 2 at once", "1,024 MB", "20 invocations: median 2 s",
        "Nothing was paid", "Under the rules of 2018", "Expected for the plan's 4 files",
        "What the estimate assumes", "c0ffee",
    ):  # fmt: skip
        assert told in page.text, told


def test_nothing_of_the_data_is_markup_and_nothing_is_fetched(whole: Made) -> None:
    html, page = report(whole)
    assert page.text.count(EVIL) >= 5  # setting, query, instrument, error type and message
    names = {name for name, _ in page.tags}
    assert not names & {"script", "b", "iframe", "object", "link", "form"}
    assert all((image["src"] or "").startswith("data:image/jpeg;base64,") for image in page.all("img"))
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on") or a == "style"]
    assert all((link["href"] or "").startswith("#") for link in page.all("a"))
    assert not re.search(r"url\((?!#)|@import|https?://", re.sub(r"s3://\S+", "", html))
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert (policy or "").startswith("default-src 'none'; ")


def test_what_is_named_is_there_once(whole: Made) -> None:
    _, page = report(whole)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [link["href"] for link in page.all("a")]
    wanted = {(name or "").removeprefix("#") for name in named}
    for key in ("aria-labelledby", "aria-describedby"):
        wanted |= {attributes[key] or "" for _, attributes in page.tags if key in attributes}
    assert wanted <= set(ids)


def test_headings_do_not_skip_and_tables_are_headed(whole: Made) -> None:
    _, page = report(whole)
    levels = [int(name[1]) for name, _ in page.tags if re.fullmatch(r"h\d", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    tables = page.all("table")
    assert len(tables) == len(page.all("caption")) >= 8
    assert all(heading.get("scope") in {"row", "col"} for heading in page.all("th"))
    assert all(image.get("alt") for image in page.all("img"))


def test_a_run_that_has_only_begun_has_a_page(made: Made) -> None:
    _, page = report(made)
    for sentence in (
        "No plan is kept with this run.",
        "No file failed.",
        "No position is known",
        "The run made no previews",
        "Nothing has been collected yet: skyfan collect night gathers",
        "There is no bill: the run night",
    ):
        assert sentence in page.text, sentence


@pytest.mark.parametrize("part", ["plan", "collected", "log"])
def test_each_part_is_told_without_the_others(made: Made, part: str) -> None:
    getattr(made, part)()
    html, page = report(made)
    expected = {
        "plan": "All images: 4 images",
        "collected": "2 of 3 images have one",
        "log": "At most 2 at once",
    }
    for name, told in expected.items():
        assert (told in page.text) == (name == part)
    assert html.count('class="absent"') >= 2


def test_a_damaged_data_set_is_told_not_raised(whole: Made) -> None:
    (whole.folder / f"runs/{RUN}/collected/images.parquet").write_bytes(b"not Parquet")
    _, page = report(whole)
    assert "What was collected cannot be shown: " in page.text


def test_a_data_set_of_another_run_is_not_taken(whole: Made) -> None:
    about = whole.folder / f"runs/{RUN}/collected/skyfan.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"run": "other"}))
    _, page = report(whole)
    assert "holds the run other" in page.text


def test_previews_become_pictures_and_damaged_ones_are_passed_over(whole: Made) -> None:
    from io import BytesIO

    from PIL import Image

    body = BytesIO()
    Image.new("RGB", (900, 600), (10, 200, 90)).save(body, "PNG")
    where = f"runs/{RUN}/catalogs/bucket"
    whole.place.put(f"{where}/a_flt.fits.preview.png", body.getvalue())
    whole.place.put(f"{where}/b_flt.fits.preview.png", body.getvalue()[:99])
    _, page = report(whole)
    (image,) = page.all("img")
    assert (image["width"], image["height"]) == ("480", "320")
    assert (image["alt"] or "").startswith("a_flt.fits with its sources outlined: ")
    assert "1 image of 2 that are done" in page.text


def test_many_kinds_of_failures_are_cut_and_counted(made: Made) -> None:
    files = [f"s3://bucket/f{n:03}.fits" for n in range(60)]
    alike = {"size": 1, "tier": "standard", "dropped": None, "instrument_name": "I", "filters": "F"}
    nowhere = dict.fromkeys(("s_ra", "s_dec", "s_region"))
    made.plan(uri=files, **{name: [value] * 60 for name, value in (alike | nowhere).items()})
    for n, file in enumerate(files):
        made.failed(file, f"Error{n}")
    _, page = report(made)
    assert "60 files planned: 60 failed." in page.text
    assert "40 files failed in rarer ways" in page.text
    assert "No position is known" in page.text


def _call(*words: str) -> Result:
    return CliRunner().invoke(main, ["report", *words])


def test_the_command_names_its_file(whole: Made, tmp_path: Path) -> None:
    to = tmp_path / "page.html"
    done = _call(RUN, "--output", str(whole.folder), "--to", str(to), "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"run": RUN, "report": str(to), "bytes": to.stat().st_size}
    assert list(tmp_path.glob("*.html")) == [to]
    done = _call(RUN, "--output", str(whole.folder))
    assert done.stdout.startswith(str(whole.folder / f"runs/{RUN}/report.html"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["absent"], "there is no run 'absent'"),
        ([RUN, "--to", "no/such/folder.html"], "cannot write no/such/folder.html"),
    ],
)
def test_mistakes_are_told_in_a_line(whole: Made, words: list[str], said: str) -> None:
    done = _call(*words, "--output", str(whole.folder))
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_files_of_the_plan_are_named_as_they_are(whole: Made) -> None:
    with pytest.raises(UsageError):
        api.report("no", whole.folder)
    _, page = report(whole)
    assert FILES[2] in page.text
