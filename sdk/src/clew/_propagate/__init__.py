"""Whose a span is, and how a run goes on in threads, child processes and other programs."""
