"""Items in PostgreSQL, by its extension pgvector."""
