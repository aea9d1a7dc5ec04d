"""Two publishers of one day and one catalog: whatever comes in between, Glue names what the lake's pointer names.

The other publisher is let in just before a call of the first one reaches Glue.
"""

from collections.abc import Callable

import pytest

from capstone_dagster_tests.builders.catalogs import ALL, Types, events_of, folder_of, point_to, publish
from capstone_dagster_tests.builders.closes import DAY
from capstone_dagster_tests.servers.glue_server import GlueServer
from spark_code.glue import GlueCatalog, NotRegisteredError
from spark_code.lake import Lake
from spark_code.schemas import CLOSES, EVENTS

Publisher = Callable[[int, Types], Callable[[], object]]


@pytest.fixture
def other_publishes(catalog: GlueCatalog, lake: Lake) -> Publisher:
    """A second publisher, which publishes and registers a version of the day."""

    def publisher(token: int, types: Types) -> Callable[[], object]:
        return lambda: publish(Lake(lake.storage.root), catalog, EVENTS, token, types)

    return publisher


def test_a_publisher_that_comes_late_leaves_the_newer_version(
    glue: GlueServer, catalog: GlueCatalog, lake: Lake, other_publishes: Publisher
) -> None:
    point_to(lake, EVENTS, 1, ALL)
    other_publishes(2, ("T", "Q"))()

    catalog.register(lake, EVENTS, DAY)

    assert glue.locations("ingested_events") == events_of(lake, 2, ("T", "Q"))


@pytest.mark.parametrize("action", ["GetTable", "BatchCreatePartition", "GetPartitions"])
@pytest.mark.parametrize(("first", "second"), [(ALL, ("T", "Q")), (("T", "Q"), ALL)])
def test_a_version_that_is_published_while_an_older_one_is_registered_stays(
    glue: GlueServer,
    catalog: GlueCatalog,
    lake: Lake,
    other_publishes: Publisher,
    action: str,
    first: Types,
    second: Types,
) -> None:
    point_to(lake, EVENTS, 1, first)
    glue.before(action, other_publishes(2, second))

    catalog.register(lake, EVENTS, DAY)

    assert glue.locations("ingested_events") == events_of(lake, 2, second)


@pytest.mark.parametrize("action", ["BatchUpdatePartition", "BatchDeletePartition"])
def test_a_version_that_is_published_while_partitions_are_moved_stays(
    glue: GlueServer,
    catalog: GlueCatalog,
    lake: Lake,
    other_publishes: Publisher,
    action: str,
) -> None:
    other_publishes(1, ALL)()
    point_to(lake, EVENTS, 2, ("T", "Q"))
    glue.before(action, other_publishes(3, ("Q", "B")))

    catalog.register(lake, EVENTS, DAY)

    assert glue.locations("ingested_events") == events_of(lake, 3, ("Q", "B"))


def test_a_partition_that_another_removes_before_it_is_moved_is_made_again(
    glue: GlueServer, catalog: GlueCatalog, lake: Lake
) -> None:
    publish(lake, catalog, CLOSES, 1)
    point_to(lake, CLOSES, 2)
    which = {"DatabaseName": glue.database, "TableName": "eod_closes", "PartitionValues": ["2020-08-05"]}
    glue.before("BatchUpdatePartition", lambda: glue.client.delete_partition(**which))

    catalog.register(lake, CLOSES, DAY)

    assert glue.locations("eod_closes") == {("2020-08-05",): folder_of(lake, CLOSES, 2)}


def test_a_partition_that_another_removes_first_is_gone(glue: GlueServer, catalog: GlueCatalog, lake: Lake) -> None:
    publish(lake, catalog, EVENTS, 1, ALL)
    point_to(lake, EVENTS, 2, ("T", "Q"))
    which = {"DatabaseName": glue.database, "TableName": "ingested_events", "PartitionValues": ["2020-08-05", "B"]}
    glue.before("BatchDeletePartition", lambda: glue.client.delete_partition(**which))

    catalog.register(lake, EVENTS, DAY)

    assert glue.locations("ingested_events") == events_of(lake, 2, ("T", "Q"))


@pytest.mark.parametrize("inside", [False, True], ids=["as a whole", "for one partition"])
def test_a_change_that_glue_refuses_because_of_another_is_made_again(
    glue: GlueServer, catalog: GlueCatalog, lake: Lake, inside: bool
) -> None:
    point_to(lake, CLOSES, 1)
    if inside:
        glue.fail_inside("BatchCreatePartition", ["2020-08-05"], "ConcurrentModificationException")
    else:
        glue.refuse("BatchCreatePartition", "ConcurrentModificationException")

    catalog.register(lake, CLOSES, DAY)

    assert glue.calls.count("BatchCreatePartition") == 2
    assert glue.locations("eod_closes") == {("2020-08-05",): folder_of(lake, CLOSES, 1)}


def test_somebody_who_publishes_without_end_is_not_followed_without_end(
    glue: GlueServer, catalog: GlueCatalog, lake: Lake
) -> None:
    tokens = iter(range(2, 100))
    point_to(lake, CLOSES, 1)
    glue.before("BatchCreatePartition", lambda: point_to(lake, CLOSES, next(tokens)), times=50)

    with pytest.raises(NotRegisteredError, match="other publishers came in between 20 times in a row"):
        catalog.register(lake, CLOSES, DAY)
