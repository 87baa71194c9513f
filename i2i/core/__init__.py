"""What every room may use: errors, settings, randomness, devices, processes, files, addresses."""
