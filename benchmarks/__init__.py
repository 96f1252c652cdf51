"""Speed and memory side by side with peers, each in one run; results in RESULTS.md."""
