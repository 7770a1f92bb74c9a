"""The Kubernetes API: kinds, a client, leader election, status and Events. Knows neither model nor NGINX."""
