"""The few kinds of panel the boards are made of, so that one look and one set of rules holds for all."""

from __future__ import annotations

import json
from typing import TypeVar
from urllib.parse import quote

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import stat as stat_builders
from grafana_foundation_sdk.builders import table as table_builders
from grafana_foundation_sdk.builders import timeseries as timeseries_builders
from grafana_foundation_sdk.models import common, dashboard

from clickhouse import DATASOURCE, ClickHouseQuery, Format, variables

TAG = "clew"

#: Columns of a table in these units; every other column is shown as it is.
Units = dict[str, str]

AnyPanel = stat_builders.Panel | table_builders.Panel | timeseries_builders.Panel
_Panel = TypeVar("_Panel", stat_builders.Panel, table_builders.Panel, timeseries_builders.Panel)

# The columns a trace view needs (names, milliseconds, error = 2) and no limit, or the waterfall is cut.
_TRACE_SQL = """\
SELECT
  TraceId AS traceID,
  SpanId AS spanID,
  ParentSpanId AS parentSpanID,
  ServiceName AS serviceName,
  SpanName AS operationName,
  toUnixTimestamp64Nano(Timestamp) / 1e6 AS startTime,
  Duration / 1e6 AS duration,
  arrayMap(k -> map('key', k, 'value', SpanAttributes[k]), mapKeys(SpanAttributes)) AS tags,
  arrayMap(k -> map('key', k, 'value', ResourceAttributes[k]), mapKeys(ResourceAttributes)) AS serviceTags,
  if(StatusCode = 'Error', 2, 0) AS statusCode,
  StatusMessage AS statusMessage
FROM otel_traces
WHERE TraceId = '${__value.raw}'
  AND Timestamp >= (SELECT min(Start) FROM otel_traces_trace_id_ts WHERE TraceId = '${__value.raw}')
  AND Timestamp <= (SELECT max(End) + 1 FROM otel_traces_trace_id_ts WHERE TraceId = '${__value.raw}')
ORDER BY Timestamp"""

#: Filled in by Grafana when a link is followed, so they must survive the encoding of the rest of the address.
_LINK_VARIABLES = ("${__value.raw}", "${datasource}", "${__from}", "${__to}")


def prose(text: str) -> str:
    """Return a description as one paragraph, whatever the line breaks in the source."""
    return " ".join(text.split())


def board(
    title: str, uid: str, description: str, panels: list[AnyPanel], *, span: str = "now-6h"
) -> dashboard.Dashboard:
    """Return a finished board: panels numbered in reading order, shared variables, links to its siblings."""
    builder = (
        builders.Dashboard(title)
        .uid(uid)
        .description(prose(description))
        .tags([TAG])
        .editable()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .time(span, "now")
        .refresh("30s")
        .timezone("browser")
        .variables(variables())
        .link(
            builders.DashboardLink("clew")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(include_vars=True)
            .keep_time(keep_time=True)
        )
    )
    for number, panel in enumerate(panels, start=1):
        builder.with_panel(panel.id(number))
    return builder.build()


def stat(
    title: str,
    description: str,
    sql: str,
    *,
    unit: str,
    width: int,
    bad_from: float | None = None,
    units: Units | None = None,
) -> AnyPanel:
    """Return a panel of one number (or a few), orange from `bad_from` on."""
    steps = [dashboard.Threshold(value=None, color="text")]
    if bad_from is not None:
        steps.append(dashboard.Threshold(value=bad_from, color="orange"))
    panel = (
        stat_builders.Panel()
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps))
        .unit(unit)
        .no_value("-")
    )
    _columns(panel, units or {})
    return _common(panel, title, description, sql, shape=Format.TABLE, width=width, height=4)


def lines(title: str, description: str, sql: str, *, unit: str, width: int, by_name: bool) -> AnyPanel:
    """Return lines over time; `by_name` when the query has a `series` column that names them."""
    panel = timeseries_builders.Panel().line_width(2).fill_opacity(5).show_points(common.VisibilityMode.AUTO)
    return _over_time(panel, title, description, sql, unit=unit, width=width, by_name=by_name)


def bars(title: str, description: str, sql: str, *, unit: str, width: int, by_name: bool) -> AnyPanel:
    """Return stacked bars over time, for amounts that add up; `by_name` as for `lines`."""
    panel = (
        timeseries_builders.Panel()
        .draw_style(common.GraphDrawStyle.BARS)
        .fill_opacity(80)
        .stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    )
    return _over_time(panel, title, description, sql, unit=unit, width=width, by_name=by_name)


def table(
    title: str, description: str, sql: str, *, units: Units, width: int, run_column: str = "", height: int = 8
) -> AnyPanel:
    """Return a table; cells of `run_column` hold trace ids and open that run's spans in Explore."""
    panel = table_builders.Panel().filterable(filterable=True)
    _columns(panel, units)
    if run_column:
        link = {"title": "Open the run's spans", "url": _trace_link(), "targetBlank": True}
        panel.override_by_name(run_column, [dashboard.DynamicConfigValue(id_val="links", value=[link])])
    return _common(panel, title, description, sql, shape=Format.TABLE, width=width, height=height)


def _over_time(
    panel: timeseries_builders.Panel,
    title: str,
    description: str,
    sql: str,
    *,
    unit: str,
    width: int,
    by_name: bool,
) -> AnyPanel:
    panel.unit(unit).min(0).interval("1m")  # the rollups' own step: finer bars would only show gaps
    panel.legend(
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
    )
    panel.tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    if by_name:
        panel.display_name("${__field.labels.series}")
    return _common(panel, title, description, sql, shape=Format.TIME_SERIES, width=width, height=8)


def _columns(panel: stat_builders.Panel | table_builders.Panel, units: Units) -> None:
    for column, unit in units.items():
        panel.override_by_name(column, [dashboard.DynamicConfigValue(id_val="unit", value=unit)])


def _common(panel: _Panel, title: str, description: str, sql: str, *, shape: Format, width: int, height: int) -> _Panel:
    return (
        panel.title(title)
        .description(prose(description))
        .datasource(DATASOURCE)
        .span(width)
        .height(height)
        .with_target(ClickHouseQuery(sql, shape))
    )


def _trace_link() -> str:
    query = {
        "refId": "A",
        "datasource": {"type": DATASOURCE.type_val, "uid": DATASOURCE.uid},
        "editorType": "sql",
        "rawSql": _TRACE_SQL,
        "format": int(Format.TRACE),
        "queryType": "traces",
    }
    pane = {
        "datasource": DATASOURCE.uid,
        "queries": [query],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    encoded = quote(json.dumps({"run": pane}, separators=(",", ":")), safe="")
    for name in _LINK_VARIABLES:
        encoded = encoded.replace(quote(name, safe=""), name)
    return f"/explore?schemaVersion=1&panes={encoded}"
