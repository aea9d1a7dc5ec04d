"""The webserver as `make dev` and the host in AWS start it: for the UI and its clients, and for no other page.

One server, without a daemon: what is launched stays in the queue, where it can be counted.
"""

import json
import socket
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import quote

import dagster as dg
import pytest
from dagster_graphql import DagsterGraphQLClient
from playwright.sync_api import expect
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from capstone_dagster.assets.checks import evaluations
from capstone_dagster.assets.jobs import ASSETS, BESIDE_TABLES, JOB_NAMES, JobName
from capstone_dagster.assets.metadata import materialization_metadata
from capstone_dagster.readers.rows import arrow_schema
from capstone_dagster_tests.builders.manifests import manifest_of
from capstone_dagster_tests.builders.published_files import publish
from capstone_dagster_tests.servers.browser import chromium, in_browser, no_errors, tab
from capstone_dagster_tests.servers.dagster_services import Services, webserver
from capstone_dagster_tests.servers.platform import Platform
from spark_code.schemas import EVENTS, QUALITY

DAY = date(2020, 8, 5)
CONFIG = {"resources": {"spark": {"config": {"spark_config": {"spark.driver.extraJavaOptions": "-Dattack=1"}}}}}
LAUNCH = """mutation { launchRun(executionParams: {
  selector: {repositoryLocationName: "capstone", repositoryName: "__repository__", jobName: "preprocessing"},
  runConfigData: %s, executionMetadata: {tags: [{key: "dagster/partition", value: "2020-08-05"}]}
}) { __typename ... on RunConfigValidationInvalid { errors { message } } } }"""
MUTATION = LAUNCH % '"{}"'


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    return Platform(tmp_path_factory.mktemp("home"), DAY)


@pytest.fixture(scope="module")
def instance(platform: Platform) -> Iterator[dg.DagsterInstance]:
    with platform.instance() as instance:
        yield instance


@pytest.fixture(scope="module")
def ui(
    platform: Platform, instance: dg.DagsterInstance, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    del instance  # its database is up longer than the server
    with webserver(platform, tmp_path_factory.mktemp("ui")) as ui:
        yield ui


def _runs(instance: dg.DagsterInstance) -> int:
    return len(instance.get_runs())


def _raw(port: int, request: str) -> str:
    connection_header = "" if "Upgrade" in request else "\nConnection: close"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"{request}{connection_header}\n\n".replace("\n", "\r\n").encode())
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
        return answer.decode()


_UPGRADE = (
    "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
)
RAW = {
    "a mutation by GET": ("GET /graphql?query={mutation} HTTP/1.1\nHost: {ui}", 405),
    "by the path with a line break": ("GET /graphql%0A?query={mutation} HTTP/1.1\nHost: {ui}", 405),
    "plain text": ("POST /graphql?query={mutation} HTTP/1.1\nHost: {ui}\nContent-Type: text/plain", 415),
    "a foreign host": ("GET / HTTP/1.1\nHost: evil.example", 421),
    "no host, as in the old protocol": ("GET / HTTP/1.0", 421),
    "two hosts": ("GET / HTTP/1.1\nHost: {ui}\nHost: evil.example", 421),
    "a foreign websocket": ("GET /graphql HTTP/1.1\nHost: {ui}\nOrigin: http://evil.example\n" + _UPGRADE, 403),
}


@pytest.mark.parametrize(("request_", "status"), RAW.values(), ids=RAW)
def test_dagster_hears_nothing_of_raw_requests_that_no_page_of_the_ui_sends(
    ui: Services, instance: dg.DagsterInstance, request_: str, status: int
) -> None:
    before = _runs(instance)

    answer = _raw(ui.port, request_.format(ui=f"127.0.0.1:{ui.port}", mutation=quote(MUTATION)))

    assert answer.split()[1] == str(status), answer
    assert _runs(instance) == before


