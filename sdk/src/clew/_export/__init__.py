"""From spans to the receiver: which are taken, how they wait, what a request holds, and the end of the process."""
