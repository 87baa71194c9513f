"""Numbers of the newer parts, computed by the reference implementations."""
