"""The networks, data and trainings of Sharma and Jennings, "Bayesian neural networks at scale" (2020)."""
