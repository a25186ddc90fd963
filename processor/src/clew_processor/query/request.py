"""Reads ClickHouse's HTTP requests: address, headers, body and forms."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from typing import TYPE_CHECKING

from clew_processor.query import lexer, wire
from clew_processor.query.failure import QueryFailure, bad_arguments, not_implemented, too_large, writes
from clew_processor.query.settings import TRANSPORT

if TYPE_CHECKING:
    from starlette.requests import Request

_INSERT = re.compile(rb"\s*insert\b", re.IGNORECASE)
_TRUE = frozenset({"1", "true"})


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """What a client asks for.

    Attributes:
        sql: the statement without its FORMAT and SETTINGS tail.
        format: output format it names, or the request's default, else TabSeparated.
        parameters: values of ``{name:Type}`` parameters.
        settings: settings of the address and of the SETTINGS clause, the clause winning.
        database: database for names without one; empty for the store's own.
        query_id: the client's, or one made here.
        protocol: ``client_protocol_version``, 0 where none was sent.
        encoding: content coding of the answer, or None.
        blocks: whether the answer goes in ClickHouse's compressed blocks (``compress=1``).
        whole: whether the client wants errors rather than the start of a result (``wait_end_of_query``).
    """

    sql: str
    format: str
    parameters: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    database: str = ""
    query_id: str = ""
    protocol: int = 0
    encoding: str | None = None
    blocks: bool = False
    whole: bool = False

    def encoder(self) -> wire.Encoder:
        """A fresh encoder for the answer."""
        if self.blocks:
            return wire.CompressedBlocks()
        return wire.ENCODERS[self.encoding]() if self.encoding else wire.Identity()


async def read_request(request: Request, max_bytes: int) -> QueryRequest:
    """Read a request to the end.

    Args:
        request: the HTTP request.
        max_bytes: bytes of its body, before and after decompression.

    Raises:
        QueryFailure: it is too large (223), makes no sense (36), or needs what is not served here (48).
    """
    body = await _body(request, max_bytes)
    fields = dict(request.query_params)
    content_type = request.headers.get("content-type", "")
    if content_type.startswith("multipart/form-data"):
        fields |= _form(content_type, body)
        body = b""
    if _is_true(fields.get("decompress")):
        raise not_implemented("Compressed blocks in a request (decompress=1) are only for inserts; this endpoint reads")
    try:
        text = body.decode()
        protocol = int(fields.get("client_protocol_version") or 0)
    except UnicodeDecodeError:
        # An INSERT brings its rows along, in any format.
        raise (writes() if _INSERT.match(body) else bad_arguments("The query is not UTF-8")) from None
    except ValueError:
        raise bad_arguments("client_protocol_version must be a number") from None
    sql = "\n".join(part for part in (fields.get("query", ""), text) if part)
    if not sql.strip():
        raise QueryFailure(62, "SYNTAX_ERROR", "Syntax error: Empty query")
    statement = lexer.split(sql)
    headers = request.headers
    default_format = fields.get("default_format") or headers.get("x-clickhouse-format") or "TabSeparated"
    compressible = _is_true(fields.get("enable_http_compression"))
    asked = {name: value for name, value in fields.items() if name not in TRANSPORT and not _is_parameter(name)}
    return QueryRequest(
        sql=statement.text,
        format=statement.format or default_format,
        parameters={name[6:]: value for name, value in fields.items() if _is_parameter(name)},
        settings=asked | statement.settings,
        database=fields.get("database") or headers.get("x-clickhouse-database") or "",
        query_id=fields.get("query_id") or str(uuid.uuid4()),
        protocol=protocol,
        encoding=wire.chosen_encoding(headers.get("accept-encoding", "")) if compressible else None,
        blocks=_is_true(fields.get("compress")),
        whole=_is_true(fields.get("wait_end_of_query")),
    )


def _is_true(value: str | None) -> bool:
    return (value or "").lower() in _TRUE


def _is_parameter(name: str) -> bool:
    return name.startswith("param_")


async def _body(request: Request, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise too_large(f"The request is longer than {max_bytes} bytes")
        chunks.append(chunk)
    try:
        body = wire.decoded(b"".join(chunks), request.headers.get("content-encoding", ""), max_bytes)
    except ValueError as error:
        raise bad_arguments(str(error)) from None
    if len(body) > max_bytes:
        raise too_large(f"The request is longer than {max_bytes} bytes after decompression")
    return body


def _form(content_type: str, body: bytes) -> dict[str, str]:
    """Fields of a multipart form. The message parser of the standard library reads it: a form is a MIME message."""
    message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=HTTP)
    fields: dict[str, str] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            raise bad_arguments("A part of the form has no name")
        if part.get_filename() is not None:
            raise not_implemented(f"External tables are not served here: {name}")
        payload = part.get_payload(decode=True)
        try:
            fields[name] = payload.decode() if isinstance(payload, bytes) else ""
        except UnicodeDecodeError:
            raise bad_arguments(f"Field {name} of the form is not UTF-8") from None
    return fields
