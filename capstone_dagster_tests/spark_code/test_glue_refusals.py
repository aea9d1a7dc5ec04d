"""What a person reads when Glue refuses, and which refusals are worth another try."""

from dataclasses import dataclass
from typing import Any

import pytest

from capstone_dagster_tests.builders.catalogs import ALL, events_of, folder_of, point_to
from capstone_dagster_tests.builders.closes import DAY, version_of
from capstone_dagster_tests.servers.glue_server import GlueServer
from spark_code.glue import GlueCatalog, NotRegisteredError, RegistrationRefusedError
from spark_code.lake import Lake, LakeError
from spark_code.locations import StorageError
from spark_code.schemas import CLOSES, EVENTS
from spark_code.storage import Storage


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 pauses for up to 20 seconds between its tries."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


def refusal(catalog: GlueCatalog, lake: Lake, kind: type[Exception]) -> str:
    """The reason, without what is said around it every time."""
    point_to(lake, CLOSES, 1)
    with pytest.raises(kind) as refused:
        catalog.register(lake, CLOSES, DAY)
    before = (
        f"eod/closes of 2020-08-05 is published ({version_of(1)}), but is not registered in Glue as "
        f"{catalog.database}.eod_closes, where Athena may still find what was published before: "
    )
    after = "; once that is mended: capstone glue-sync 2020-08-05"
    text = str(refused.value)
    assert text.startswith(before)
    assert text.endswith(after)
    assert lake.require(CLOSES, DAY).version == version_of(1)
    return text.removeprefix(before).removesuffix(after)


def test_only_a_refusal_that_may_pass_is_an_error_to_try_again() -> None:
    # What is wrong with the lake is final wherever it is met, a place that fails is not.
    assert issubclass(RegistrationRefusedError, LakeError)
    assert issubclass(NotRegisteredError, StorageError)
    assert not issubclass(NotRegisteredError, LakeError)


@pytest.mark.parametrize("action", ["GetTable", "CreateTable", "BatchCreatePartition"])
@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidInputException"])
def test_what_only_a_person_can_mend_is_refused_at_once(
    glue: GlueServer, catalog: GlueCatalog, lake: Lake, action: str, code: str
) -> None:
    glue.refuse(action, code)

    reason = refusal(catalog, lake, RegistrationRefusedError)

    assert reason == f"An error occurred ({code}) when calling the {action} operation: not now"
    assert glue.calls.count(action) == 1


def test_what_may_pass_is_an_error_that_may_be_tried_again(glue: GlueServer, catalog: GlueCatalog, lake: Lake) -> None:
    glue.refuse("BatchCreatePartition", "OperationTimeoutException")

    assert refusal(catalog, lake, NotRegisteredError) == (
        "An error occurred (OperationTimeoutException) when calling the BatchCreatePartition operation: not now"
    )


def test_a_partition_that_fails_inside_an_answer_of_success_is_an_error(
    glue: GlueServer, catalog: GlueCatalog, lake: Lake
) -> None:
    glue.fail_inside("BatchCreatePartition", ["2020-08-05"], "InternalServiceException")

    assert refusal(catalog, lake, NotRegisteredError) == (
        "An error occurred (InternalServiceException) when calling the BatchCreatePartition operation: not this one"
    )


@pytest.mark.usefixtures("no_pauses")
def test_throttled_calls_are_tried_again(glue: GlueServer, catalog: GlueCatalog, lake: Lake) -> None:
    point_to(lake, CLOSES, 1)
    glue.refuse("BatchCreatePartition", "ThrottlingException", times=7)

    catalog.register(lake, CLOSES, DAY)

    assert glue.calls.count("BatchCreatePartition") == 8
    assert glue.locations("eod_closes") == {("2020-08-05",): folder_of(lake, CLOSES, 1)}


@pytest.mark.usefixtures("no_pauses")
def test_throttling_without_end_is_an_error_after_eight_tries(
    glue: GlueServer, catalog: GlueCatalog, lake: Lake
) -> None:
    glue.refuse("GetTable", "ThrottlingException", times=100)

    assert "(ThrottlingException)" in refusal(catalog, lake, NotRegisteredError)
    assert glue.calls == ["GetTable"] * 8


