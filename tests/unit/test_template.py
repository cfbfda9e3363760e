"""template.yaml as the local engine reads it."""

from pathlib import Path

import pytest

from skyfan import cfn, template
from skyfan.errors import TemplateError

HEAD = "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n"


def written(folder: Path, text: str) -> template.Template:
    (folder / "template.yaml").write_text(text)
    (folder / "code").mkdir(exist_ok=True)
    return template.read(folder / "template.yaml")


def test_lambdas_defaults_stand_where_the_template_says_nothing(tmp_path: Path) -> None:
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
    document = cfn.load("""
Parameters: {Existing: {Type: String, Default: ""}, Stage: {Type: String, Default: prod}}
Conditions:
  Makes: !Equals [!Ref Existing, ""]
  Small: !And [!Condition Makes, !Not [!Equals [!Ref Stage, prod]]]
Mappings: {Sizes: {prod: {memory: 1769}}}
Resources: {}
""")
    resolve = cfn.Resolver(document)
    assert resolve(cfn.load("Resources: {x: !If [Makes, !Ref Bucket, other]}")["Resources"]["x"]) == "Bucket"
    assert resolve({"Fn::If": ["Small", 1, 2]}) == 2
    assert resolve({"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "memory"]}) == 1769
    assert resolve({"Fn::Select": [1, ["a", "b"]]}) == "b"
    assert resolve({"Fn::Sub": ["${a}/${b}", {"a": {"Ref": "Stage"}}]}) == "prod/b"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("just words", "not a CloudFormation template"),
        ("a: [", "template.yaml"),
        ("Resources: {B: {Type: AWS::S3::Bucket}}", "has no function 'F'; it has: none"),
        (f"{HEAD}      Handler: a.b\n", "F has no CodeUri"),
        (f"{HEAD}      CodeUri: nowhere\n      Handler: a.b\n", "nowhere, which is no folder"),
        (f"{HEAD}      CodeUri: code\n      Handler: a.b\n      Timeout: soon\n", "F cannot be understood"),
        (f"{HEAD}      CodeUri: code\n      Handler: !ImportValue x\n", "Fn::ImportValue, which cannot"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(TemplateError, match=told):
        written(tmp_path, text).function("F")


def test_a_missing_template_is_told(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="does not exist"):
        template.read(tmp_path / "template.yaml")


def test_the_nearest_template_is_found_upwards_else_the_clones(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert template.find(inner) == Path(__file__).parents[2] / "template.yaml"
    (tmp_path / "template.yaml").touch()
    assert template.find(inner) == tmp_path / "template.yaml"


def test_ours_has_both_functions_with_their_limits() -> None:
    ours = template.read(Path(__file__).parents[2] / "template.yaml")
    assert {"SepExtract", "FitsSummary"} <= set(ours.functions)
    for name in ("SepExtract", "FitsSummary"):
        function = ours.function(name)
        assert function.retries == 2
        assert function.environment["SKYFAN_OUTPUT"].startswith("s3://")
