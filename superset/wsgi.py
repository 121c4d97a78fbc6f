"""The application that gunicorn serves."""

import runtime_file
from superset.app import create_app

application = create_app()

# These modules need Superset's application to exist.
from bootstrap import bootstrap  # noqa: E402

bootstrap(application, runtime_file.load())
