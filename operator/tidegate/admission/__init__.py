"""The validating webhook: the translator's own checks, in process, at the cost of the one object. Never runs NGINX."""
