"""What users write: agents, tools, steps, gates and outcomes, and the spans that these are."""
