"""Which training pictures are bad: ranking, odd files, duplicates, a page, a quarantine."""

from softpatch.auditing.findings import Audit, AuditedPicture, audit

__all__ = ["Audit", "AuditedPicture", "audit"]
