"""``softpatch serve`` and ``softpatch watch`` for an hour, with a fault every minute."""
