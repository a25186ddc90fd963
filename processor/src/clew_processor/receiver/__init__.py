"""OTLP in: gRPC and HTTP. Bytes are passed on as they are."""
