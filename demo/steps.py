"""The steps of the demo: start the servers, add the team's services, run the nights, print what came of it."""

import os
from contextlib import ExitStack

from callcentersite.local_processes import beat_command, processes, worker_command
from demo.environment import PROJECT, Demo
from demo.team.log_lines import append, first_line, writers
from demo.team.outages import outages
from demo.team.profiles import CALL_ROUTING, DAYS, TEAM
from demo.team.worlds import logged_deployments

# How many days ago each night is, and what fails in it. In the last one GitHub cannot answer for one repository; that is left to you.
NIGHTS = (4, 3, 2, 1, 0)
OUTAGE_THAT_IS_REPLAYED = {1: "acme/billing"}
OUTAGE_THAT_IS_LEFT = {0: "acme/crm-sync"}


def run(demo: Demo, *, serve: bool) -> None:
    with ExitStack() as started:
        servers = demo.commands()
        started.enter_context(processes(servers, folder=demo.folder, env=demo.env, cwd=PROJECT))
        if not demo.is_real:
            demo.wait_for(demo.folder / "github.url", "the stand-in for GitHub")
            demo.github = (demo.folder / "github.url").read_text()
            demo.env |= {"GITHUB_API_URL": demo.github, "GITHUB_TOKEN": "token-for-the-stand-in"}
            count = sum(len(service.repositories) for service in TEAM)
            demo.say(f"a stand-in for GitHub serves {count} repositories with {DAYS} days of a call centre’s team")
        manage = demo.write_manage()
        demo.wait_for(demo.socket, "the broker")
        start_django(demo)
        # These two modules can be imported once Django is set up, which needs the address of GitHub.
        from demo import pipeline_steps, serving

        names = pipeline_steps.set_up(demo)
        demo.say(f"database, broker and services are ready: {', '.join(names)}")
        workers = {"worker": worker_command(), "beat": beat_command(demo.folder)}
        running = started.enter_context(processes(workers, folder=demo.folder, env=demo.env, cwd=PROJECT))
        if demo.is_real:
            demo.say("a night on the real GitHub: extract, transform, load by a real worker")
            pipeline_steps.night(demo, days_ago=0)
        else:
            nights(demo)
        shown = names[0] if demo.is_real else CALL_ROUTING.name
        print(pipeline_steps.manage("dora_report", "--service", shown, "--by", "month"))
        if serve:
            serving.serve_until_stopped(demo, started, workers, running, manage=manage)
        else:
            where_next(demo, manage, shown)


def start_django(demo: Demo) -> None:
    import django

    os.environ |= {**demo.env, "ETL_LOG_LEVEL": "ERROR"}
    django.setup()


def nights(demo: Demo) -> None:
    """Run the nights one after the other. Each sees GitHub and the logs as they were at its time."""
    from demo import pipeline_steps

    of_the_voice_bot = logged_deployments(demo.now)
    written = {writer.service.name: first_line(writer.service, demo.now) for writer in writers((), ())}
    demo.say(f"{len(NIGHTS)} nights in a row, by a real worker; the first one reads a year, each sees GitHub and the logs as they were then")
    for days_ago in NIGHTS:
        clock = demo.clock_of(days_ago)
        demo.tell_github("clock", {"now": clock.isoformat()})
        for writer in writers(outages(demo.now), of_the_voice_bot):
            append(writer, demo.logs, written[writer.service.name], clock)
            written[writer.service.name] = clock
        repository = OUTAGE_THAT_IS_REPLAYED.get(days_ago) or OUTAGE_THAT_IS_LEFT.get(days_ago)
        if repository:
            demo.tell_github("faults", {"outage": True, "repository": repository})
        letters = pipeline_steps.night(demo, days_ago=days_ago)
        demo.tell_github("faults", {})
        if days_ago in OUTAGE_THAT_IS_REPLAYED and letters:
            demo.say("GitHub answers again; the failure is a dead letter, and is replayed from where the run stood:")
            print(pipeline_steps.manage("dead_letters", "replay", *map(str, letters)))
    demo.say("three dead letters are left for you:")
    print(pipeline_steps.manage("dead_letters", "list"))
    print(pipeline_steps.status_sentence())


def where_next(demo: Demo, manage: str, service: str) -> None:
    print(f"""
Where to look next
  scripts/demo --serve                       the same with the pages, in a browser
  {manage} etl_status
  {manage} dora_report --service {service} --by week
  {manage} dora_explain {service} change_fail_rate {demo.now:%Y-%m}
  GITHUB_TOKEN=… scripts/demo --repository owner/name
  README.md, docs/metrics.md (what each number means)""")
    demo.say("done")
