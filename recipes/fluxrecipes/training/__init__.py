"""Training: what the models are fitted on, and their weights with a card each."""
