"""What must happen when something goes wrong, seen at the vendors and by the caller."""
