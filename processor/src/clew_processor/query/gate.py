"""The read-only gate: which statements the embedded engine may run for a client.

``readonly = 1`` alone leaves much open: it lets pass ``INTO OUTFILE``, the *function* ``file``, ``DESCRIBE`` of a URL,
``SYSTEM``, ``KILL``, ``USE``, ``BACKUP``, and it creates the file of ``sqlite('path')`` before it refuses. Matching the
text is no way either: quotes, comments, escapes and aliases go around it. So the engine is asked what it would run:
its classification of the statement, and its syntax tree (EXPLAIN AST parses and runs nothing). Every line of the tree
is held against the tables below, wherever it stands; a line of a kind not named here is refused.

Places where the tree does not show what will run are refused as a whole: ``APPLY(x -> file(x))`` prints only
``ColumnsApplyTransformer``, ``values('a String ALIAS file(...)', ...)`` hides an expression in a text, and SETTINGS
print only ``Set``. (Those at the statement's end are taken off it before it comes here, see `lexer.split`.)

The connection the engine is asked on has settings of ours alone: ``limit = 1`` would cut the tree short.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from clew_processor.query import lexer
from clew_processor.query.failure import QueryFailure, access_denied, read_only, writes

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Kinds of statements, as the first line of the tree names them, that a client may run.
_STATEMENTS = frozenset(
    {
        "SelectWithUnionQuery", "SelectIntersectExceptQuery", "Explain", "DescribeQuery", "ShowTables", "ShowColumns",
        "ShowIndexes", "ShowFunctions", "ShowCreateTableQuery", "ShowCreateViewQuery", "ShowCreateDatabaseQuery",
        "ShowCreateDictionaryQuery", "ExistsTableQuery", "ExistsViewQuery", "ExistsDatabaseQuery",
        "ExistsDictionaryQuery",
    }
)  # fmt: skip

#: Kinds of nodes that may stand inside.
_NODES = _STATEMENTS | {
    "ArrayJoin", "Asterisk", "ColumnsExceptTransformer", "ColumnsListMatcher", "ColumnsRegexpMatcher",
    "ColumnsReplaceTransformer", "ColumnsReplaceTransformer::Replacement", "ColumnsTransformerList", "ExpressionList",
    "Function", "Identifier", "InterpolateElement", "Literal", "OrderByElement", "QualifiedAsterisk",
    "QualifiedColumnsListMatcher", "QualifiedColumnsRegexpMatcher", "SampleRatio", "SelectQuery", "Subquery",
    "TableExpression", "TableIdentifier", "TableJoin", "TablesInSelectQuery", "TablesInSelectQueryElement",
    "WindowDefinition", "WindowListElement", "WithElement",
}  # fmt: skip

#: Statements that name their object by one or two bare identifiers: [database] and name.
_OBJECT_STATEMENTS = re.compile(r"(ShowCreate|Exists)(Table|View|Dictionary)Query")

#: What EXPLAIN may explain: it runs none of these. (TABLE OVERRIDE and CURRENT TRANSACTION are of no use here.)
_EXPLAINS = frozenset(
    {"EXPLAIN", "EXPLAIN AST", "EXPLAIN SYNTAX", "EXPLAIN QUERY TREE", "EXPLAIN PIPELINE", "EXPLAIN ESTIMATE"}
)

#: Functions with an effect outside the query, or made to keep a thread busy.
_FUNCTIONS = re.compile(
    r"file|ai(classify|embed|extract|filter|generate|redact|similarity|translate)\w*"
    r"|sleep(eachrow)?|logtrace|generateserialid|showcertificate|fuzzquery|catboostevaluate",
    re.IGNORECASE,
)

#: Table functions that make rows out of numbers, or out of a query the tree shows. (`merge` reaches every database.)
_TABLE_FUNCTIONS = frozenset(
    {"generate_series", "generateseries", "numbers", "numbers_mt", "primes", "view", "zeros", "zeros_mt"}
)

#: Tables of the database ``system`` that describe the store; the others tell of files, threads, other people's queries.
_SYSTEM_TABLES = frozenset(
    {
        "aggregate_function_combinators", "asynchronous_metrics", "build_options", "codecs", "collations", "columns",
        "completions", "contributors", "data_skipping_indices", "data_type_families", "databases", "dictionaries",
        "documentation", "errors", "events", "formats", "functions", "keywords", "licenses", "merge_tree_settings",
        "merges", "metrics", "mutations", "numbers", "numbers_mt", "one", "parts", "parts_columns", "primes",
        "projection_parts", "projections", "settings", "table_engines", "table_functions", "tables", "time_zones",
        "tokenizers", "view_refreshes", "warnings", "zeros", "zeros_mt",
    }
)  # fmt: skip

_INFORMATION_SCHEMA = ("information_schema", "INFORMATION_SCHEMA")

#: The line end keeps the columns of the statement's own lines in the engine's messages.
_EXPLAIN = "EXPLAIN AST\n"
_POSITION = re.compile(r"position (\d+)")
_LINE = re.compile(r"\(line (\d+),")

_ALIAS = re.compile(r" \(alias .*$")
_CHILDREN = re.compile(r" \(children \d+\)$")


@dataclass(frozen=True, slots=True)
class Gate:
    """Decides for one store.

    Attributes:
        database: the store's own database.
        databases: every database the engine knows.
        table_functions: every table function the engine knows, in lower case.
        max_query_bytes: length of a statement.
        max_nodes: nodes of a statement's tree.
    """

    database: str
    databases: frozenset[str]
    table_functions: frozenset[str]
    max_query_bytes: int
    max_nodes: int

    def check(self, connection: Any, sql: str, parameters: Mapping[str, str]) -> str:
        """Let a reading statement pass.

        Args:
            connection: an embedded connection on the store's database, with the fixed settings and ``readonly = 1`` and
                none of the client's.
            sql: the text as it will run.
            parameters: values of its ``{name:Type}`` parameters.

        Returns:
            The kind of statement, as in ``SelectWithUnionQuery``.

        Raises:
            QueryFailure: it changes something (164), touches what is out of reach (497), is too large (223, 168) or
                does not parse (62, 456, 457).
        """
        if len(sql.encode()) > self.max_query_bytes:
            raise QueryFailure(223, "QUERY_IS_TOO_LARGE", f"Query is longer than {self.max_query_bytes} bytes")
        lexemes = lexer.tokens(sql)
        # The engine looks for `Python(name)` before it parses, and imports packages to do so: that takes seconds.
        if any(token.is_word("PYTHON") and after.text == "(" for token, after in pairwise(lexemes)):
            raise access_denied("Table function python is not allowed here")
        if named := lexer.identifier_parameters(lexemes):
            raise access_denied(
                f"Parameter {{{named[0]}:Identifier}} is not allowed: name columns and tables in the query"
            )
        self._classify(connection, sql)
        if "\0" in sql:  # where some parser may take it for the end
            raise QueryFailure(62, "SYNTAX_ERROR", "Query holds a NUL character")
        return self._walk(_syntax_tree(connection, sql, parameters))

    def check_condition(self, connection: Any, condition: str) -> None:
        """Let a condition pass that the engine will add to a table's WHERE; raises like `check`."""
        self.check(connection, f"SELECT 1 WHERE (\n{condition}\n)", {})

    def check_database(self, name: str) -> None:
        """Hold the database a client asks for: its own name, ``default`` or none mean the store's.

        Another must not be: the tree shows names as they stand, and ``processes`` would become ``system.processes``.

        Raises:
            QueryFailure: it is another (81).
        """
        if name not in ("", "default", self.database):
            raise QueryFailure(
                81, "UNKNOWN_DATABASE", f"Database {name} does not exist. The store's is {self.database}"
            )

    def _classify(self, connection: Any, sql: str) -> None:
        # The public API has no such call; the engine's durable layer uses this one for the same purpose.
        report = connection._conn.classify_query(sql)  # noqa: SLF001
        statements = report["statement_count"]
        if statements > 1:
            raise QueryFailure(62, "SYNTAX_ERROR", f"Multi-statements are not allowed: found {statements}")
        kind = report["query_class"].name
        if kind == "UNKNOWN":
            _syntax_tree(connection, sql, {})  # does not parse, and says where
            raise QueryFailure(62, "SYNTAX_ERROR", "Syntax error")
        if kind != "READ_ONLY":
            raise writes()

    def _walk(self, lines: list[str]) -> str:
        if len(lines) > self.max_nodes:
            raise QueryFailure(168, "TOO_BIG_AST", f"Query has {len(lines)} nodes, {self.max_nodes} are allowed")
        statement = lines[0].partition(" ")[0]
        if statement not in _STATEMENTS:
            raise read_only(f"Cannot execute query in readonly mode: {statement} is not among what clients may run")
        if _OBJECT_STATEMENTS.fullmatch(statement):
            self._check_table(".".join(line.strip().removeprefix("Identifier ") for line in lines[1:]))
        for previous, line in zip(["", *lines], lines, strict=False):
            if statement == "Explain" and line == " Set":
                continue  # options of EXPLAIN, as in `EXPLAIN indexes = 1 SELECT ...`
            self._check_node(line.strip(), inside_table_expression=previous.strip().startswith("TableExpression"))
        return statement

    def _check_node(self, line: str, *, inside_table_expression: bool) -> None:
        kind, _, rest = line.partition(" ")
        if kind == "ColumnsApplyTransformer":
            raise access_denied("APPLY is not allowed here: call the functions on the columns")
        if kind == "Set":
            raise read_only("Cannot execute query in readonly mode: SETTINGS may only stand at the end of the query")
        if kind not in _NODES:
            raise access_denied(f"The query has a part that is not allowed here: {kind}")
        if kind == "Explain" and _CHILDREN.sub("", rest) not in _EXPLAINS:
            raise read_only(f"Cannot execute query in readonly mode: {rest} is not among what clients may run")
        if kind == "Function":
            self._check_function(rest.split(" ", 1)[0], inside_table_expression=inside_table_expression)
        elif kind in ("Identifier", "TableIdentifier"):
            name = _ALIAS.sub("", _CHILDREN.sub("", rest))
            if _FUNCTIONS.fullmatch(name):  # arrayMap(file, [...]) calls the function an identifier names
                raise access_denied(f"The name {name} is not allowed here: it could call the function. Choose another")
            if kind == "TableIdentifier":
                self._check_table(name)
            else:
                self._check_column(name)

    def _check_function(self, name: str, *, inside_table_expression: bool) -> None:
        lowered = name.lower()
        if _FUNCTIONS.fullmatch(name) or name.startswith("__"):  # the engine's internal ones
            raise access_denied(f"Function {name} is not allowed here")
        if lowered in _TABLE_FUNCTIONS:
            return
        # Names of both sorts (`format`) are fine as functions. Elsewhere than in FROM a table function's name is
        # refused too: IN takes one on its right.
        if inside_table_expression or (lowered in self.table_functions and lowered != "format"):
            raise access_denied(
                f"Table function {name} is not allowed here. Allowed: {', '.join(sorted(_TABLE_FUNCTIONS))}"
            )

    def _check_table(self, name: str) -> None:
        if "/" in name:
            raise access_denied(f"Table {name} is not allowed here: it could be a file")
        database, dot, table = name.partition(".")
        if not dot or database == self.database or database in _INFORMATION_SCHEMA:
            return
        if database == "system" and table.partition(".")[0] in _SYSTEM_TABLES:
            return
        raise access_denied(f"Table {name} is not allowed here")

    def _check_column(self, name: str) -> None:
        """A name with dots may be a table's too: ``x IN system.processes``."""
        database, dot, _ = name.partition(".")
        if dot and database in self.databases:
            self._check_table(name)


def _syntax_tree(connection: Any, sql: str, parameters: Mapping[str, str]) -> list[str]:
    """The statement's tree, a line a node, children indented by one space more than their parent."""
    try:
        result = connection.query(_EXPLAIN + sql, "TabSeparatedRaw", params=dict(parameters))
    except RuntimeError as error:
        failure = QueryFailure.from_engine(error)
        failure.text = _POSITION.sub(lambda found: f"position {int(found[1]) - len(_EXPLAIN)}", failure.text, count=1)
        failure.text = _LINE.sub(lambda found: f"(line {int(found[1]) - 1},", failure.text, count=1)
        raise failure from None
    return result.bytes().decode("utf-8", "replace").splitlines() or [""]
