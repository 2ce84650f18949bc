"""One run, from a recipe's YAML to its artefacts."""
