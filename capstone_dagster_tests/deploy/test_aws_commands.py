"""Every command of the AWS CLI in the documents and scripts is taken by the real CLI, which then finds no AWS."""

import itertools
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from awscli.clidriver import CLIDriver, create_clidriver

from capstone_dagster_tests.deploy.stacks import ROOT

DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
SCRIPTS = [*(ROOT / "deploy").rglob("*.sh"), ROOT / "deploy" / "cloudformation" / "host.yaml"]
FENCED, INLINE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL), re.compile(r"`([^`]+)`")
# To the end of the line, or of the last line that it is continued on.
COMMAND = re.compile(r"(?<![\w/.-])aws ((?:\\\n|[^\n])+)")
# What a shell or a person puts in, where the command line itself looks at it.
FILLED_IN = {
    "<id>": "j-2AXXXXXXGAPLF",
    "$1": "storage",
    "${@:2}": "Key=value",
    "${DEPLOY_OPTIONS:-}": "--disable-rollback",
    "$bucket": "bucket",
    "<file>": "README.md",
    "2>/dev/null": "",
    **dict.fromkeys(["$work", "$archive", "$requirements", "$wheels", "$install_uri"], "s3://bucket/key"),
}


def _texts(path: Path) -> Iterator[str]:
    text = path.read_text()
    if path.suffix != ".md":
        yield text
        return
    yield from FENCED.findall(text)
    yield from (span.replace("\n", " ") for span in INLINE.findall(FENCED.sub("", text)))


def _words(command: str) -> list[str]:
    """The words up to what ends the command: ), ;, | or &."""
    for name, value in FILLED_IN.items():
        command = command.replace(name, value)
    lexer = shlex.shlex(re.sub(r"<(\w+)>", r"\1", command), posix=True, punctuation_chars="();|&<>")
    lexer.whitespace_split = True
    return list(itertools.takewhile(lambda word: not set(word) <= set("();|&<>"), iter(lexer.get_token, None)))


def _commands(paths: list[Path]) -> list[list[str]]:
    texts = [text for path in paths for text in _texts(path)]
    return [_words(found.replace("\\\n", " ")) for text in texts for found in COMMAND.findall(text)]


IN_DOCUMENTS, IN_SCRIPTS = _commands(DOCUMENTS), _commands(SCRIPTS)


@pytest.fixture
def _no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "loopback")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    # Nothing listens on this port.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")


@pytest.fixture(scope="module")
def cli() -> CLIDriver:
    return create_clidriver()


def _error_of(cli: CLIDriver, words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with suppress(SystemExit):  # how its parser ends
        cli.main(words)
    return capsys.readouterr().err


@pytest.mark.usefixtures("_no_aws")
@pytest.mark.parametrize("words", [*IN_DOCUMENTS, *IN_SCRIPTS], ids=" ".join)
def test_a_command_of_the_documents_is_one_that_the_cli_carries_out(
    cli: CLIDriver, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    error = _error_of(cli, words, capsys)

    # What it says after it has taken the whole line: that nothing answers, or that a file to upload is not here.
    taken = r"Could not connect to the endpoint URL|The user-provided path \S+ does not exist"
    assert re.search(taken, error), error


def test_the_commands_of_the_runbook_are_found() -> None:
    found = {" ".join(words[:2]) for words in IN_DOCUMENTS}

    assert {"s3 cp", "ssm start-session", "emr terminate-clusters", "rds create-db-snapshot"} <= found
    assert {"cloudformation deploy", "ssm get-parameter"} <= {" ".join(words[:2]) for words in IN_SCRIPTS}


@pytest.mark.usefixtures("_no_aws")
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("emr modify-cluster-attributes --no-termination-protected --cluster-ids j-1", "required: --cluster-id"),
        ("emr list-clusters --query Clusters[", "Invalid jmespath expression"),
        ("s3 cp --hurriedly a s3://bucket/a", "Unknown options: --hurriedly"),
    ],
)
def test_a_wrong_command_is_found(cli: CLIDriver, wrong: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in _error_of(cli, wrong.split(), capsys)
