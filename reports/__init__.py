"""What people see of a plan: pages, figures, tables, documents and traces."""
