"""Dagster's webserver for users with roles: what they may do, who has done it, and whose runs these are.

This checks GraphQL where Dagster has read it from a request or a websocket: a check before that could understand a
request differently. ``sign_in`` says who the user is; without it there is no user, and everything is permitted.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster_webserver.webserver import DagsterWebserver
from graphql import FieldNode, GraphQLFormattedError, OperationType, StringValueNode, Visitor, visit
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from capstone_dagster.run_tags import USER_TAG
from capstone_dagster.ui.audit import Audit, ids_in
from capstone_dagster.ui.proxy import Proxy
from capstone_dagster.ui.request_guard import operations_of
from capstone_dagster.ui.sign_in import graphql_error, refusal
from capstone_dagster.ui.users import User

_FRAGMENT = "a fragment"
# Each field names what is done; a client can ask for the same a thousand times.
_MOST_FIELDS = 20
_TYPE = re.compile(r"\w{1,100}")


class Mutations(NamedTuple):
    """What a document would change: its fields, the client's name for the first operation, and the texts in it."""

    operation: str | None
    fields: Sequence[str]
    texts: Sequence[str]


_UNREADABLE = Mutations(None, ["what cannot be read as GraphQL"], [])


class UserContext(WorkspaceRequestContext):
    """What Dagster asks of the user of a request: permissions, by which the UI disables its buttons, and tags."""

    def get_viewer_tags(self) -> dict[str, str]:
        """The tags of backfills, and through ``runs.coordinator`` of runs, that the user launches."""
        user = user_of(self.source)
        return {USER_TAG: user.name} if user else {}

    def get_reporting_user_tags(self) -> dict[str, str]:
        """The tags of events that the user reports."""
        user = user_of(self.source)
        return {"dagster/reporting_user": user.name} if user else {}


class UserWorkspace(WorkspaceProcessContext):
    """The workspace as each user may use it."""

    def create_request_context(self, source: object | None = None) -> UserContext:
        """The context of a request."""
        user = user_of(source)
        return UserContext(
            instance=self.instance,
            current_workspace=self.get_current_workspace(),
            process_context=self,
            version=self.version,
            source=source,
            read_only=user is not None and user.role == "viewer",
        )


class UserWebserver(DagsterWebserver[UserWorkspace, UserContext]):
    """Refuses the mutations of viewers, and writes those of operators into the audit log."""

    def __init__(self, context: UserWorkspace, poll_milliseconds: int, audit: Audit, proxy: Proxy) -> None:
        self._audit, self._proxy = audit, proxy
        super().__init__(context, live_data_poll_rate=poll_milliseconds)

    async def execute_graphql_request(
        self, request: Request, query: str, variables: dict[str, Any] | None, operation_name: str | None
    ) -> JSONResponse:
        """Answer a query or a mutation."""
        user, mutations = user_of(request), _mutations(query)
        if user is None or not mutations:
            return await super().execute_graphql_request(request, query, variables, operation_name)
        if user.role != "operator":
            self._note(request, mutations, "refused")
            return graphql_error(403, refusal(user))
        if _FRAGMENT in mutations.fields:  # the audit log could not say what it does
            self._note(request, mutations, "refused")
            return graphql_error(400, "name what a mutation does in the mutation itself, not in a fragment")
        answer, outcome, told = None, "failed", None
        try:
            answer = await super().execute_graphql_request(request, query, variables, operation_name)
            told = json.loads(bytes(answer.body))
            outcome = _outcome(told) or f"status {answer.status_code}"
        finally:
            self._note(request, mutations, outcome, ids_in(variables, mutations.texts, told))
        return answer

    async def execute_graphql_subscription(
        self,
        websocket: WebSocket,
        operation_id: str,
        query: str,
        variables: dict[str, Any] | None,
        operation_name: str | None,
    ) -> Any:
        """Begin a subscription. Dagster runs no mutation that comes by a websocket; here it is refused, too."""
        mutations = _mutations(query)
        if user_of(websocket) and mutations:
            self._note(websocket, mutations, "refused")
            told: GraphQLFormattedError = {"message": "send mutations by POST"}
            return None, told
        return await super().execute_graphql_subscription(websocket, operation_id, query, variables, operation_name)

    def _note(self, asked: HTTPConnection, mutations: Mutations, outcome: str, ids: Sequence[str] = ()) -> None:
        facts = {"mutations": mutations.fields[:_MOST_FIELDS], "ids": ids, "outcome": outcome}
        address = self._proxy.address(asked)
        self._audit.note("mutation", user_of(asked), address, operation=mutations.operation, **facts)


def user_of(source: object) -> User | None:
    """Who has sent a request, if anybody has to sign in."""
    return source.scope.get("user") if isinstance(source, HTTPConnection) else None


def _mutations(query: object) -> Mutations | None:
    """All mutations in a document; None if it changes nothing."""
    if isinstance(query, str) and "mutation" not in query:
        return None
    operations = operations_of(query)
    if operations is None:
        return _UNREADABLE
    changing = [each for each in operations if each.operation == OperationType.MUTATION]
    if not changing:
        return None
    texts = _Texts()
    for each in changing:
        visit(each, texts)
    named = changing[0].name
    selected = [field for each in changing for field in each.selection_set.selections]
    fields = [field.name.value if isinstance(field, FieldNode) else _FRAGMENT for field in selected]
    return Mutations(named.value if named else None, fields, texts.found)


class _Texts(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def enter_string_value(self, node: StringValueNode, *_: object) -> None:
        self.found.append(node.value)


def _outcome(told: Any) -> str:
    """The types of what is answered, such as LaunchRunSuccess: a mutation that fails has status 200, too."""
    answers = (told.get("data") or {}).values()
    types = [f"{each.get('__typename', '')}" for each in answers if isinstance(each, dict)]
    # A client can give this name to another field, so not every text is a type.
    return ", ".join([each for each in types if _TYPE.fullmatch(each)][:_MOST_FIELDS])
