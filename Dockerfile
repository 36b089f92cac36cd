# A service without torch: docs/how-to/run-in-a-container.md says how it is used, and what it holds.
#
#     docker build --tag fashionsearch .

FROM python:3.11-slim AS build
# hnswlib is built from source, for any processor of the architecture and not only for the one that builds it.
RUN apt-get update && apt-get install --yes --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
ENV HNSWLIB_NO_NATIVE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/fashionsearch
WORKDIR /source
COPY requirements-serving.txt requirements-service.txt ./
RUN /opt/fashionsearch/bin/pip install -r requirements-serving.txt -r requirements-service.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/fashionsearch/bin/pip install --no-deps . && /opt/fashionsearch/bin/pip uninstall --yes pip setuptools

FROM python:3.11-slim
COPY --from=build /opt/fashionsearch /opt/fashionsearch
# The catalogue is mounted; the process owns nothing else that it could change.
RUN useradd --uid 10001 --create-home fashionsearch
USER fashionsearch
ENV PATH=/opt/fashionsearch/bin:$PATH PYTHONUNBUFFERED=1
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
ENTRYPOINT ["fashionsearch", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["/catalogue"]
