"""SQLite: the durable half of the site."""
