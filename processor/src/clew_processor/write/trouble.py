"""What a failed insert means: the store is in trouble, the rows are at fault, or nobody knows."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError

from clew_processor.errors import StoreError


class Kind(Enum):
    """Whose fault it was; the value names it in metrics."""

    TROUBLE = "trouble"
    """The store's, the network's, the operator's: the same insert will be taken once it is over."""
    REFUSED = "refused"
    """The rows': they will be refused again."""
    UNCLEAR = "unclear"
    """Not known; worth some tries, not endless ones."""


class StoreFault(StoreError):  # noqa: N818 - it says whose fault it was
    """One insert, tried once, that the store did not confirm. It may have taken the rows all the same.

    Attributes:
        kind: whose fault it was.
        code: ClickHouse's number for it; 0 if it gave none.
        in_view: a materialized view failed. By then the rows are in the table itself, so they must not be inserted
            under another token.
    """

    def __init__(self, message: str, kind: Kind, *, code: int = 0, in_view: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.in_view = in_view


TROUBLE: Final = {
    # missing until somebody makes it
    60: "UNKNOWN_TABLE", 81: "UNKNOWN_DATABASE", 16: "NO_SUCH_COLUMN_IN_TABLE", 218: "TABLE_IS_DROPPED",
    46: "UNKNOWN_FUNCTION",
    # not taking writes
    164: "READONLY", 242: "TABLE_IS_READ_ONLY", 774: "TABLE_IS_PERMANENTLY_READ_ONLY",
    733: "TABLE_IS_BEING_RESTARTED", 384: "PART_IS_TEMPORARILY_LOCKED", 738: "PART_IS_LOCKED", 236: "ABORTED",
    667: "NOT_INITIALIZED", 668: "INVALID_STATE", 695: "ASYNC_LOAD_FAILED", 696: "ASYNC_LOAD_CANCELED",
    722: "ASYNC_LOAD_WAIT_FAILED", 394: "QUERY_WAS_CANCELLED", 735: "QUERY_WAS_CANCELLED_BY_CLIENT",
    677: "THREAD_WAS_CANCELED", 216: "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", 373: "SESSION_IS_LOCKED",
    473: "DEADLOCK_AVOIDED",
    # too much at once
    252: "TOO_MANY_PARTS", 692: "TOO_MANY_MUTATIONS", 202: "TOO_MANY_SIMULTANEOUS_QUERIES", 159: "TIMEOUT_EXCEEDED",
    160: "TOO_SLOW", 201: "QUOTA_EXCEEDED", 203: "NO_FREE_CONNECTION", 364: "RECEIVED_ERROR_TOO_MANY_REQUESTS",
    700: "USER_SESSION_LIMIT_EXCEEDED", 745: "SERVER_OVERLOADED", 749: "TCP_CONNECTION_LIMIT_REACHED",
    762: "HTTP_CONNECTION_LIMIT_REACHED", 763: "SESSION_REFUSED", 574: "DISTRIBUTED_TOO_MANY_PENDING_BYTES",
    1019: "QUERY_SLOT_ACQUISITION_TIMEOUT", 776: "RESOURCE_LIMIT_EXCEEDED",
    # memory, threads
    241: "MEMORY_LIMIT_EXCEEDED", 173: "CANNOT_ALLOCATE_MEMORY", 777: "MEMORY_RESERVATION_KILLED",
    778: "MEMORY_RESERVATION_FAILED", 1020: "MEMORY_RESERVATION_ACQUISITION_TIMEOUT", 439: "CANNOT_SCHEDULE_TASK",
    411: "PTHREAD_ERROR",
    # disk
    243: "NOT_ENOUGH_SPACE", 1016: "TABLE_SIZE_LIMIT_EXCEEDED", 23: "CANNOT_READ_FROM_ISTREAM",
    24: "CANNOT_WRITE_TO_OSTREAM", 74: "CANNOT_READ_FROM_FILE_DESCRIPTOR", 75: "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
    76: "CANNOT_OPEN_FILE", 77: "CANNOT_CLOSE_FILE", 87: "CANNOT_SEEK_THROUGH_FILE", 88: "CANNOT_TRUNCATE_FILE",
    107: "FILE_DOESNT_EXIST", 204: "CANNOT_FSYNC", 214: "CANNOT_STATVFS", 172: "CANNOT_CREATE_DIRECTORY",
    586: "CANNOT_CREATE_FILE", 294: "CANNOT_WRITE_TO_FILE", 641: "CANNOT_APPEND_TO_FILE", 400: "CANNOT_STAT",
    425: "SYSTEM_ERROR", 274: "AIO_READ_ERROR", 275: "AIO_WRITE_ERROR", 499: "S3_ERROR",
    500: "AZURE_BLOB_STORAGE_ERROR", 660: "HDFS_ERROR", 693: "AWS_ERROR", 711: "FILECACHE_ACCESS_DENIED",
    900: "DISTRIBUTED_CACHE_ERROR",
    # network, replicas, keeper
    95: "CANNOT_READ_FROM_SOCKET", 96: "CANNOT_WRITE_TO_SOCKET", 209: "SOCKET_TIMEOUT", 210: "NETWORK_ERROR",
    198: "DNS_ERROR", 279: "ALL_CONNECTION_TRIES_FAILED", 410: "EXTERNAL_SERVER_IS_NOT_RESPONDING",
    225: "NO_ZOOKEEPER", 999: "KEEPER_EXCEPTION", 244: "UNEXPECTED_ZOOKEEPER_ERROR", 568: "RAFT_ERROR",
    529: "NOT_A_LEADER", 254: "NO_ACTIVE_REPLICAS", 265: "NO_AVAILABLE_REPLICA", 285: "TOO_FEW_LIVE_REPLICAS",
    289: "REPLICA_IS_NOT_IN_QUORUM", 416: "REPLICA_STATUS_CHANGED", 369: "ALL_REPLICAS_ARE_STALE",
    415: "ALL_REPLICAS_LOST", 286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", 319: "UNKNOWN_STATUS_OF_INSERT",
    659: "UNKNOWN_STATUS_OF_TRANSACTION", 297: "SHARD_HAS_NO_CONNECTIONS", 519: "NO_REMOTE_SHARD_AVAILABLE",
    904: "TOO_MANY_UNAVAILABLE_SHARDS",
    # who we are
    192: "UNKNOWN_USER", 193: "WRONG_PASSWORD", 194: "REQUIRED_PASSWORD", 195: "IP_ADDRESS_NOT_ALLOWED",
    291: "DATABASE_ACCESS_DENIED", 497: "ACCESS_DENIED", 516: "AUTHENTICATION_FAILED", 720: "USER_EXPIRED",
    673: "RESOURCE_ACCESS_DENIED", 767: "REQUIRED_SECOND_FACTOR",
}  # fmt: skip
"""ClickHouse's codes (src/Common/ErrorCodes.cpp) that say nothing against the rows.

TOO_MANY_PARTS also stands for too many partitions in one insert, which is never ours: see `partitions.cut`.
"""

REFUSED: Final = {
    469: "VIOLATED_CONSTRAINT", 395: "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", 407: "DECIMAL_OVERFLOW",
    69: "ARGUMENT_OUT_OF_BOUND", 321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", 70: "CANNOT_CONVERT_TYPE",
    6: "CANNOT_PARSE_TEXT", 72: "CANNOT_PARSE_NUMBER", 38: "CANNOT_PARSE_DATE", 41: "CANNOT_PARSE_DATETIME",
    376: "CANNOT_PARSE_UUID", 675: "CANNOT_PARSE_IPV4", 676: "CANNOT_PARSE_IPV6", 467: "CANNOT_PARSE_BOOL",
    25: "CANNOT_PARSE_ESCAPE_SEQUENCE", 26: "CANNOT_PARSE_QUOTED_STRING", 27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    441: "CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING", 130: "CANNOT_READ_ARRAY_FROM_TEXT",
    563: "CANNOT_READ_MAP_FROM_TEXT", 117: "INCORRECT_DATA", 691: "UNKNOWN_ELEMENT_OF_ENUM",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", 190: "SIZES_OF_ARRAYS_DONT_MATCH",
    366: "SIZES_OF_NESTED_COLUMNS_ARE_INCONSISTENT", 19: "SIZE_OF_FIXED_STRING_DOESNT_MATCH",
    131: "TOO_LARGE_STRING_SIZE", 128: "TOO_LARGE_ARRAY_SIZE", 248: "INVALID_PARTITION_VALUE", 760: "UNICODE_ERROR",
}  # fmt: skip
"""Codes that the rows are refused with."""

_STATUS: Final = dict.fromkeys((401, 403, 404, 407, 408, 421, 429), Kind.TROUBLE) | {413: Kind.REFUSED}
"""Answers without a code come from something between us and ClickHouse. 413: the body is too long, pieces may pass."""

_KIND: Final = dict.fromkeys(TROUBLE, Kind.TROUBLE) | dict.fromkeys(REFUSED, Kind.REFUSED)
_IN_VIEW: Final = "while pushing to view"
_HTTP_STATUS: Final = re.compile(r"received HTTP status (\d{3})")
_PREFIX: Final = re.compile(
    r"(?:Received ClickHouse exception, code: \d+, server response: )?(?:Code: \d+\. DB::Exception: )*"
)
_SUFFIX: Final = re.compile(r"(?: \(version [^()]*(?:\([^()]*\))?\))?(?: \(for url [^()]*\))?$")
_LONGEST = 500


def fault(error: Exception) -> StoreFault:
    """What a failed insert or query means.

    Args:
        error: what the driver raised.
    """
    text, code = str(error), getattr(error, "code", None) or 0
    told = reason(error)
    if not isinstance(error, ClickHouseError | OSError):
        return StoreFault(f"{type(error).__name__}: {told}", Kind.UNCLEAR)
    if not code:
        status = _HTTP_STATUS.search(text)
        kind = Kind.TROUBLE
        if status and int(status[1]) < 500:
            kind = _STATUS.get(int(status[1]), Kind.UNCLEAR)
        return StoreFault(told, kind)
    return StoreFault(told, _KIND.get(code, Kind.UNCLEAR), code=code, in_view=_IN_VIEW in text)


def reason(error: BaseException) -> str:
    """Why, in a line: what the network said, or the store, without its stack trace."""
    innermost = error
    while following := innermost.__cause__ or innermost.__context__:
        innermost = following
    if isinstance(innermost, OSError) and innermost.strerror:
        return innermost.strerror
    line = str(error).partition(", Stack trace")[0].strip().partition("\n")[0]
    return _SUFFIX.sub("", _PREFIX.sub("", line, count=1))[:_LONGEST].encode("utf-8", "replace").decode()
