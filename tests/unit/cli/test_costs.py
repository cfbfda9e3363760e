"""skyfan costs as a person runs it."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from skyfan.cli import main
from skyfan.local import lambda_format

LINE = "REPORT RequestId: id-{}  \nDuration: 1060.45 ms  \nBilled Duration: 1100 ms Memory Size: 1024 MB"
LINE += "\tMax Memory Used: 164 MB"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "article.log"
    path.write_text("\n".join(LINE.format(number) for number in range(100)) + "\n")
    return path


def skyfan(*words: str | Path, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["costs", *map(str, words)], input=stdin, prog_name="skyfan")


def test_the_article_s_figures_side_by_side(log: Path) -> None:
    done = skyfan("--log", log, "--model", "2018", "--what-if", "files=122078")
    assert done.exit_code == 0, done.output
    assert "0.0018337" in done.stdout
    assert "under the model today" in done.stdout
    assert "2.24 USD for 122,078 files" in done.stdout


def test_json_is_one_document_whose_lines_add_up(log: Path) -> None:
    document = json.loads(skyfan("--log", log, "--json", "--advise").stdout)
    bill = document["bill"]
    assert bill["usd"] == pytest.approx(sum(line["usd"] for line in bill["lines"]))
    assert bill["usd_per_thousand"] == pytest.approx(bill["usd"] * 10)
    assert (bill["invocations"], bill["images"], bill["rebilled"]) == (100, 100, 100)
    assert document["models"]["2018"] == pytest.approx(0.0018337)
    (advice,) = document["advice"]
    assert (advice["tier_mb"], advice["memory_mb"]) == (1024, 1024)
    assert "1769 MB" in advice["sure"]
    assert (document["estimate"], document["what_if"]) == (None, None)


def test_csv_has_a_row_per_invocation(log: Path, tmp_path: Path) -> None:
    assert skyfan("--log", log, "--csv", tmp_path / "bill.csv").exit_code == 0
    rows = list(csv.DictReader((tmp_path / "bill.csv").read_text().splitlines()))
    assert len(rows) == 100
    assert (rows[0]["billed_ms"], rows[0]["init_ms"], rows[0]["ended"]) == ("1061", "", "")
    lost = skyfan("--log", log, "--csv", tmp_path / "no" / "bill.csv")
    assert lost.exit_code == 2
    assert "no/bill.csv" in lost.stderr


def test_standard_input(log: Path) -> None:
    assert "100 invocations, 100 images done" in skyfan("--log", "-", stdin=log.read_bytes()).stdout


def test_a_line_that_cannot_be_read_is_shown_and_is_1(log: Path) -> None:
    log.write_text(log.read_text() + "REPORT RequestId: broken\tDuration: none\n")
    done = skyfan("--log", log)
    assert done.exit_code == 1
    assert "1 line cannot be read" in done.stdout
    assert "REPORT RequestId: broken" in done.stdout


def test_a_local_run_with_its_failures(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "first"
    (folder / "logs").mkdir(parents=True)
    about = {"function": "SepExtract", "config": {}, "outputs": [], "access": "anonymous"}
    about["results"] = "runs/{run}/catalogs/{key}.cat.fits"
    (folder / "run.json").write_text(json.dumps(about))
    text = ""
    for number, status in enumerate(["", "", "error", "timeout"]):
        result = json.dumps({"run": "first", "input": f"file:///{number}", "sources": 7, "seconds": 1.0})
        report = lambda_format.Report(
            f"id-{number}",
            started=f"2026-11-22T19:23:2{number}.000Z",
            duration_ms=1000,
            memory_mb=1769,
            used_mb=100,
            init_ms=500 if number == 0 else None,
            status=status,
            error_type="ImageError" if status == "error" else "",
        )
        text += lambda_format.invocation(report, "" if status else result)
    text += lambda_format.init_report("", init_ms=300, status="error", error_type="Runtime.ImportModuleError")
    (folder / "logs" / "1.log").write_text(text)
    done = skyfan("first", "-o", tmp_path)
    assert done.exit_code == 0, done.output
    assert "4 invocations, 2 images done, 14 sources, 0 retries, 2 failed, 1 cold start" in done.stdout
    assert "1 x ImageError" in done.stdout
    assert "1 x timeout" in done.stdout
    assert "1 failed start (INIT_REPORT)" in done.stdout
    assert "at most 1 at once" in done.stdout


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        ([], "--log"),
        (["--log", "nowhere.log"], "nowhere.log"),
        (["nothing", "-o", "."], "'nothing'"),
        (["--log", "LOG", "--model", "1999"], "today, 2018"),
        (["--log", "LOG", "--region", "mars-north-1"], "us-east-1"),
        (["--log", "LOG", "--what-if", "speed=9"], "'speed=9'"),
        (["--log", "LOG", "--what-if", "memory=much"], "memory=much"),
        (["--log", "LOG", "--what-if", "arch=vax"], "'vax'"),
        (["--log", "EMPTY"], "no REPORT line"),
    ],
)
def test_wrong_use_is_one_line_and_2(log: Path, words: list[str], fact: str) -> None:
    empty = log.with_name("empty.log")
    empty.write_text("START\n")
    names = {"LOG": str(log), "EMPTY": str(empty)}
    done = skyfan(*(names.get(word, word) for word in words))
    assert done.exit_code == 2
    assert fact in done.stderr
    assert done.stderr.count("\n") == 1
