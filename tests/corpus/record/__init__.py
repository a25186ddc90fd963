"""Records the payload corpus: real libraries in environments of their own against the scripted model server."""