def test_the_client_of_dagster_graphql_and_a_websocket_still_work(ui: Services, instance: dg.DagsterInstance) -> None:
    client, before = DagsterGraphQLClient("localhost", port_number=ui.port), _runs(instance)
    run_id = client.submit_job_execution("preprocessing", tags={"dagster/partition": f"{DAY}"})
    assert _runs(instance) == before + 1
    assert client.get_run_status(run_id) == dg.DagsterRunStatus.QUEUED

    wanted = "subscription($id: ID!) { pipelineRunLogs(runId: $id) { __typename } }"
    address, origin = f"localhost:{ui.port}", Origin(f"http://localhost:{ui.port}")
    with connect(f"ws://{address}/graphql", origin=origin, subprotocols=[Subprotocol("graphql-ws")]) as websocket:
        websocket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(websocket.recv(timeout=30)) == {"type": "connection_ack"}
        payload = {"query": wanted, "variables": {"id": run_id}}
        websocket.send(json.dumps({"type": "start", "id": "1", "payload": payload}))
        told = json.loads(websocket.recv(timeout=30))
    assert told["payload"]["data"]["pipelineRunLogs"]["__typename"] == "PipelineRunLogsSubscriptionSuccess"


def test_even_those_who_are_let_in_cannot_replace_the_options_of_the_jvm(
    ui: Services, instance: dg.DagsterInstance
) -> None:
    before = _runs(instance)

    refused = ui.ask(LAUNCH % json.dumps(json.dumps(CONFIG)))["launchRun"]

    assert refused["__typename"] == "RunConfigValidationInvalid"
    assert 'Received unexpected config entry "spark_config"' in refused["errors"][0]["message"]
    assert _runs(instance) == before


ATTACK = """<!doctype html><title>attacking</title><body>
<form id="form" method="post" enctype="text/plain" target="frame" action="{ui}/graphql?query={query}"><input name="a">
</form><iframe name="frame"></iframe><iframe src="{ui}/"></iframe>
<script>
const json = JSON.stringify({{query: {mutation}}}), graphql = "{ui}/graphql";
function image(url) {{
  return new Promise(done => {{
    const i = new Image(); i.onload = i.onerror = done; i.src = url; document.body.append(i);
  }});
}}
function socket() {{
  return new Promise(done => {{
    const s = new WebSocket(graphql.replace("http", "ws"), "graphql-ws");
    s.onopen = () => done("open"); s.onerror = () => done("refused");
  }});
}}
async function ask(options) {{ try {{ await fetch(graphql, options); }} catch (error) {{}} }}
(async () => {{
  await image(graphql + "?query={query}");
  await image("{ui}/graphql%0A?query={query}");
  for (const [type, body] of [["text/plain", json], ["application/json", json], ["application/graphql", {mutation}]])
    for (const mode of ["no-cors", "cors"])
      await ask({{method: "POST", mode, body, headers: {{"Content-Type": type}}}});
  await fetch(graphql + "?query={query}", {{method: "POST", mode: "no-cors"}}).catch(() => 0);
  navigator.sendBeacon(graphql + "?query={query}", json);
  document.getElementById("form").submit();
  const heard = await socket();
  await new Promise(done => setTimeout(done, 1000));
  document.title = "websocket " + heard;
}})();
</script>"""


class _Page(BaseHTTPRequestHandler):
    def __init__(self, content: str, asked: list[str], *args: object) -> None:
        self._content, self._asked = content, asked
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self._content.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the parent's name
        pass


@in_browser
@pytest.mark.parametrize("attacker", ["evil.example", "127.0.0.1"])
def test_a_page_that_an_operator_opens_elsewhere_launches_nothing(
    ui: Services, instance: dg.DagsterInstance, attacker: str
) -> None:
    before, address = _runs(instance), f"http://127.0.0.1:{ui.port}"
    attack = ATTACK.format(ui=address, query=quote(MUTATION), mutation=json.dumps(MUTATION))
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), partial(_Page, attack, [])) as server,
        chromium("MAP evil.example 127.0.0.1") as browser,
    ):
        Thread(target=server.serve_forever, daemon=True).start()
        page = tab(browser)
        page.goto(f"http://{attacker}:{server.server_port}/")
        expect(page).to_have_title("websocket refused")
        # The name is bound to this machine by now, and the page asks its own origin.
        page.goto(f"http://evil.example:{ui.port}/")
        expect(page.locator("body")).to_contain_text("Refused: the header Host names")
        server.shutdown()

    assert _runs(instance) == before


@in_browser
def test_the_graph_of_the_assets_is_shown_without_an_error(ui: Services) -> None:
    with chromium() as browser:
        page = tab(browser)
        with no_errors(page):
            page.goto(f"http://localhost:{ui.port}/asset-groups")
            expect(page.get_by_text("Materialize all (10)").first).to_be_visible()
            expect(page.get_by_text("daily_summary").first).to_be_visible()


