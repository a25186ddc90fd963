"""Between the receivers and the pipeline. Requests wait here in memory; the durable log takes this place."""
