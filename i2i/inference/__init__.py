"""What is done with models: translate, generate, evaluate, serve."""
