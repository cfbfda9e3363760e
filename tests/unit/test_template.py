"""template.yaml as the local engine reads it."""

from pathlib import Path

import pytest

from skyfan import api, template
from skyfan.errors import InputError, TemplateError
from skyfan.local.process import variables

HEAD = "Metadata: {Functions: {}}\nResources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n"


def written(folder: Path, text: str) -> template.Template:
    (folder / "template.yaml").write_text(text)
    (folder / "code").mkdir(exist_ok=True)
    return template.read(folder / "template.yaml")


def test_lambdas_defaults_apply_where_the_template_has_no_value(tmp_path: Path) -> None:
    function = written(tmp_path, f"{HEAD}      CodeUri: code\n      Handler: a.b\n").function("F")
    assert function == template.Function("F", tmp_path / "code", "a.b", 128, 3.0, 2, {})


def test_globals_are_shared_and_a_function_overrides_them(tmp_path: Path) -> None:
    text = f"""
Parameters:
  Size: {{Type: Number, Default: "512"}}
  Bucket: {{Type: String, Default: mine}}
Globals:
  Function:
    CodeUri: code
    Timeout: 60
    MemorySize: !Ref Size
    EventInvokeConfig: {{MaximumRetryAttempts: 0}}
    Environment: {{Variables: {{ONE: shared, TWO: shared}}}}
{HEAD}      Handler: a.b
      Timeout: 900
      Policies: [!Transform [what, ever]]
      Environment:
        Variables:
          TWO: !Sub "s3://${{Bucket}}/${{AWS::Region}}/${{!kept}}/{{key}}"
          THREE: !GetAtt Some.Arn
          FOUR: !Join ["-", [a, !Ref AWS::StackName]]
"""
    function = written(tmp_path, text).function("F")
    assert (function.memory_mb, function.timeout_s, function.retries) == (512, 900.0, 0)
    assert function.environment == {
        "ONE": "shared",
        "TWO": "s3://mine/us-east-1/${kept}/{key}",
        "THREE": "Some.Arn",
        "FOUR": "a-local",
    }


def test_conditions_and_maps_are_resolved_by_their_defaults() -> None:
    document = template.load("""
Parameters: {Existing: {Type: String, Default: ""}, Stage: {Type: String, Default: prod}}
Conditions:
  Makes: !Equals [!Ref Existing, ""]
  Small: !And [!Condition Makes, !Not [!Equals [!Ref Stage, prod]]]
Mappings: {Sizes: {prod: {memory: 1769}}}
Resources: {}
""")
    resolve = template.Resolver(document)
    assert (
        resolve(template.load("Resources: {x: !If [Makes, !Ref Bucket, other]}")["Resources"]["x"])
        == "Bucket"
    )
    assert resolve({"Fn::If": ["Small", 1, 2]}) == 2
    assert resolve({"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "memory"]}) == 1769
    assert resolve({"Fn::Select": [1, ["a", "b"]]}) == "b"
    assert resolve({"Fn::Sub": ["${a}/${b}", {"a": {"Ref": "Stage"}}]}) == "prod/b"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("just words", "CloudFormation"),
        ("a: [", "template.yaml"),
        ("Metadata: {Functions: {}}\nResources: {B: {Type: AWS::S3::Bucket}}", "'F'.*none"),
        (f"{HEAD}      Handler: a.b\n", "F .*CodeUri"),
        (f"{HEAD}      CodeUri: nowhere\n      Handler: a.b\n", "F .*/nowhere"),
        (f"{HEAD}      CodeUri: code\n      Handler: a.b\n      Timeout: soon\n", "F .*soon"),
        (f"{HEAD}      CodeUri: code\n      Handler: !ImportValue x\n", "F .*Fn::ImportValue"),
    ],
)
def test_an_error_message_names_the_file_and_the_problem(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(TemplateError, match=words) as caught:
        written(tmp_path, text).function("F")
    assert str(tmp_path / "template.yaml") in str(caught.value)


def test_a_missing_template_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=str(tmp_path)):
        template.read(tmp_path / "template.yaml")


FOREIGN = "Resources:\n  Hello:\n    Type: AWS::Serverless::Function\n    Properties: {CodeUri: hello}\n"
OWN = Path(__file__).parents[2] / "template.yaml"


def test_the_nearest_template_of_skyfans_is_found_upwards_else_the_packages(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert template.find(inner) == template.Found(OWN, ())
    (tmp_path / "template.yaml").write_text(f"{HEAD}      CodeUri: code\n")
    assert template.find(inner) == template.Found(tmp_path / "template.yaml", ())


@pytest.mark.parametrize("text", [FOREIGN, "", "no: template", "{", "Resources: [1]"])
def test_a_template_of_another_project_is_ignored_and_named(tmp_path: Path, text: str) -> None:
    inner = tmp_path / "project"
    inner.mkdir()
    foreign = inner / "template.yaml"
    foreign.write_text(text)
    assert template.find(inner) == template.Found(OWN, (foreign,))
    (tmp_path / "template.yaml").write_text(f"{HEAD}      CodeUri: code\n")
    assert template.find(inner) == template.Found(tmp_path / "template.yaml", (foreign,))


def test_an_invalid_template_of_skyfans_is_not_ignored(tmp_path: Path) -> None:
    broken = tmp_path / "template.yaml"
    broken.write_text(f"{FOREIGN}      Environment: {{Variables: {{SKYFAN_OUTPUT: s3://a/{{key}}\n")
    assert template.find(tmp_path) == template.Found(broken, ())
    with pytest.raises(TemplateError, match=str(broken)):
        template.read(broken)


@pytest.mark.parametrize(
    "text",
    [
        "Metadata: {Functions: {}}\nResources: {}\n",
        f"{FOREIGN}Globals: {{Function: {{Environment: {{Variables: {{SKYFAN_OUTPUT: s3://a}}}}}}}}\n",
    ],
)
def test_a_template_of_skyfans_has_one_of_two_marks(tmp_path: Path, text: str) -> None:
    (tmp_path / "template.yaml").write_text(text)
    assert template.read(tmp_path / "template.yaml").path == tmp_path / "template.yaml"


def test_a_named_template_without_a_mark_is_refused(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(FOREIGN)
    with pytest.raises(TemplateError, match=r"Metadata\.Functions.*SKYFAN_OUTPUT"):
        template.read(tmp_path / "template.yaml")


def test_python_is_warned_of_an_ignored_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "template.yaml").write_text(FOREIGN)
    monkeypatch.chdir(tmp_path)
    with (
        pytest.warns(UserWarning, match=str(tmp_path / "template.yaml")),
        pytest.raises(InputError, match=r"none\.fits"),
    ):
        api.run(["none.fits"], "out")


def test_ours_has_both_functions_with_their_limits() -> None:
    ours = template.read(Path(__file__).parents[2] / "template.yaml")
    assert {"SepExtract", "FitsSummary"} <= set(ours.functions)
    for name in ("SepExtract", "FitsSummary"):
        function = ours.function(name)
        assert function.retries == 2
        assert function.environment["SKYFAN_OUTPUT"].startswith("s3://")


def test_a_local_run_reads_what_its_user_may_read(tmp_path: Path) -> None:
    function = template.read(Path(__file__).parents[2] / "template.yaml").function("SepExtract")
    assert function.environment["SKYFAN_INPUTS"] == "stpubdata"
    assert "SKYFAN_INPUTS" not in variables(function, tmp_path)
