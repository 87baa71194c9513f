"""Losses: pure functions of tensors to a scalar. Weights are written where they are summed, in the methods."""
