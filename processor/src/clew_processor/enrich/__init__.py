"""What the spans mean: whose usage counts, what it costs, which runs, loops and gates they make, and the totals."""
