"""What people read: one document per experiment, as a page, a chart, a Markdown table and a card."""
