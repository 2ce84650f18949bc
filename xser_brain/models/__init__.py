"""What a run leaves for others: exported models, their cards, the hub."""
