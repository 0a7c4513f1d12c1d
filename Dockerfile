# One image for web, workers, beat, Flower and the commands. docker-compose.yml sets the command of each container.
FROM python:3.12-slim-bookworm AS build
# mysqlclient has no wheel; these packages are needed to compile it.
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev libmariadb-dev pkg-config \
 && rm -rf /var/lib/apt/lists/*
COPY requirements.txt /
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --no-binary mysqlclient -r /requirements.txt

FROM python:3.12-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends libmariadb3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --home-dir /nonexistent callcentersite \
 && install -d -o callcentersite -g callcentersite /var/lib/callcentersite
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv/callcentersite
COPY . .
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=1 \
    MALLOC_MMAP_THRESHOLD_=131072 \
    DJANGO_SETTINGS_MODULE=callcentersite.settings \
    CALLCENTERSITE_VAR=/var/lib/callcentersite
# The code belongs to root, so the application cannot change it. The key is used only for this command and is not kept in the image.
RUN python -m compileall -q . \
 && CALLCENTERSITE_VAR=/tmp/build DJANGO_SECRET_KEY=build python manage.py collectstatic --noinput \
 && rm -rf /tmp/build
USER callcentersite
EXPOSE 8000
CMD ["gunicorn", "callcentersite.wsgi", "--bind", "0.0.0.0:8000", "--workers", "2", "--threads", "4", \
     "--worker-tmp-dir", "/dev/shm", "--no-control-socket", "--access-logfile", "-"]
