# The platform's image, as the official Airflow chart starts it (its entrypoint is `airflow`'s command line):
#   docker build -t fraudstream/airflow:0.1.0 -f deploy/kubernetes/airflow.Dockerfile deploy/kubernetes
ARG PLATFORM_IMAGE=fraudstream/platform:0.1.0
FROM ${PLATFORM_IMAGE}
# spark-submit comes behind Airflow's own programs.
ENV PATH=/opt/fraudstream/software/venvs/airflow/bin:/usr/local/bin:/usr/bin:/bin:/opt/spark/bin
ENTRYPOINT []
