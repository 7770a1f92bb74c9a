"""Endpoints for Services without selector: from pools, names and health checks to EndpointSlices and Endpoints.

`guard`, `layout`, `plan` and `verdicts` are pure; `probing`, `health` and `controller` act; `writers` says where to.
"""
