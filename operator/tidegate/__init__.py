"""Tidegate: a Kubernetes ingress controller on NGINX."""

__version__ = "0.1.0.dev0"
