"""Handler of the log of what admins do."""

from starlette.requests import Request
from starlette.responses import Response

from api.audit import AuditEntry, AuditPage, AuditQuery
from api.exchange import answer, read_query
from api.operations import operation
from api.paging import paged
from api.services import Services


@operation("What admins did, newest first", answers={200: AuditPage}, query=AuditQuery, access="admin")
async def list_audit(request: Request[Services]) -> Response:
    """`GET /v1/admin/audit`."""
    query = read_query(request, AuditQuery)
    found = await request.state["documents"].audit.page(limit=query.limit + 1, before=query.cursor)
    shown, cursor = paged(found, query.limit)
    return answer(AuditPage(items=tuple(map(AuditEntry.of, shown)), next_cursor=cursor))
