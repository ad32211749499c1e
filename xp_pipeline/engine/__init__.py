"""Where queries run: DuckDB connections, predicates, and the SQL files."""
