"""Monte Carlo inference: held-out data, draws, chunks, progress, resume, statistics."""
