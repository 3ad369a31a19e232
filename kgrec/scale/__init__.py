"""More than one process: who is there, tables apart by columns, and what it costs."""