@in_browser
def test_what_stands_in_delivered_lines_and_names_is_text_in_the_ui_and_fetches_nothing(
    ui: Services, instance: dg.DagsterInstance, platform: Platform
) -> None:
    asked: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Page, "", asked)) as server, chromium() as browser:
        Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}"
        symbol = f"![x]({here}/markdown) <img src={here}/html>"
        name = f"<script>fetch('{here}/script')</script>![x]({here}/name).csv"
        known = replace(manifest_of(DAY, rows=1), facts={"schema_drift": {name: [symbol]}})
        cells = [symbol if column == "symbol" else None for column in EVENTS.columns]
        shown = materialization_metadata(EVENTS, known, [cells], 0.1, platform.lake)
        key, partition = dg.AssetKey(["ingested", "events"]), f"{DAY}"
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition, metadata=shown))
        row = dict.fromkeys(QUALITY.columns) | {"subject": EVENTS.path, "verdict": "warn", "sentence": symbol}
        measures = publish(platform.lake, QUALITY, {"part-0.parquet": [row]}, schema=arrow_schema(QUALITY))
        for evaluation in evaluations(platform.lake, measures):
            instance.report_runless_asset_event(evaluation)

        asset, page = f"http://127.0.0.1:{ui.port}/assets/ingested/events", tab(browser)
        page.goto(f"{asset}?view=partitions&partition={DAY}")
        expect(page.locator("body")).to_contain_text(f"![x]({here}/markdown) <img src={here}/html>")
        page.goto(f"{asset}?view=checks&checkDetail=lines")
        expect(page.locator("body")).to_contain_text(f"{DAY}: None: {symbol}")  # the description is drawn
        expect(page.locator("body")).to_contain_text("beyond_limits")
        server.shutdown()

    assert asked == []


BACKFILL = """mutation($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}"""
LAUNCHED = """query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill {
  partitionSetName partitionNames isAssetBackfill
  assetBackfillData { assetBackfillStatuses { ... on AssetPartitionsStatusCounts {
    assetKey { path } numPartitionsTargeted
  } } }
} } }"""
PREVIEW = """query($parameters: AssetBackfillPreviewParams!) {
  assetBackfillPreview(params: $parameters) { assetKey { path } partitions { ranges { start end } } }
}"""


def backfill(ui: Services, assets: Iterable[str], days: list[str]) -> dict[str, Any]:
    """What the UI launches if people choose these in the graph."""
    parameters = {"assetSelection": [{"path": asset.split("/")} for asset in assets], "partitionNames": days}
    launched = ui.ask(BACKFILL, {"parameters": parameters})["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    found: dict[str, Any] = ui.ask(LAUNCHED, {"id": launched["backfillId"]})["partitionBackfillOrError"]
    return found


@pytest.mark.parametrize("job", JOB_NAMES)
def test_a_backfill_of_all_assets_of_a_job_is_one_of_the_job(ui: Services, job: JobName) -> None:
    days = ["2020-08-05", "2020-08-06"]
    beside = {key.to_user_string() for key in BESIDE_TABLES if key.path != ["warehouse", "quote_analytics"]}
    tables = {key.to_user_string() for key in ASSETS[job]}

    found = backfill(ui, sorted(tables if job == "preprocessing" else tables | beside), days)

    assert (found["partitionSetName"], found["partitionNames"]) == (f"{job}_partition_set", days)


def test_a_backfill_of_some_assets_is_of_the_chosen_days_alone(ui: Services) -> None:
    # Of the day after each, the measures read the closes, too.
    assets = ["eod/closes", "eod/quotes", "eod/trades", "quality/measures"]
    days = ["2020-08-05", "2020-08-07"]

    found = backfill(ui, assets, days)

    assert found["isAssetBackfill"]
    targeted = found["assetBackfillData"]["assetBackfillStatuses"]
    assert {"/".join(each["assetKey"]["path"]): each["numPartitionsTargeted"] for each in targeted} == dict.fromkeys(
        assets, 2
    )
    asked = {"assetSelection": [{"path": asset.split("/")} for asset in assets], "partitionNames": days}
    preview = ui.ask(PREVIEW, {"parameters": asked})["assetBackfillPreview"]
    chosen = [{"start": day, "end": day} for day in days]
    assert [each["partitions"]["ranges"] for each in preview] == [chosen] * len(assets)
