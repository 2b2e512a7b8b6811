"""What a study found: figures of its cells, statistics, tables, drawings, the report."""
