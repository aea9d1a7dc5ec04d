"""Dagster's webserver for users with roles: what they may do, who has done it, and whose runs these are.

This checks GraphQL where Dagster has read it from a request or a websocket: a check before that could understand a
request differently. ``sign_in`` says who the user is; without it there is no user, and everything is permitted.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster_webserver.webserver import DagsterWebserver
from graphql import GraphQLError, GraphQLFormattedError, OperationDefinitionNode, OperationType, parse
from graphql.language import FieldNode
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from capstone_dagster.run_tags import USER_TAG
from capstone_dagster.ui.audit import Audit, ids_in
from capstone_dagster.ui.proxy import Proxy
from capstone_dagster.ui.sign_in import refusal
from capstone_dagster.ui.users import User


class Mutation(NamedTuple):
    """A field of a mutation, which names what is done, and the name that the client has given the operation."""

    operation: str | None
    field: str


_UNREADABLE = [Mutation(None, "what cannot be read as GraphQL")]


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
            return JSONResponse({"data": None, "errors": [{"message": refusal(user)}]}, 403)
        answer, outcome = None, "failed"
        try:
            answer = await super().execute_graphql_request(request, query, variables, operation_name)
            outcome = f"status {answer.status_code}"
        finally:
            told = json.loads(bytes(answer.body)) if answer else None
            self._note(request, mutations, outcome, ids_in(variables, told))
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

    def _note(
        self, asked: HTTPConnection, mutations: Sequence[Mutation], outcome: str, ids: Sequence[str] = ()
    ) -> None:
        fields = [each.field for each in mutations]
        facts = {"operation": mutations[0].operation, "mutations": fields, "ids": ids, "outcome": outcome}
        self._audit.note("mutation", user_of(asked), self._proxy.address(asked), **facts)


def user_of(source: object) -> User | None:
    """Who has sent a request, if anybody has to sign in."""
    return source.scope.get("user") if isinstance(source, HTTPConnection) else None


def _mutations(query: object) -> list[Mutation]:
    """All mutations in a document, also those that would not be executed."""
    if not isinstance(query, str) or "mutation" not in query:
        return []
    try:
        operations = [each for each in parse(query).definitions if isinstance(each, OperationDefinitionNode)]
    except (GraphQLError, RecursionError):
        return _UNREADABLE
    return [
        Mutation(
            each.name.value if each.name else None, field.name.value if isinstance(field, FieldNode) else "a fragment"
        )
        for each in operations
        if each.operation == OperationType.MUTATION
        for field in each.selection_set.selections
    ]
