// Asks the query endpoint by way of clickhouse-go over HTTP, as Grafana's data source does, and prints what came as
// JSON for the Python test that starts it: clickhouse_go ADDRESS COMPRESSION.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"math/big"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/shopspring/decimal"
)

type report struct {
	Server     string            `json:"server"`
	Wide       map[string]string `json:"wide"`
	Types      []string          `json:"types"`
	Rows       uint64            `json:"rows"`
	Sum        uint64            `json:"sum"`
	Bound      uint64            `json:"bound"`
	Parameter  string            `json:"parameter"`
	Empty      []string          `json:"empty"`
	Described  []string          `json:"described"`
	ErrorCode  int32             `json:"error_code"`
	ErrorName  string            `json:"error_name"`
	StreamCode int32             `json:"stream_code"`
}

var methods = map[string]*clickhouse.Compression{
	"none": nil,
	"gzip": {Method: clickhouse.CompressionGZIP, Level: 1},
	"lz4":  {Method: clickhouse.CompressionLZ4},
	"zstd": {Method: clickhouse.CompressionZSTD},
}

func main() {
	method, known := methods[os.Args[2]]
	if !known {
		log.Fatalf("unknown compression %q", os.Args[2])
	}
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr:        []string{os.Args[1]},
		Protocol:    clickhouse.HTTP,
		Auth:        clickhouse.Auth{Database: "clew", Username: "default"},
		Settings:    clickhouse.Settings{"max_execution_time": 65},
		Compression: method,
		DialTimeout: 10 * time.Second,
	})
	check(err)
	ctx := context.Background()
	check(conn.Ping(ctx))

	var out report
	version, err := conn.ServerVersion()
	check(err)
	out.Server = version.Version.String()
	wide(ctx, conn, &out)

	rows, err := conn.Query(ctx, "SELECT number FROM numbers(300000)")
	check(err)
	for rows.Next() {
		var n uint64
		check(rows.Scan(&n))
		out.Rows++
		out.Sum += n
	}
	check(rows.Err())

	check(conn.QueryRow(ctx, "SELECT count() FROM kinds WHERE id <= ?", 1).Scan(&out.Bound))
	named := clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"text": "it's a text"}))
	check(conn.QueryRow(named, "SELECT {text:String}").Scan(&out.Parameter))

	empty, err := conn.Query(ctx, "SELECT id, labels FROM kinds WHERE id > 100")
	check(err)
	out.Empty = empty.Columns()
	if empty.Next() {
		log.Fatal("a row where none was expected")
	}
	check(empty.Err())

	described, err := conn.Query(ctx, "DESC TABLE kinds")
	check(err)
	for described.Next() {
		var name, kind, defaultType, defaultExpression, comment, codec, ttl string
		check(described.Scan(&name, &kind, &defaultType, &defaultExpression, &comment, &codec, &ttl))
		out.Described = append(out.Described, name+" "+kind)
	}
	check(described.Err())

	out.ErrorCode, out.ErrorName = failure(conn.Exec(ctx, "SELECT no_such_column FROM kinds"))
	broken, err := conn.Query(ctx, "SELECT throwIf(number = 2000000) FROM numbers(3000000)")
	if err == nil {
		for broken.Next() {
		}
		err = broken.Err()
	}
	out.StreamCode, _ = failure(err)
	check(json.NewEncoder(os.Stdout).Encode(out))
}

// wide reads a row with every kind of column the store's tables have.
func wide(ctx context.Context, conn driver.Conn, out *report) {
	rows, err := conn.Query(ctx, "SELECT * FROM kinds WHERE id = 1")
	check(err)
	for _, column := range rows.ColumnTypes() {
		out.Types = append(out.Types, column.DatabaseTypeName())
	}
	if !rows.Next() {
		log.Fatalf("no row: %v", rows.Err())
	}
	var (
		id      uint64
		at      time.Time
		labels  map[string]string
		name    string
		cost    decimal.Decimal
		hash    big.Int
		hashes  []*big.Int
		level   *float32
		times   []time.Time
		nested  []map[string]string
		outcome string
	)
	check(rows.Scan(&id, &at, &labels, &name, &cost, &hash, &hashes, &level, &times, &nested, &outcome))
	check(rows.Err())
	out.Wide = map[string]string{
		"at": at.UTC().Format(time.RFC3339Nano), "label": labels["k"], "name": name, "cost": cost.String(),
		"hash": hash.String(), "second_hash": hashes[1].String(), "time": times[0].UTC().Format(time.RFC3339Nano),
		"nested": nested[0]["a"], "outcome": outcome,
	}
	if level == nil {
		out.Wide["level"] = "null"
	}
}

func failure(err error) (int32, string) {
	var exception *clickhouse.Exception
	if err == nil || !errors.As(err, &exception) {
		log.Fatalf("an exception was expected, got %v", err)
	}
	return exception.Code, exception.CodeName
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
