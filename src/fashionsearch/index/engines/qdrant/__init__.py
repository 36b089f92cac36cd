"""Items in a collection of Qdrant."""
