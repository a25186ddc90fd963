"""The query endpoint lets read and nothing else, whatever a statement looks like."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from shared.query_server import query_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shared.query_server import QueryServer

SECRET = "the-secret-in-the-file"


@dataclass
class Range:
    """Where attacks are tried: an endpoint, a secret file, a folder that must stay empty, a port nobody may call."""

    server: QueryServer
    secret: Path
    out: Path
    trap: socket.socket

    def fill(self, sql: str) -> str:
        port = str(self.trap.getsockname()[1])
        return sql.replace("SECRET", str(self.secret)).replace("DIR", str(self.out)).replace("PORT", port)

    def assert_untouched(self) -> None:
        assert not list(self.out.iterdir())
        with pytest.raises(BlockingIOError):
            self.trap.accept()
        assert self.server.ask("SELECT count(), sum(id) FROM kinds").data == b"2\t3\n"


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Range]:
    folder = tmp_path_factory.mktemp("gate")
    (folder / "out").mkdir()
    (folder / "secret.txt").write_text(SECRET)
    with (
        socket.create_server(("127.0.0.1", 0)) as trap,
        query_server(folder / "store", max_execution_time_s=2, max_query_bytes=200_000) as server,
    ):
        trap.setblocking(False)
        yield Range(server, folder / "secret.txt", folder / "out", trap)


READONLY, DENIED, SYNTAX = "164", "497", "62"

HOSTILE = {
    # writing
    "INSERT INTO kinds (id) VALUES (3)": READONLY,
    "INSERT INTO kinds SELECT * FROM kinds": READONLY,
    "/* SELECT */ insert/**/into kinds (id) values (3)": READONLY,
    "INSERT INTO FUNCTION file('DIR/x', 'CSV', 'a Int') VALUES (1)": READONLY,
    "EXPLAIN INSERT INTO kinds SELECT * FROM kinds": DENIED,
    "CREATE TABLE t (a Int) ENGINE = Memory": READONLY,
    "CREATE TEMPORARY TABLE t (a Int)": READONLY,
    "CREATE FUNCTION f AS (x) -> x": READONLY,
    "CREATE VIEW v AS SELECT file('SECRET')": READONLY,
    "DROP TABLE kinds": READONLY,
    "TRUNCATE TABLE kinds": READONLY,
    "ALTER TABLE kinds DELETE WHERE 1": READONLY,
    "DELETE FROM kinds WHERE 1": READONLY,
    "UPDATE kinds SET name = 'x' WHERE 1": READONLY,
    "RENAME TABLE kinds TO other": READONLY,
    "OPTIMIZE TABLE kinds FINAL": READONLY,
    "ATTACH DATABASE d ENGINE = Atomic": READONLY,
    "DETACH TABLE kinds": READONLY,
    "BACKUP TABLE kinds TO File('DIR/b.zip')": READONLY,
    "RESTORE TABLE kinds FROM File('SECRET')": READONLY,
    "CHECK TABLE kinds": READONLY,
    # the session and the engine
    "SET max_execution_time = 0": READONLY,
    "SET readonly = 0": READONLY,
    "USE system": READONLY,
    "SYSTEM STOP MERGES": READONLY,
    "SYSTEM SHUTDOWN": READONLY,
    "KILL QUERY WHERE 1": READONLY,
    "GRANT ALL ON *.* TO default": READONLY,
    "SET ROLE ALL": READONLY,
    "EXECUTE AS default SELECT 1": READONLY,
    "SHOW PROCESSLIST": READONLY,
    "BEGIN TRANSACTION": READONLY,
    # more than one
    "SELECT 1; DROP TABLE kinds": SYNTAX,
    "SELECT 1;SELECT 2": SYNTAX,
    "SELECT 1 -- \n; INSERT INTO kinds (id) VALUES (3)": SYNTAX,
    "SELECT 1 PARALLEL WITH DROP TABLE kinds": SYNTAX,
    # writing files
    "SELECT 1 INTO OUTFILE 'DIR/a'": READONLY,
    "SELECT 1 INTO OUTFILE 'DIR/a' FORMAT CSV": READONLY,
    "EXPLAIN SELECT 1 INTO OUTFILE 'DIR/a'": READONLY,
    "SELECT 1 into/**/outfile 'DIR/a' truncate": READONLY,
    "SELECT * FROM sqlite('DIR/x.sqlite', 't')": DENIED,
    "SELECT 1 FORMAT Protobuf SETTINGS output_format_schema = 'DIR/x.proto'": "73",
    "SELECT 1 FORMAT CSV SETTINGS output_format_schema = 'DIR/x.proto'": READONLY,
    # reading files
    "SELECT file('SECRET')": DENIED,
    "SELECT `file`('SECRET')": DENIED,
    "SELECT \"file\"('SECRET')": DENIED,
    r"SELECT `fi\x6ce`('SECRET')": DENIED,
    "SELECT/**/file/**/('SECRET')": DENIED,
    "SELECT arrayMap(file, ['SECRET'])": DENIED,
    "SELECT arrayMap(x -> file(x), ['SECRET'])": DENIED,
    "SELECT arrayMap(`file`, ['SECRET'])": DENIED,
    "WITH x -> file(x) AS f SELECT f('SECRET')": DENIED,
    "WITH (SELECT file('SECRET')) AS secret SELECT secret": DENIED,
    "SELECT COLUMNS('name') APPLY(x -> file('SECRET')) FROM kinds": DENIED,
    "SELECT * APPLY(file) FROM (SELECT 'SECRET' AS path)": DENIED,
    "SELECT * REPLACE(file('SECRET') AS name) FROM kinds": DENIED,
    "SELECT name FROM kinds ORDER BY file('SECRET')": DENIED,
    "SELECT sum(id) OVER (PARTITION BY file('SECRET')) FROM kinds": DENIED,
    "SELECT 1 LIMIT length(file('SECRET'))": DENIED,
    "SELECT throwIf(1, file('SECRET'))": DENIED,
    "EXPLAIN SELECT file('SECRET')": DENIED,
    "EXPLAIN QUERY TREE SELECT file('SECRET')": DENIED,
    "DESCRIBE (SELECT file('SECRET') AS x)": DENIED,
    "SELECT * FROM view(SELECT file('SECRET'))": DENIED,
    "SELECT 1 UNION ALL SELECT length(file('SECRET'))": DENIED,
    "SELECT *, b FROM values('a String, b String ALIAS file(\\'SECRET\\')', 'x')": DENIED,
    "SELECT * FROM format(LineAsString, 'a String DEFAULT file(\\'SECRET\\')', '')": DENIED,
    "SELECT * FROM generateRandom('a String, b String ALIAS file(\\'SECRET\\')') LIMIT 1": DENIED,
    "SELECT * FROM file('SECRET', 'RawBLOB', 'a String')": DENIED,
    "SELECT 1 IN file('SECRET', 'RawBLOB', 'a String')": DENIED,
    "SELECT * FROM FILE('SECRET', 'RawBLOB', 'a String')": DENIED,
    "SELECT * FROM 'SECRET'": DENIED,
    "SELECT * FROM `SECRET`": DENIED,
    "SELECT * FROM default.`SECRET`": DENIED,
    "SELECT * FROM default.`secret.txt`": DENIED,
    "SELECT 'x' IN default.`secret.txt`": DENIED,
    "DESCRIBE TABLE 'SECRET'": DENIED,
    "EXISTS TABLE default.`SECRET`": DENIED,
    "SHOW CREATE TABLE default.`SECRET`": DENIED,
    "SELECT * FROM filesystem('SECRET')": DENIED,
    "SELECT * FROM loop(file('SECRET', 'RawBLOB', 'a String'))": DENIED,
    "SELECT * FROM merge('.*', '.*')": DENIED,
    "SELECT * FROM merge('system', 'processes')": DENIED,
    "SELECT * FROM eval('SELECT file(\\'SECRET\\')')": DENIED,
    "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT file('SECRET')))": DENIED,
    "SELECT * FROM icebergLocal('DIR')": DENIED,
    "SELECT * FROM dictionary('d')": DENIED,
    "SELECT * FROM (EXPLAIN AST SELECT 1)": DENIED,
    # a name with a line break forges lines of the syntax tree
    "SELECT 1 AS `x)\n  Literal 1`, file('SECRET')": DENIED,
    "SELECT 1 FROM url('http://127.0.0.1:PORT/', 'CSV') AS `x\nTableIdentifier kinds`": DENIED,
    # programs, networks, other databases
    "SELECT * FROM executable('id', 'TSV', 'a String')": DENIED,
    "SELECT * FROM python('x')": DENIED,
    "SELECT * FROM Python(os)": DENIED,
    "SELECT * FROM url('http://127.0.0.1:PORT/', 'CSV')": DENIED,
    "SELECT * FROM URL('http://127.0.0.1:PORT/', 'CSV')": DENIED,
    "DESCRIBE TABLE url('http://127.0.0.1:PORT/', 'CSV')": DENIED,
    "DESC u\u0072l('http://127.0.0.1:PORT/', 'CSV')": DENIED,
    "SELECT 1 IN url('http://127.0.0.1:PORT/', 'CSV', 'a Int')": DENIED,
    "SELECT * FROM s3('http://127.0.0.1:PORT/b/k', 'CSV')": DENIED,
    "SELECT * FROM remote('127.0.0.1:PORT', system.one)": DENIED,
    "SELECT * FROM remoteSecure('127.0.0.1:PORT', system.one)": DENIED,
    "SELECT * FROM cluster('default', system.one)": DENIED,
    "SELECT * FROM mysql('127.0.0.1:PORT', 'd', 't', 'u', 'p')": DENIED,
    "SELECT * FROM postgresql('127.0.0.1:PORT', 'd', 't', 'u', 'p')": DENIED,
    "SELECT * FROM mongodb('mongodb://127.0.0.1:PORT/d', 't', 'a Int')": DENIED,
    "SELECT * FROM redis('127.0.0.1:PORT', 'k', 'k String')": DENIED,
    "SELECT * FROM jdbc('x', 'y')": DENIED,
    "EXPLAIN TABLE OVERRIDE mysql('127.0.0.1:PORT', 'd', 't', 'u', 'p')": READONLY,
    "SELECT aiGenerate('x')": DENIED,
    "SELECT AIGenerate('x')": DENIED,
    # other people, and time
    "SELECT query FROM system.processes": DENIED,
    "SELECT query FROM `system`.`processes`": DENIED,
    "SELECT 1 IN (SELECT 1 FROM system.processes)": DENIED,
    "SELECT 'x' IN system.processes": DENIED,
    "SELECT path FROM system.disks": DENIED,
    "SELECT * FROM system.stack_trace": DENIED,
    "SELECT sleep(3)": DENIED,
    "SELECT sleepEachRow(3) FROM numbers(10)": DENIED,
    "SELECT logTrace('x')": DENIED,
    "SELECT __getScalar('x')": DENIED,
    # limits
    "SELECT 1 SETTINGS readonly = 0": READONLY,
    "SELECT 1 SETTINGS allow_ddl = 1": READONLY,
    "SELECT * FROM (SELECT 1 SETTINGS max_execution_time = 100)": READONLY,
    "SELECT id FROM kinds WHERE id IN (SELECT 1 SETTINGS readonly = 0)": READONLY,
    "SELECT 1 SETTINGS readonly = 0 UNION ALL SELECT 2": READONLY,
    "SELECT file('SECRET') SETTINGS limit = 1": DENIED,
    "SELECT file('SECRET') SETTINGS max_result_rows = 1, result_overflow_mode = 'break'": DENIED,
    "SELECT file('SECRET') SETTINGS limit = 1, offset = -1": DENIED,
    "SELECT file('SECRET') SETTINGS `limit` = 1": DENIED,
    "SELECT file('SECRET') SETTINGS `max_result_rows` = 1": READONLY,
    "SELECT file('SECRET') SETTINGS offset = 100": DENIED,
    "EXPLAIN SELECT file('SECRET') SETTINGS limit = 1": DENIED,
    "SELECT * FROM kinds SETTINGS additional_table_filters = {'kinds': 'name IN (SELECT file(\\'SECRET\\'))'}": DENIED,
    "SELECT * FROM kinds SETTINGS additional_table_filters = {'kinds': 'file(\\'SECRET\\') = name'} FORMAT CSV": DENIED,
    "SELECT * FROM kinds SETTINGS additional_table_filters = {'kinds': '1) AND (file(\\'SECRET\\') = name'}": DENIED,
    "SELECT * FROM kinds SETTINGS additional_table_filters = {'kinds': '1 /*'}": SYNTAX,
    "SELECT * FROM kinds SETTINGS additional_result_filter = 'file(\\'SECRET\\') = name'": READONLY,
    "SELECT " + "1," * 100_000 + "1": "223",
    "SELECT " + "1," * 60_000 + "1": "168",
    "SELECT count() FROM numbers(1000000000000)": "158",
    "SELECT sum(sipHash64(number)) FROM numbers(1900000000)": "159",
    "SELECT count() FROM numbers(1000000) AS a CROSS JOIN numbers(1000000) AS b": "159",
    "SELECT 1\0; DROP TABLE kinds": SYNTAX,
    # texts that only parse behind EXPLAIN AST, or only as an implicit SELECT
    "graph = 1 SELECT 1": SYNTAX,
    "optimize = 1 FROM kinds SELECT file('SECRET')": SYNTAX,
    "file('SECRET')": SYNTAX,
    "": SYNTAX,
    "-- nothing": SYNTAX,
    ";": SYNTAX,
}


@pytest.mark.parametrize("statement", HOSTILE, ids=lambda statement: repr(statement[:60]))
def test_hostile_statement_is_refused_and_leaves_no_trace(attacked: Range, statement: str) -> None:
    answer = attacked.server.ask(attacked.fill(statement))

    text = answer.data.decode()
    assert answer.status >= 400, text
    assert SECRET not in text
    assert text.startswith(f"Code: {HOSTILE[statement]}. DB::Exception: "), text
    assert answer.headers["X-ClickHouse-Exception-Code"] == HOSTILE[statement]
    attacked.assert_untouched()


SPELLINGS = [
    "file('SECRET')", "`file`('SECRET')", '"file"(\'SECRET\')', r"`f\x69le`('SECRET')", "file /**/ ('SECRET')",
    "file(concat('SEC', 'RET'))", "file({path:String})", "arrayMap(file, ['SECRET'])[1]",
    "arrayMap(x -> file(x), ['SECRET'])[1]", "if(1, file('SECRET'), '')", "(SELECT file('SECRET'))",
    "untuple(tuple(file('SECRET')))", "CAST(file('SECRET') AS String)", "file('SECRET')::String",
]  # fmt: skip

PLACES = [
    "SELECT {}", "SELECT 1, {} AS x", "WITH {} AS x SELECT x", "WITH x AS (SELECT {}) SELECT * FROM x",
    "SELECT DISTINCT {}",
    "SELECT throwIf(1, toString({}))", "SELECT * FROM (SELECT {})", "SELECT name FROM kinds WHERE name != {}",
    "SELECT name FROM kinds PREWHERE name != {}", "SELECT count() FROM kinds GROUP BY {}",
    "SELECT * FROM view(SELECT {})",
    "SELECT count() FROM kinds HAVING toString(count()) != {}", "SELECT name FROM kinds ORDER BY {}",
    "SELECT name FROM kinds LIMIT 1 BY {}", "SELECT 1 LIMIT length({})", "SELECT 1 LIMIT 1 OFFSET length({})",
    "SELECT sum(id) OVER (PARTITION BY {}) FROM kinds", "SELECT sum(id) OVER w FROM kinds WINDOW w AS (ORDER BY {})",
    "SELECT name FROM kinds QUALIFY {} != ''", "SELECT a FROM kinds ARRAY JOIN [{}] AS a",
    "SELECT k.id FROM kinds AS k JOIN kinds AS l ON k.name = {}", "SELECT 1 UNION ALL SELECT length({})",
    "SELECT 'x' IN ({})", "SELECT name IN (SELECT {}) FROM kinds", "SELECT * REPLACE({} AS name) FROM kinds",
    "SELECT sumIf(id, {} != '') FROM kinds", "SELECT sum(id) FILTER (WHERE {} != '') FROM kinds",
    "SELECT CASE WHEN {} = '' THEN 1 ELSE 2 END", "SELECT CASE {} WHEN '' THEN 1 END",
    "SELECT [{}], tuple({}), map('a', {})",
    "SELECT {} BETWEEN 'a' AND 'b'", "SELECT {} LIKE 'a'", "SELECT EXISTS(SELECT {})", "EXPLAIN SELECT {}",
    "EXPLAIN QUERY TREE SELECT {}", "EXPLAIN AST SELECT {}", "DESCRIBE (SELECT {} AS x)",
    "SELECT COLUMNS('name') APPLY(x -> {}) FROM kinds",
    "SELECT id FROM kinds ORDER BY id WITH FILL TO length({})", "SELECT * FROM numbers(length({}))",
    "SELECT name FROM kinds ORDER BY id WITH FILL INTERPOLATE (name AS {})", "SELECT 1 INTERSECT SELECT length({})",
    "SELECT 1 FROM kinds GROUP BY GROUPING SETS (({}))",
    "SELECT 1 AS a FORMAT CSV SETTINGS max_threads = 1 UNION ALL SELECT {}",
]  # fmt: skip


def test_function_that_reads_files_is_refused_in_every_place_and_spelling(attacked: Range) -> None:
    """No answer is a result, and none holds what is in the file."""
    answers = {}
    for place in PLACES:
        for spelling in SPELLINGS:
            sql = attacked.fill(place.replace("{}", spelling).replace("'SEC', 'RET'", "'', 'SECRET'"))
            answers[sql] = attacked.server.ask(sql, param_path=str(attacked.secret))

    assert len(answers) == len(PLACES) * len(SPELLINGS)
    assert {sql: answer.data for sql, answer in answers.items() if answer.status < 400} == {}
    assert {sql: answer.data for sql, answer in answers.items() if SECRET in answer.data.decode()} == {}
    codes = [answer.headers["X-ClickHouse-Exception-Code"] for answer in answers.values()]
    assert codes.count(DENIED) > 0.9 * len(codes)  # the others do not parse


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"param_f": "file"}, DENIED),
        ({"readonly": "0"}, READONLY),
        ({"allow_introspection_functions": "1"}, READONLY),
        ({"allow_ddl": "1"}, READONLY),
        ({"format_schema_path": "/etc"}, READONLY),
        ({"output_format_schema": "/tmp/x"}, READONLY),
        ({"dialect": "prql"}, READONLY),
        ({"implicit_select": "1"}, READONLY),
        ({"log_comment": "x", "profile": "default"}, READONLY),
        ({"additional_table_filters": "{'kinds': 'file(\\'/etc/passwd\\') != name'}"}, DENIED),
        ({"additional_table_filters": "kinds"}, "36"),
        ({"max_execution_time": "soon"}, "36"),
        ({"max_execution_time": "-1"}, "36"),
        ({"max_threads": "nan"}, "36"),
        ({"a b = 1, readonly": "1"}, READONLY),
        ({"default_format": "Protobuf"}, "73"),
        ({"default_format": "NoSuch"}, "73"),
        ({"default_format": "DataFrame"}, "73"),
        ({"database": "system"}, "81"),
        ({"database": "nope; DROP TABLE kinds"}, "81"),
    ],
)
def test_hostile_setting_is_refused(attacked: Range, fields: dict[str, str], code: str) -> None:
    sql = "SELECT arrayMap({f:Identifier}, ['x'])" if "param_f" in fields else "SELECT name FROM kinds"

    answer = attacked.server.ask(sql, **fields)

    assert answer.headers.get("X-ClickHouse-Exception-Code") == code, answer.data
    attacked.assert_untouched()


@pytest.mark.parametrize("spelling", ["{t:Identifier}", "{ t : identifier }", "{t /* a table */ : Identifier}"])
def test_identifier_parameters_are_refused_however_they_are_spelled(attacked: Range, spelling: str) -> None:
    answer = attacked.server.ask(f"SELECT * FROM {spelling}", param_t="kinds")

    assert answer.status == 403
    assert b"Identifier} is not allowed: name columns and tables in the query" in answer.data


def test_client_can_lower_limits_but_not_raise_them(attacked: Range) -> None:
    limits = "SELECT getSetting('max_execution_time'), getSetting('max_result_rows'), getSetting('readonly')"

    raised = attacked.server.ask(limits, max_execution_time=65, max_result_rows=0, readonly=2)
    lowered = attacked.server.ask(f"{limits} SETTINGS max_execution_time = 1, max_result_rows = 7")

    assert raised.data == b"2\t10000000\t1\n"
    assert lowered.data == b"1\t7\t1\n"


HARMLESS = {
    "SELECT 1": b"1\n",
    " ( select 1 ) ; ": b"1\n",
    "/* a */ SELECT -- b\n 1 # c\n;": b"1\n",
    "FROM kinds SELECT id ORDER BY id": b"1\n2\n",
    "SELECT 'file', '; DROP TABLE kinds', 'INTO OUTFILE'": b"file\t; DROP TABLE kinds\tINTO OUTFILE\n",
    "SELECT name FROM kinds_view WHERE id = 1": b"one\n",
    "SELECT name FROM clew.kinds WHERE id IN (SELECT id FROM kinds_view) ORDER BY id LIMIT 1": b"one\n",
    "SELECT k.labels['k'] FROM kinds AS k INNER JOIN kinds_view AS v ON k.id = v.id WHERE k.id = 1": b"v\n",
    "WITH picked AS (SELECT id FROM kinds WHERE id > 1) SELECT count() FROM picked": b"1\n",
    "WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM n WHERE x < 3) SELECT max(x) FROM n": b"3\n",
    "SELECT arrayMap(x -> x + 1, hashes) FROM kinds WHERE id = 1": b"[2,3]\n",
    "SELECT sumIf(cost, outcome = 'allow'), quantileExact(0.5)(id), countIf(isNull(level)) FROM kinds": b"12.5\t2\t1\n",
    "SELECT row_number() OVER w FROM kinds WINDOW w AS (ORDER BY id)": b"1\n2\n",
    "SELECT * EXCEPT(id) REPLACE(upper(name) AS name) FROM kinds_view WHERE id = 1": b"ONE\n",
    "SELECT COLUMNS('^id$'), k.* EXCEPT(id) FROM kinds_view AS k ORDER BY id LIMIT 1": b"1\tone\n",
    "SELECT arrayJoin(mapKeys(labels)) AS key FROM kinds GROUP BY key ORDER BY key LIMIT 10": b"k\n",
    "SELECT h FROM kinds ARRAY JOIN hashes AS h ORDER BY h": b"1\n2\n",
    "SELECT toStartOfInterval(at, INTERVAL 60 second) AS time, count() FROM kinds GROUP BY time": (
        b"2026-01-02 03:04:00\t2\n"
    ),
    "SELECT name, count() FROM kinds GROUP BY name WITH TOTALS ORDER BY name": b"\t1\none\t1\n\n\t2\n",
    "SELECT id FROM kinds ORDER BY id WITH FILL TO 5 STEP 2 INTERPOLATE": b"1\n2\n3\n",
    "SELECT number FROM numbers(3) INTERSECT SELECT number FROM system.numbers LIMIT 2": b"0\n1\n",
    "SELECT 1 UNION DISTINCT SELECT 1": b"1\n",
    "SELECT CASE WHEN id = 1 THEN 'a' ELSE 'b' END, id BETWEEN 1 AND 2, id::String FROM kinds LIMIT 1": b"a\t1\t1\n",
    "SELECT format('{}-{}', 'a', 'b')": b"a-b\n",
    "SELECT __hdx_x, t.file FROM (SELECT 1 AS __hdx_x, 2 AS file) AS t": b"1\t2\n",
    "SELECT * FROM view(SELECT 1)": b"1\n",
    "SHOW TABLES LIKE 'kinds%'": b"kinds\nkinds_view\n",
    "SHOW TABLES FROM clew LIKE 'kinds'": b"kinds\n",
    "EXISTS TABLE kinds": b"1\n",
    "EXISTS clew.nope": b"0\n",
    "EXPLAIN SYNTAX SELECT 1": b"SELECT 1\\nFROM system.one\n",
    "SELECT name FROM system.databases WHERE name = 'clew'": b"clew\n",
    "SELECT table_name FROM information_schema.tables WHERE table_name = 'kinds'": b"kinds\n",
    "SELECT count() FROM system.columns WHERE database = 'clew' AND table = 'kinds_view'": b"2\n",
    "SELECT settings FROM (SELECT 1 AS settings) WHERE settings = 1": b"1\n",
    "SELECT 1 SETTINGS max_threads = 1, join_use_nulls = 1 FORMAT TSV": b"1\n",
    "SELECT 1 FORMAT CSV SETTINGS output_format_csv_crlf_end_of_line = 1;": b"1\r\n",
    "SELECT id FROM kinds settings additional_table_filters={'clew.kinds': 'name != \\'it\\\\\\'s\\' AND id > 1'}": (
        b"2\n"
    ),
}


@pytest.mark.parametrize("statement", HARMLESS, ids=lambda statement: repr(statement[:60]))
def test_reading_statement_is_answered(attacked: Range, statement: str) -> None:
    answer = attacked.server.ask(statement)

    assert (answer.status, answer.data) == (200, HARMLESS[statement])


@pytest.mark.parametrize(
    "statement",
    ["DESCRIBE kinds", "DESC TABLE clew.kinds", "DESCRIBE (SELECT 1)", "SHOW CREATE TABLE kinds",
     "SHOW COLUMNS FROM kinds",
     "SHOW CREATE VIEW kinds_view", "SHOW INDEXES FROM kinds", "SHOW DATABASES", "SHOW FUNCTIONS LIKE 'sum'",
     "SHOW SETTINGS LIKE 'max_threads'", "SHOW CREATE DATABASE clew", "EXPLAIN SELECT id FROM kinds",
     "EXPLAIN PIPELINE SELECT id FROM kinds", "EXPLAIN ESTIMATE SELECT id FROM kinds", "EXPLAIN AST SELECT 1",
     "EXPLAIN QUERY TREE SELECT 1", "EXPLAIN indexes = 1 SELECT id FROM kinds"],
)  # fmt: skip
def test_describing_statement_is_answered_in_native_too(attacked: Range, statement: str) -> None:
    answer = attacked.server.ask(statement, default_format="Native")

    assert answer.status == 200, answer.data
    assert answer.data
