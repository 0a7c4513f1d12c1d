"""Measure the CPU time of servers, and download the Java programs with which the benchmarks compare the product."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CACHE = Path(os.environ.get("BENCH_CACHE", Path.home() / ".cache" / "benchmarks"))
MAVEN_DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
TICKS = os.sysconf("SC_CLK_TCK")
# A rival's table for the same events. It has the keys, order, compaction and time to live of our own table, but a column for each field.
PLAIN_TABLE = """CREATE TABLE IF NOT EXISTS {keyspace}.plain (
    source text, hour timestamp, segment text, time timestamp, event_id text, level text, service text, host text, logger text,
    message text, method text, path text, status int, duration_ms double, trace_id text, extra frozen<map<text, text>>,
    PRIMARY KEY ((source, hour, segment), time, event_id)
) WITH CLUSTERING ORDER BY (time DESC, event_id DESC)
  AND compaction = {{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS', 'compaction_window_size': 3, 'min_threshold': 16}}
  AND default_time_to_live = 7776000"""


def cassandra_cpu_seconds() -> float:
    """Return the CPU seconds of the process that listens on CASSANDRA_PORT on this machine; 0 if no such process can be seen."""
    pid = listener(int(os.environ.get("CASSANDRA_PORT", "9042")))
    return 0.0 if pid is None else cpu_seconds(pid)


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has used so far, user and system time together."""
    # The fields follow the command's name. The name is in brackets and may itself contain brackets, so the last bracket is searched.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def tree_cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and all processes below it, those that have ended included."""
    return sum(_own_and_of_the_ended(one) for one in descendants(pid))


def descendants(pid: int) -> list[int]:
    """Return the ids of a process and of all processes below it."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:  # the thread has just ended
                continue
    return found


def _own_and_of_the_ended(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended, and its parent's fields contain its time
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS


def peak_megabytes(pid: int) -> float:
    """Return the largest resident memory that a process has had so far."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / 1e6


def listener(port: int) -> int | None:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and any(link in inodes for link in open_files(process)):
            return int(process.name)
    return None


def open_files(process: Path) -> list[str]:
    try:
        return [os.readlink(one) for one in (process / "fd").iterdir()]
    except OSError:  # the process has ended, or belongs to another user
        return []


def java() -> str:
    """Return the path of a Java that Cassandra and DSBulk accept, 11 or 17; if none is found, that of the `java` on PATH."""
    for found in sorted(Path("/usr/lib/jvm").glob("java-1[17]-openjdk-*/bin/java")):
        return str(found)
    return shutil.which("java") or sys.exit("bench: there is no Java; scripts/services install brings one")


def jars_of(name: str, artifacts: Sequence[str]) -> Path:
    """Return the folder with the artifacts' jars. They and their dependencies are downloaded from Maven Central at the first call only."""
    folder = CACHE / name
    if (folder / ".complete").exists():
        return folder / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    dependencies = ""
    for artifact in artifacts:
        group, identifier, version = artifact.split(":")
        dependencies += f"<dependency><groupId>{group}</groupId><artifactId>{identifier}</artifactId><version>{version}</version></dependency>"
    (folder / "pom.xml").write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>local</groupId>'
        f"<artifactId>{name}</artifactId><version>1</version><packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>"
    )
    print(f"bench: fetching {', '.join(artifacts)} from Maven Central into {folder}", flush=True)
    subprocess.run(
        ["mvn", "-q", "-B", "-ntp", f"{MAVEN_DEPENDENCY_PLUGIN}:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}/jars"],
        cwd=folder,
        check=True,
    )
    (folder / ".complete").touch()
    return folder / "jars"
