"""The same work on a Ray cluster. Nothing else imports this package, so that Ray is an extra."""
