"""The agent: the process that owns NGINX.

In a pod it is process 1 of the NGINX sidecar; `tidegate up` starts it as a child in a session of its own, so that it
survives the control plane. It tests, starts, reloads, verifies and restores; it brings NGINX back when the master is
killed; it adopts a running NGINX without a restart. It holds no cluster credentials and knows nothing of Kubernetes.
"""
