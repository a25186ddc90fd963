"""What Grafana's ClickHouse data source needs in a dashboard: its query and the variables all boards share.

The foundation SDK has no builder for this data source, so the query is a small `Dataquery` of our own. Its
fields are those the data source stores in a panel (grafana/clickhouse-datasource 4.20, `src/types/sql.ts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard as models

from filters import MINUTES

PLUGIN_ID = "grafana-clickhouse-datasource"

#: The data source the reader picked at the top of the board: no id of one installation is ever written down.
DATASOURCE = models.DataSourceRef(type_val=PLUGIN_ID, uid="${datasource}")

#: The plugin version the boards are written for; it tells newer ones that nothing needs migrating.
PLUGIN_VERSION = "4.20.0"


class Format(IntEnum):
    """How the data source's backend shapes a result; the numbers are its own."""

    TIME_SERIES = 0
    TABLE = 1
    TRACE = 3


#: What the query editor shows for each format.
_QUERY_TYPES = {Format.TIME_SERIES: "timeseries", Format.TABLE: "table", Format.TRACE: "traces"}


@dataclass(frozen=True)
class ClickHouseQuery(Dataquery, Builder["ClickHouseQuery"]):
    """One SQL query of a panel. It is its own builder, since nothing about it is built up in steps."""

    raw_sql: str
    format: Format
    ref_id: str = "A"

    def build(self) -> ClickHouseQuery:
        """Return the query itself."""
        return self

    def to_json(self) -> dict[str, object]:
        """Return the query as a panel stores it."""
        return {
            "refId": self.ref_id,
            "datasource": DATASOURCE,
            "editorType": "sql",
            "rawSql": self.raw_sql,
            "format": int(self.format),
            "queryType": _QUERY_TYPES[self.format],
            "pluginVersion": PLUGIN_VERSION,
        }


def variables() -> list[Builder[models.VariableModel]]:
    """Return the variables at the top of every board: data source, agent, service and model."""
    datasource = builders.DatasourceVariable("datasource").label("Data source").type(PLUGIN_ID)
    return [
        datasource,
        _choice("agent", "Agent", "agent_name"),
        _choice("service", "Service", "service_name"),
        _choice("model", "Model", "model"),
    ]


def _choice(name: str, label: str, column: str) -> builders.QueryVariable:
    # From the rollup: exact whatever is sampled, and small. Nameless rows stay reachable through All.
    sql = f"SELECT DISTINCT {column} AS choice\nFROM usage_1m\nWHERE {MINUTES} AND {column} != ''\nORDER BY choice"
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"editorType": "sql", "rawSql": sql, "refId": f"variable-{name}"})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )
