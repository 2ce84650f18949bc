"""Pictures and tables made from the artefacts of runs."""
