"""Saved models and how they run. A model needs no method and no training code."""
