# Java 17 of Debian, for the stand-ins of Kafka and Kafka Connect.
FROM stand-in/debian
RUN apt-get update -q && apt-get install -qy --no-install-recommends openjdk-17-jre-headless && rm -rf /var/lib/apt/lists/*
