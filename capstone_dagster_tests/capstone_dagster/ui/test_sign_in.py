"""The webserver with users: who gets in, what viewers and operators may do, and what is written down of it.

One server, without a daemon: what is launched stays in the queue, where it can be counted. All of 127.0.0.0/8 is this
machine, so a client can come from any address of it; 127.0.0.2 is the proxy of the settings.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import dagster as dg
import pytest
from dagster_graphql import DagsterGraphQLClient, DagsterGraphQLClientError
from playwright.sync_api import Page, expect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from capstone_dagster.settings import CHECKOUT
from capstone_dagster.ui.sessions import Sessions, secret_of
from capstone_dagster.ui.users import Account, hash_of_token, read_users
from capstone_dagster_tests.builders.command_line import CAPSTONE
from capstone_dagster_tests.builders.ui_users import put_user, quick_hash
from capstone_dagster_tests.servers.browser import PHONE, barriers, chromium, in_browser, pixels_cut_off, tab
from capstone_dagster_tests.servers.dagster_services import Services, webserver
from capstone_dagster_tests.servers.platform import Platform
from capstone_dagster_tests.servers.ui_client import (
    FORM,
    HASH,
    JSON,
    PASSWORD,
    QUERY,
    ask,
    graphql,
    sign_in,
    signed_in,
    status_of_query,
    websocket_of,
)

DAY = date(2020, 8, 5)
LAUNCH = """mutation Launch { launchRun(executionParams: {
  selector: {repositoryLocationName: "capstone", repositoryName: "__repository__", jobName: "preprocessing"},
  runConfigData: "{}", executionMetadata: {tags: [{key: "dagster/partition", value: "2020-08-05"}]}
}) { __typename ... on LaunchRunSuccess { run { runId } } } }"""
BACKFILL = """mutation Backfill { launchPartitionBackfill(backfillParams: {
  selector: {
    partitionSetName: "preprocessing_partition_set",
    repositorySelector: {repositoryLocationName: "capstone", repositoryName: "__repository__"}
  }, partitionNames: ["2020-08-05"], tags: [{key: "user", value: "somebody"}]
}) { __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
REFUSAL = "vera is a viewer and may not make changes; ask an operator"
HTML = {"Accept": "text/html,*/*;q=0.8"}
PROXY = "127.0.0.2"
VERA, ANNA = {"Authorization": "Bearer token of vera"}, {"Authorization": "Bearer token of anna"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    return Platform(tmp_path_factory.mktemp("home"), DAY)


@pytest.fixture(scope="module")
def users(platform: Platform) -> Path:
    file = platform.folder / "users.json"
    put_user(file, "anna", Account(role="operator", password=HASH, token=hash_of_token("token of anna")))
    put_user(file, "vera", Account(role="viewer", password=HASH, token=hash_of_token("token of vera")))
    return file


@pytest.fixture(scope="module")
def instance(platform: Platform) -> Iterator[dg.DagsterInstance]:
    with platform.instance() as instance:
        yield instance


@pytest.fixture(scope="module")
def ui(
    platform: Platform, users: Path, instance: dg.DagsterInstance, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    del instance  # its database is up longer than the server
    settings = {"CAPSTONE_UI_USERS": str(users), "CAPSTONE_UI_PROXY": PROXY}
    with webserver(platform, tmp_path_factory.mktemp("ui"), "token of anna", **settings) as ui:
        yield ui


def _runs(instance: dg.DagsterInstance) -> int:
    return len(instance.get_runs())


def _audited(platform: Platform, **wanted: object) -> list[dict[str, Any]]:
    lines = map(json.loads, (platform.folder / "logs" / "ui_audit.log").read_text().splitlines())
    return [line for line in lines if wanted.items() <= line.items()]


UNKNOWN = {
    "a query": ("POST", "/graphql", JSON, 401),
    "a query by GET": ("GET", f"/graphql?query={quote(QUERY)}", {}, 401),
    "a file of a page": ("GET", "/favicon.png", {}, 401),
    "a log": ("GET", "/logs/a/b.err", {}, 401),
    "a report": ("POST", "/report_asset_materialization/raw/nyse", JSON, 401),
    "a page": ("GET", "/runs/1234?focus=a%20b", HTML, 303),
    "GraphiQL": ("GET", "/graphql", HTML, 303),
    "a path that looks like the sign-in": ("GET", "/sign-in/runs", {}, 401),
    "a wrong token": ("POST", "/graphql", JSON | {"Authorization": "Bearer token of eve"}, 401),
    "no token": ("POST", "/graphql", JSON | {"Authorization": "Bearer "}, 401),
    "a password as in HTTP": ("POST", "/graphql", JSON | {"Authorization": "Basic YW5uYTphIGxvbmcgcGFzc3dvcmQ="}, 401),
    "the hash of a token": ("POST", "/graphql", JSON | {"Authorization": hash_of_token("token of anna")}, 401),
    "a proxy elsewhere": ("POST", "/graphql", JSON | {"X-Forwarded-User": "p", "X-Forwarded-Groups": "operator"}, 401),
    "one who claims the address of the proxy": (
        "POST",
        "/graphql",
        JSON | {"X-Forwarded-For": PROXY, "X-Forwarded-User": "p", "X-Forwarded-Groups": "operator"},
        401,
    ),
}


@pytest.mark.parametrize(("method", "path", "headers", "status"), UNKNOWN.values(), ids=UNKNOWN)
def test_nobody_gets_in_without_signing_in(
    ui: Services, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = ask(ui, method, path, headers, json.dumps({"query": QUERY}) if method == "POST" else "")

    assert answer.status == status
    if status == 401:
        assert answer.data["errors"][0]["message"].startswith("not signed in: open /sign-in in a browser, or send")
    else:
        assert answer.headers["location"] == f"/sign-in?{urlencode({'next': path})}"


def test_without_signing_in_one_can_ask_whether_the_server_is_up_and_open_no_websocket(ui: Services) -> None:
    assert ask(ui, "GET", "/server_info").status == 200
    with pytest.raises(InvalidStatus, match="403"), websocket_of(ui, {}):
        pass


def test_a_person_signs_in_with_a_password_and_out_again(ui: Services, platform: Platform) -> None:
    answer = sign_in(ui, "vera", then="/runs?view=queued")

    assert (answer.status, answer.headers["location"]) == (303, "/runs?view=queued")
    _, *attributes = answer.headers["set-cookie"].split("; ")
    assert sorted(attributes) == ["HttpOnly", "Max-Age=2592000", "Path=/", "SameSite=lax"]
    assert status_of_query(ui, answer.cookie) == 200
    assert "Signed in as vera (viewer)." in ask(ui, "GET", "/sign-in", answer.cookie).body

    out = ask(ui, "POST", "/sign-out", {**FORM, **answer.cookie})
    assert (out.status, out.headers["location"]) == (303, "/sign-in")
    assert "Max-Age=0" in out.headers["set-cookie"]
    assert [line["from"] for line in _audited(platform, what="signed in", user="vera")][-1:] == ["127.0.0.1"]


def test_the_form_of_another_site_signs_nobody_in_or_out(ui: Services) -> None:
    foreign = {"Origin": "http://evil.example"}

    assert sign_in(ui, "vera", **foreign).status == 403
    assert ask(ui, "POST", "/sign-out", FORM | foreign).status == 403
    assert ask(ui, "POST", "/graphql", FORM | ANNA, urlencode({"query": LAUNCH})).status == 415


def test_a_cookie_that_is_forged_or_over_or_for_an_old_password_is_nobodys(
    ui: Services, users: Path, platform: Platform
) -> None:
    secret = secret_of(platform.folder)
    over, forged = Sessions(secret, -1).cookie("anna", HASH), Sessions(b"?" * 32, 60).cookie("anna", HASH)
    named, ours = Sessions(secret, 60).cookie_name, Sessions(secret, 60).cookie("anna", HASH)
    assert status_of_query(ui, {"Cookie": f"{named}={ours}"}) == 200
    assert status_of_query(ui, {"Cookie": f"{Sessions(b'?' * 32, 60).cookie_name}={ours}"}) == 401  # of another UI
    assert status_of_query(ui, {"Cookie": f"{named}={over}"}) == 401
    assert status_of_query(ui, {"Cookie": f"{named}={forged}"}) == 401

    put_user(users, "dora", Account(role="viewer", password=HASH))
    cookie = signed_in(ui, "dora")
    assert status_of_query(ui, cookie) == 200
    put_user(users, "dora", Account(role="viewer", password=quick_hash("another password")))
    assert status_of_query(ui, cookie) == 401


def test_a_wrong_password_says_no_more_than_a_wrong_name_and_after_five_people_wait(ui: Services, users: Path) -> None:
    put_user(users, "carl", Account(role="viewer", password=HASH))
    before = signed_in(ui, "carl", source="127.0.3.1")
    wrong, unknown = (sign_in(ui, name, "a wrong password", source="127.0.3.2") for name in ("carl", "eve"))
    assert (wrong.status, unknown.status) == (401, 401)
    assert "Wrong name or password." in wrong.body
    nonce = wrong.body.partition('nonce="')[2].partition('"')[0]
    assert (
        unknown.body.replace('value="eve"', 'value="carl"').replace(
            unknown.body.partition('nonce="')[2].partition('"')[0], nonce
        )
        == wrong.body
    )

    answers = [sign_in(ui, "carl", "a wrong password", source=f"127.0.3.{number}") for number in range(3, 12)]
    assert {answer.status for answer in answers} == {401, 429}
    waits = sign_in(ui, "carl", source="127.0.3.99")
    assert waits.status == 429
    assert 1 <= int(waits.headers["retry-after"]) <= 300
    assert f"Too many wrong passwords: try again in {waits.headers['retry-after']} second" in waits.body
    # The others, and the browser in which carl was signed in before, need not wait.
    assert sign_in(ui, "vera", source="127.0.3.99").status == 303
    assert sign_in(ui, "carl", source="127.0.3.99", **before).status == 303


def test_an_address_that_tries_many_names_waits_and_the_others_do_not(ui: Services, users: Path) -> None:
    for number in range(6):
        put_user(users, f"name{number}", Account(role="viewer", password=HASH))
    answers = [sign_in(ui, f"name{number}", "a wrong password", source="127.0.4.1") for number in range(6)]

    assert [answer.status for answer in answers] == [401] * 5 + [429]
    assert sign_in(ui, "vera", source="127.0.4.1").status == 429
    assert sign_in(ui, "vera", source="127.0.4.2").status == 303


def _with_name(query: str, name: str) -> dict[str, str]:
    return {"query": query, "operationName": name}


MUTATIONS: dict[str, object] = {
    "alone": {"query": LAUNCH},
    "behind a query that is the one to be run": _with_name(f"{QUERY} {LAUNCH}", "Version"),
    "behind a query": _with_name(f"{QUERY} {LAUNCH}", "Launch"),
    "in a fragment": {"query": f"mutation {{ ...all }} fragment all on Mutation {LAUNCH.partition('Launch')[2]}"},
    "behind a comment": {"query": f"#mutation\n{LAUNCH}"},
    "too deep to be read": {"query": LAUNCH + "{a" * 5_000},
    "in no text": {"query": [LAUNCH]},
}


@pytest.mark.parametrize("body", MUTATIONS.values(), ids=MUTATIONS)
def test_a_mutation_of_a_viewer_is_refused(ui: Services, instance: dg.DagsterInstance, body: object) -> None:
    before = _runs(instance)

    answer = graphql(ui, VERA, body)

    assert (answer.status, answer.data) == (403, {"data": None, "errors": [{"message": REFUSAL}]})
    assert _runs(instance) == before


OTHERWISE = {
    "several at once": ("POST", "/graphql", JSON, json.dumps([{"query": LAUNCH}])),
    "by another path": ("POST", "/graphql%0A", JSON, json.dumps({"query": LAUNCH})),
    "by GET": ("GET", f"/graphql?query={quote(LAUNCH)}", {}, ""),
    "in the address": ("POST", f"/graphql?query={quote(LAUNCH)}", JSON, "{}"),
    "a report of an asset": ("POST", "/report_asset_materialization/raw/nyse", JSON, "{}"),
    "a report of an asset of that name": ("POST", "/report_asset_materialization/graphql", JSON, "{}"),
    "what nobody offers": ("DELETE", "/graphql", JSON, ""),
}


@pytest.mark.parametrize(("method", "path", "headers", "body"), OTHERWISE.values(), ids=OTHERWISE)
def test_a_viewer_finds_no_other_way(
    ui: Services, instance: dg.DagsterInstance, method: str, path: str, headers: dict[str, str], body: str
) -> None:
    before, keys = _runs(instance), instance.all_asset_keys()

    assert ask(ui, method, path, headers | VERA, body).status in (400, 403, 405, 500)

    assert (_runs(instance), instance.all_asset_keys()) == (before, keys)


def test_a_viewer_reads_everything_and_is_told_by_dagster_what_is_not_permitted(ui: Services) -> None:
    permissions = "{ permissions { permission value } }"
    of_viewer, of_operator = (
        {each["permission"]: each["value"] for each in told.data["data"]["permissions"]}
        for told in (graphql(ui, headers, {"query": permissions}) for headers in (VERA, ANNA))
    )

    assert not any(of_viewer.values())
    assert of_operator["launch_pipeline_execution"]


def test_what_an_operator_launches_bears_the_name_and_is_written_down(
    ui: Services, instance: dg.DagsterInstance, platform: Platform
) -> None:
    client = DagsterGraphQLClient("localhost", port_number=ui.port, headers=ANNA)
    run_id = client.submit_job_execution("preprocessing", tags={"dagster/partition": f"{DAY}", "user": "somebody"})

    run = instance.get_run_by_id(run_id)
    assert run
    assert run.tags["user"] == "anna"
    line = next(line for line in _audited(platform, what="mutation", user="anna") if run_id in line["ids"])
    assert line["mutations"] == ["launchPipelineExecution"]
    assert (line["role"], line["from"], line["outcome"]) == ("operator", "127.0.0.1", "LaunchRunSuccess")
    assert run_id in ui.log.read_text()

    with pytest.raises(DagsterGraphQLClientError) as refused:
        DagsterGraphQLClient("localhost", port_number=ui.port, headers=VERA).terminate_run(run_id)
    assert REFUSAL in f"{refused.value.__cause__}"
    assert _audited(platform, user="vera", operation="GraphQLClientTerminateRun")[-1]["outcome"] == "refused"


def test_the_query_of_the_guide_is_answered(ui: Services, users: Path, platform: Platform) -> None:
    [script] = re.findall(r"^```\n(\(umask [\s\S]*?)^```", (CHECKOUT / "docs" / "guide.md").read_text(), re.MULTILINE)
    put_user(users, "robot", Account(role="operator"))
    here = script.replace("127.0.0.1:3000", f"127.0.0.1:{ui.port}").replace(".capstone/", f"{platform.folder}/")

    named = {"CAPSTONE_UI_USERS": f"{users}", "PATH": f"{CAPSTONE.parent}:{os.defpath}"}
    command, environment = ["bash", "-euc", here], os.environ | platform.environment | named
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert isinstance(json.loads(ran.stdout)["data"]["runsOrError"]["results"], list)
    assert (platform.folder / "robot.header").stat().st_mode & 0o777 == 0o600


def test_a_run_that_is_refused_bears_the_name_too(ui: Services, instance: dg.DagsterInstance) -> None:
    on_a_saturday = LAUNCH.replace("2020-08-05", "2020-08-08")

    launched = graphql(ui, ANNA, {"query": on_a_saturday}).data["data"]["launchRun"]

    run = instance.get_run_by_id(launched["run"]["runId"])
    assert run
    assert (run.status, run.tags["user"]) == (dg.DagsterRunStatus.FAILURE, "anna")


def test_the_backfill_of_an_operator_bears_the_name_and_is_written_down(
    ui: Services, instance: dg.DagsterInstance, platform: Platform
) -> None:
    launched = ui.ask(BACKFILL)["launchPartitionBackfill"]

    backfill = instance.get_backfill(launched["backfillId"])
    assert backfill
    assert backfill.tags["user"] == "anna"
    assert _audited(platform, operation="Backfill", ids=[backfill.backfill_id], user="anna")


def test_nothing_but_ids_is_written_down_of_what_a_mutation_says(ui: Services, platform: Platform) -> None:
    private = "postgresql://user:canary@host/database"
    wipe = "mutation Wipe($id: String!) { terminateRun(runId: $id) { __typename } }"
    graphql(ui, ANNA, {"query": wipe, "variables": {"id": private, "other": private}, "operationName": "Wipe"})

    assert _audited(platform, operation="Wipe", mutations=["terminateRun"])
    assert private not in (platform.folder / "logs" / "ui_audit.log").read_text()


def test_the_runs_that_a_mutation_names_are_written_down_wherever_it_names_them(
    ui: Services, platform: Platform
) -> None:
    in_text, in_variable = f"{UUID(int=1)}", f"{UUID(int=2)}"
    stop = f"""mutation Stop($any: String!) {{ {
        "".join(f'a{number}: terminateRun(runId: "{in_text}") {{ __typename }} ' for number in range(21))
    } b: terminateRun(runId: $any) {{ __typename }} }}"""

    assert graphql(ui, ANNA, {"query": stop, "variables": {"any": in_variable}}).status == 200

    [line] = _audited(platform, operation="Stop")
    assert sorted(line["ids"]) == [in_text, in_variable]
    assert line["mutations"] == ["terminateRun"] * 20
    assert line["outcome"].startswith("RunNotFoundError, RunNotFoundError")


@pytest.mark.parametrize("fragment", ["... on Mutation", "...all", "... @skip(if: false)"])
def test_what_a_mutation_does_is_not_hidden_in_a_fragment(
    ui: Services, instance: dg.DagsterInstance, platform: Platform, fragment: str
) -> None:
    before, body = _runs(instance), LAUNCH.partition("Launch")[2]
    query = f"{{ {fragment} }} fragment all on Mutation {body}" if fragment == "...all" else f"{{ {fragment} {body} }}"

    answer = graphql(ui, ANNA, {"query": f"mutation Hidden {query}"})

    assert answer.status == 400
    assert "name what a mutation does in the mutation itself" in answer.body
    assert _audited(platform, operation="Hidden")[-1]["outcome"] == "refused"
    assert _runs(instance) == before


def test_a_websocket_is_for_those_who_have_signed_in_and_changes_nothing(
    ui: Services, instance: dg.DagsterInstance
) -> None:
    before = _runs(instance)
    subscription = "subscription { locationStateChangeEvents { event { message } } }"
    for headers in (VERA, ANNA, signed_in(ui, "vera")):
        with websocket_of(ui, headers) as websocket:
            websocket.send(json.dumps({"type": "start", "id": "1", "payload": {"query": subscription}}))
            websocket.send(json.dumps({"type": "start", "id": "2", "payload": {"query": LAUNCH}}))
            told = json.loads(websocket.recv(timeout=60))
            assert told == {"type": "error", "id": "2", "payload": {"message": "send mutations by POST"}}
    assert _runs(instance) == before


def test_a_user_who_is_removed_is_out_at_once_also_of_an_open_websocket(ui: Services, users: Path) -> None:
    token = {"Authorization": "Bearer token of zoe"}
    put_user(users, "zoe", Account(role="operator", password=HASH, token=hash_of_token("token of zoe")))
    cookie = signed_in(ui, "zoe")
    assert (status_of_query(ui, cookie), status_of_query(ui, token)) == (200, 200)
    with websocket_of(ui, cookie) as websocket:
        put_user(users, "zoe", None)

        websocket.send(json.dumps({"type": "connection_init"}))
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=60)
    assert (status_of_query(ui, cookie), status_of_query(ui, token)) == (401, 401)
    assert sign_in(ui, "zoe", source="127.0.5.1").status == 401


def test_a_file_of_users_that_others_can_write_lets_nobody_in_until_it_is_repaired(
    ui: Services, users: Path, platform: Platform
) -> None:
    users.chmod(0o666)
    try:
        answers = [graphql(ui, ANNA, {"query": QUERY}) for _ in range(2)]
        health = ask(ui, "GET", "/server_info")
    finally:
        users.chmod(0o600)

    told = (503, "Sign-in is unavailable; the server log says why.\n")
    assert [(answer.status, answer.body) for answer in answers] == [told, told]
    [line] = _audited(platform, what="nobody can sign in")
    assert "other users have access to" in line["why"]
    assert health.status == 200
    assert status_of_query(ui, ANNA) == 200
    assert "anna" in read_users(users)


@pytest.mark.parametrize(
    ("groups", "status", "may_launch"),
    [("viewer", 200, False), ("staff, operator", 200, True), ("staff", 401, False), ("", 401, False)],
)
def test_the_proxy_of_the_settings_says_who_somebody_is(
    ui: Services, platform: Platform, groups: str, status: int, may_launch: bool
) -> None:
    headers = {
        "X-Forwarded-User": "pia@firm.example",
        "X-Forwarded-Groups": groups,
        "X-Forwarded-For": "6.6.6.6, 10.1.1.1",
    }

    answer = graphql(ui, headers, {"query": QUERY}, source=PROXY)
    launched = graphql(ui, headers, {"query": LAUNCH}, source=PROXY)

    assert answer.status == status
    assert ("LaunchRunSuccess" in launched.body) == may_launch
    if may_launch:
        line = _audited(platform, what="mutation", user="pia@firm.example")[-1]
        assert (line["from"], line["outcome"]) == ("10.1.1.1", "LaunchRunSuccess")


def _type(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


@in_browser
def test_a_viewer_signs_in_by_the_page_and_finds_no_button_to_launch_with(ui: Services) -> None:
    address = f"http://localhost:{ui.port}"
    with chromium() as browser:
        for dark in (False, True):
            page = tab(browser, width=PHONE, dark=dark)
            page.goto(f"{address}/overview")
            expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
            assert (barriers(page), pixels_cut_off(page)) == ([], 0)
            page.close()

        page = tab(browser)
        page.goto(f"{address}/jobs")
        _type(page, "vera", "a wrong password")
        expect(page.get_by_role("alert")).to_have_text("Wrong name or password.")
        assert barriers(page) == []
        _type(page, "vera")
        expect(page).to_have_url(f"{address}/jobs")
        job = f"{address}/locations/__repository__@capstone/jobs/preprocessing/"
        page.goto(job)
        expect(page.get_by_role("button", name="Materialize all")).to_be_disabled()

        page.goto(f"{address}/sign-in")
        page.get_by_role("button", name="Sign out").click()
        _type(page, "anna")
        page.wait_for_url(lambda url: "/sign-in" not in url)
        page.goto(job)
        expect(page.get_by_role("button", name="Materialize all")).to_be_enabled()
