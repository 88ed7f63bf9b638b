"""What Prometheus reads of a run: instruments over an injected registry, an observer that moves them, and a server.

Only ``run`` loads this package's parts, and with them prometheus-client.
"""
