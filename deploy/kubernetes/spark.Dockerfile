# The platform's image with the entrypoint that Spark on Kubernetes calls:
#   docker build -t fraudstream/spark:0.1.0 -f deploy/kubernetes/spark.Dockerfile deploy/kubernetes
ARG PLATFORM_IMAGE=fraudstream/platform:0.1.0
FROM ${PLATFORM_IMAGE}
COPY --chmod=755 spark-entrypoint /usr/local/bin/
ENV SPARK_HOME=/opt/spark \
    PYSPARK_PYTHON=/opt/fraudstream/software/venvs/spark/bin/python
WORKDIR /tmp
ENTRYPOINT ["spark-entrypoint"]
