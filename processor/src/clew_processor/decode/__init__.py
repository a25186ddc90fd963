"""OTLP bytes to columns: the kernel, driven by an extraction plan."""
