"""The corpora, one module each; see ``data_prep.corpus`` for what a module holds."""
