"""Pages that need nothing beside them."""
