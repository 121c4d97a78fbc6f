"""How gunicorn serves Superset: one process, which also prepares the metadata, with threads."""

import runtime_file

wsgi_app = "wsgi:application"
bind = f"127.0.0.1:{runtime_file.load().port}"
workers = 1
worker_class = "gthread"
threads = 8
timeout = 180  # seconds; the first start builds the metadata before it answers
graceful_timeout = 10  # seconds; supervisord waits 15 before it kills
control_socket_disable = True
