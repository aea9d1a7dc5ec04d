"""Stacks can be repeated, replaced and retried: deploy/stacks.sh with the real AWS CLI, and what templates export."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from moto.cloudformation.models import cloudformation_backends

from capstone_dagster_tests.deploy.stacks import ACCOUNT, NAMES, PLATFORM, REGION, ROOT, Stacks, template

# Parameters that are chosen once and for all, as their descriptions say.
CHOSEN_ONCE = {"Platform", "Range"}


def _references(node: Any) -> Iterator[str]:
    """The names of parameters and resources that a value is made of."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "Ref":
                yield value
            elif key == "Fn::GetAtt":
                yield value[0]
            elif key == "Fn::Sub":
                text, given = (value, {}) if isinstance(value, str) else value
                names = [part.partition("}")[0].partition(".")[0] for part in text.split("${")[1:]]
                yield from (name for name in names if name not in given)
                yield from _references(given)
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _replaced_by(read: dict[str, Any], name: str) -> set[str]:
    """The parameters a change of which replaces the resource, or changes the parameter itself."""
    if name in read["Parameters"]:
        return {name}
    if name not in read["Resources"]:  # AWS::Region and its like
        return set()
    resource = read["Resources"][name]
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, resource["Type"]).schema
    fixed = {path.split("/")[2] for path in schema.get("createOnlyProperties", [])}
    values = [value for key, value in resource.get("Properties", {}).items() if key in fixed]
    return {parameter for used in _references(values) for parameter in _replaced_by(read, used)}


def _exports(stack: str) -> dict[str, set[str]]:
    """Which parameters can change what a stack exports."""
    read = template(stack)
    exported = {key: output for key, output in read["Outputs"].items() if "Export" in output}
    return {
        key: {parameter for used in _references(output["Value"]) for parameter in _replaced_by(read, used)}
        for key, output in exported.items()
    }


@pytest.mark.parametrize("stack", NAMES)
def test_no_parameter_changes_what_another_stack_imports(stack: str) -> None:
    allowed = CHOSEN_ONCE | ({"KeptKey"} if stack == "storage" else set())

    assert {key: changing - allowed for key, changing in _exports(stack).items() if changing - allowed} == {}


def test_an_image_replaces_the_host() -> None:
    assert _replaced_by(template("host"), "Host") == {"Image", "Platform"}


def test_what_is_chosen_once_says_so() -> None:
    assert "chosen once" in template("network")["Parameters"]["Range"]["Description"]
    assert "names of all stacks" in template("storage")["Parameters"]["Platform"]["Description"]


# moto cannot delete all that the real ones make.
SMALL = """
Parameters:
  Platform: {Type: String}
Resources:
  Kept: {Type: AWS::SSM::Parameter, Properties: {Name: !Sub "/${Platform}/kept", Type: String, Value: "1"}}
"""


def test_a_stack_whose_first_creation_has_failed_is_made_again(stacks: Stacks, tmp_path: Path) -> None:
    (tmp_path / "deploy" / "cloudformation").mkdir(parents=True)
    (tmp_path / "deploy" / "cloudformation" / "small.yaml").write_text(SMALL)
    parameters = [{"ParameterKey": "Platform", "ParameterValue": "again"}]
    cloudformation = stacks.client("cloudformation")
    made = cloudformation.create_stack(StackName="again-small", TemplateBody=SMALL, Parameters=parameters)["StackId"]
    cloudformation_backends[ACCOUNT][REGION].stacks[made].status = "ROLLBACK_COMPLETE"

    _in_the_shell(stacks, "deploy small", "again", tmp_path)

    [stack] = cloudformation.describe_stacks(StackName="again-small")["Stacks"]
    assert (stack["StackStatus"], stack["StackId"] == made) == ("CREATE_COMPLETE", False)


def test_the_shell_of_an_administrator_knows_the_work_bucket_and_the_outputs_of_stacks(stacks: Stacks) -> None:
    told = _in_the_shell(stacks, 'echo "$work"; output host HostId', PLATFORM, ROOT)

    assert told.split() == [f"s3://{PLATFORM}-work-{ACCOUNT}-{REGION}", stacks.outputs("host")["HostId"]]


def _in_the_shell(stacks: Stacks, command: str, platform: str, checkout: Path) -> str:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**stacks.environment(), "PATH": programs, "PLATFORM": platform}
    script = ["/usr/bin/env", "bash", "-c", f"set -e; . {ROOT}/deploy/stacks.sh; {command}"]
    ended = subprocess.run(script, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return ended.stdout


def test_a_new_stack_over_kept_buckets_makes_no_bucket_and_no_key_and_exports_the_same(stacks: Stacks) -> None:
    key = stacks.client("kms").create_key()["KeyMetadata"]["Arn"]

    stacks.make("storage", "older", KeptKey=key)

    outputs = stacks.outputs("storage", "older")
    assert (outputs["KeyArn"], outputs["LakeBucketArn"]) == (key, f"arn:aws:s3:::older-lake-{ACCOUNT}-{REGION}")
    buckets = [bucket["Name"] for bucket in stacks.client("s3").list_buckets()["Buckets"]]
    assert [bucket for bucket in buckets if bucket.startswith("older")] == []
