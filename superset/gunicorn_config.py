"""Gunicorn's configuration for Superset: one process, which also prepares the metadata, with threads."""

import runtime_file

runtime = runtime_file.load()
wsgi_app = "wsgi:application"
bind = f"{runtime.host}:{runtime.port}"
workers = 1
worker_class = "gthread"
threads = 16  # two dashboards' charts at once, and as many slow requests
timeout = 180  # seconds; the first start builds the metadata before it answers
graceful_timeout = 10  # seconds; supervisord waits 15 before it kills
control_socket_disable = True