@pytest.mark.usefixtures("no_pauses")
def test_a_glue_that_cannot_be_reached_is_an_error(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_GLUE", "http://127.0.0.1:9")

    assert refusal(GlueCatalog("any"), lake, NotRegisteredError) == (
        'Could not connect to the endpoint URL: "http://127.0.0.1:9/"'
    )


def test_without_a_region_the_error_says_so(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    assert refusal(GlueCatalog("any"), lake, NotRegisteredError) == "You must specify a region."


def test_a_database_that_does_not_exist_is_not_made(glue: GlueServer, catalog: GlueCatalog, lake: Lake) -> None:
    catalog.database = "nowhere"

    assert refusal(catalog, lake, RegistrationRefusedError) == (
        "there is no Glue database nowhere; create it, or correct CAPSTONE_GLUE_DATABASE"
    )
    assert "nowhere" not in {each["Name"] for each in glue.client.get_databases()["DatabaseList"]}


@dataclass
class Foreign:
    """What makes the table that is found another one."""

    found: dict[str, Any]
    described: str


FOREIGN = {
    "another lake": Foreign(
        {"StorageDescriptor": {"Location": "s3://other/lake/eod/closes/data/"}},
        "it lies in s3://other/lake/eod/closes/data/ with partition keys {'trade_dt': 'date'}",
    ),
    "other partitions": Foreign(
        {"PartitionKeys": [{"Name": "day", "Type": "string"}]},
        "it lies in {here} with partition keys {'day': 'string'}",
    ),
    "a view": Foreign(
        {"StorageDescriptor": {}, "PartitionKeys": [], "TableType": "VIRTUAL_VIEW"},
        "it lies in no place with partition keys {}",
    ),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_a_table_of_the_same_name_that_is_another_one_is_left_alone(
    glue: GlueServer, catalog: GlueCatalog, lake: Lake, foreign: Foreign
) -> None:
    here = f"{lake.storage.root}/eod/closes/data/"
    columns = [{"Name": "price", "Type": "double"}]
    own = {
        "Name": "eod_closes",
        "PartitionKeys": [{"Name": "trade_dt", "Type": "date"}],
        "StorageDescriptor": {"Location": here, "Columns": columns},
    }
    glue.client.create_table(DatabaseName=glue.database, TableInput=own | foreign.found)

    assert refusal(catalog, lake, RegistrationRefusedError) == (
        f"Glue table {glue.database}.eod_closes is another one: {foreign.described.replace('{here}', here)}, this one "
        f"in {here} with {{'trade_dt': 'date'}}; drop it there, or name another database in CAPSTONE_GLUE_DATABASE"
    )
    assert glue.calls == ["GetTable"]


class ForgetfulStorage(Storage):
    """A store that fails when the pointer is looked at for the second time."""

    reads = 0

    def read(self, key: str) -> bytes | None:
        self.reads += 1
        if self.reads == 2:
            raise StorageError(f"{self.uri(key)}: TimeoutError: no answer")
        return super().read(key)


def test_a_pointer_that_cannot_be_looked_at_again_is_an_error(catalog: GlueCatalog, lake: Lake) -> None:
    pointer = f"{lake.storage.root}/eod/closes/_published/2020-08-05.json"
    lake.storage = ForgetfulStorage(lake.storage.root)

    assert refusal(catalog, lake, NotRegisteredError) == f"{pointer}: TimeoutError: no answer"


def test_registering_again_mends_what_a_refusal_left(glue: GlueServer, catalog: GlueCatalog, lake: Lake) -> None:
    point_to(lake, EVENTS, 1, ALL)
    glue.refuse("GetPartitions", "AccessDeniedException")
    with pytest.raises(RegistrationRefusedError):
        catalog.register(lake, EVENTS, DAY)

    catalog.register(lake, EVENTS, DAY)

    assert glue.locations("ingested_events") == events_of(lake, 1, ALL)
