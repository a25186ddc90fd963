"""SQL that several panels share: which rows the board's time range and variables select, and percentiles.

A value is put into SQL with Grafana's `sqlstring` format, which doubles single quotes: an agent called
`o'brien` is found, and a name cannot leave its quotes. `$__conditionalAll` is expanded by the data source in
the browser.
"""

from __future__ import annotations

from textwrap import dedent

#: Operations that are one inference of a model.
INFERENCE = "op IN ('chat', 'text_completion', 'generate_content')"

#: `usage_1m` holds whole minutes: the first one counts even if the range starts inside it.
MINUTES = "minute >= toStartOfMinute($__fromTime) AND minute <= $__toTime"


def chosen(expression: str, variable: str) -> str:
    """Return a condition: `expression` is one of the variable's values, or true when All is chosen."""
    return f"$__conditionalAll({expression} IN (${{{variable}:sqlstring}}), ${variable})"


_AGENT = chosen("agent_name", "agent")
_SERVICE = chosen("service_name", "service")
_MODEL = chosen("model", "model")

# A loop does not carry its service; its run does.
_SERVICE_OF_LOOP = (
    "$__conditionalAll((tenant_id, trace_id) IN (SELECT tenant_id, trace_id FROM runs "
    "WHERE service_name IN (${service:sqlstring})), $service)"
)

#: What the board selects, per table, as `{name}` in the text given to `sql`. Times of runs are compared in
#: milliseconds: the plain `$__timeFilter` has whole seconds and would hide the newest rows.
_SELECTED = {
    name: "\n  AND ".join(conditions)
    for name, conditions in {
        "usage": (MINUTES, _AGENT, _SERVICE, _MODEL),
        "runs": ("$__timeFilter_ms(started_at)", _AGENT, _SERVICE),
        "gates": ("$__timeFilter_ms(requested_at)", _AGENT, _SERVICE),
        "loops": ("$__timeFilter_ms(started_at)", _AGENT, _SERVICE_OF_LOOP),
        "open": ("last_seen_at >= $__fromTime AND started_at <= $__toTime", _AGENT, _SERVICE),
        "spans": (
            "$__timeFilter_ms(Timestamp)",
            chosen("AgentName", "agent"),
            chosen("ServiceName", "service"),
            chosen("if(ResponseModel != '', ResponseModel, RequestModel)", "model"),
        ),
    }.items()
}


def sql(text: str, **parts: str) -> str:
    """Return a query without its source indentation, `{name}` replaced by the board's selection or a part."""
    return dedent(text).strip().format(**_SELECTED, **parts)


def bucket_counts(keys: dict[str, str], where: str = "1") -> str:
    """Return a subquery over `usage_1m` with one row per key and duration bucket.

    Args:
        keys: Column name -> expression, what to group by besides the bucket.
        where: A further condition, e.g. on the operation.

    Returns:
        SQL with the keys, `seconds` (the bucket's middle, `exp2((i + 0.5) / 8)`, as `usage_1m` defines its
        buckets) and `weight` (how many calls fell into it, corrections included).
    """
    # Summed before the quantile: a correction is a negative row, and a weight cannot be negative.
    query = sql(
        """
        SELECT
          {columns},
          exp2((bucket + 0.5) / 8) AS seconds,
          toUInt64(sum(bucket_calls)) AS weight
        FROM usage_1m
        ARRAY JOIN mapKeys(duration_buckets) AS bucket, mapValues(duration_buckets) AS bucket_calls
        WHERE {usage}
          AND {where}
        GROUP BY {names}, bucket
        HAVING sum(bucket_calls) > 0
        """,
        columns=",\n  ".join(f"{expression} AS {name}" for name, expression in keys.items()),
        names=", ".join(keys),
        where=where,
    )
    return "(\n  " + query.replace("\n", "\n  ") + "\n)"


def percentile(level: float) -> str:
    """Return the expression for one percentile over `bucket_counts`, in seconds."""
    return f"quantileExactWeighted({level})(seconds, weight)"
