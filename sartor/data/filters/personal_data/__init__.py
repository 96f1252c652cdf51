"""Finding personal data and secrets in texts, a kind a file, and scrubbing them by policy."""
