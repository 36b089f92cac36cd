"""Tagging: heads on embeddings, and what makes and explains them."""
