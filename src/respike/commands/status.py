"""What the workflow is doing, for another terminal: `respike status`.

It reads what is there anyway: Snakemake's log of the run (.snakemake/log), the logs of the jobs and
the times that Snakemake keeps beside them (`benchmark:`). A run lives as long as its record of
respike.workflow.run_lock says so, so a killed one is told from a slow one.
Plumbing: nothing here changes a number.
"""

from __future__ import annotations

import csv
import re
import statistics
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from respike.report.wording import duration
from respike.workflow import dag, limits, run_lock

LOGS = Path(".snakemake", "log")
LAST_LINES = 8  # of the log of a failed job
SILENT_S = 60  # a job that has said nothing for longer is marked
EVERY_S = 3.0  # --watch
ALIVE = ("starting", "running")
BAD = ("failed", "killed", "stopped")


@dataclass
class Job:
    """One job that was started; the message is that of its rule."""

    message: str
    started: datetime
    ended: datetime | None = None
    rule: str = ""  # Snakemake names it when the job ends
    failed: bool = False
    log: Path | None = None

    def end(self, rule: str, when: datetime, failed: bool = False) -> None:
        """Note that the job ended."""
        self.rule, self.ended, self.failed = rule, when, failed

    @property
    def run(self) -> tuple[str, str, str] | None:
        """Source, experiment and seed, which start the message of every experiment's rule."""
        found = re.match(r"(\w+) (\S+): .*\b(?:seed|run) (\d+)$", self.message)
        found = found or re.match(r"(\w+) (\S+): ()", self.message)
        return found and (found[1], found[2], found[3] or "0")


@dataclass
class Run:
    """One call of Snakemake, as its log tells it."""

    log: Path
    scale: str = ""
    process: int = 0  # on the machine where it was started
    cores: int = 1  # that share the jobs
    planned: dict[str, int] = field(default_factory=dict)  # rule -> jobs
    jobs: dict[int, Job] = field(default_factory=dict)
    over: bool = False  # it wrote its last lines
    error: str = ""  # of a run that did not come to its jobs

    def of(self, ended: bool, failed: bool = False) -> list[Job]:
        """Return the jobs that run, are done or failed, in the order of their start."""
        return [
            job
            for job in self.jobs.values()
            if (job.ended is not None) == ended and job.failed == failed
        ]


def read_log(path: Path) -> Run:
    """Return what a log of Snakemake says; an event is a line that follows a line with a time."""
    run, when, error, table = Run(path), None, None, False
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for line in lines:
        if found := re.match(r"\[(\w{3} \w{3} +\d+ [\d:]{8} \d{4})\]$", line):
            when, error = datetime.strptime(found[1], "%a %b %d %H:%M:%S %Y"), None
            continue
        if table:
            if found := re.match(r"(\w+) +(\d+)$", line):
                run.planned[found[1]] = int(found[2])
            table = bool(line)
        elif line == "Job stats:":
            table = True
        elif when and (found := re.match(r"Job (\d+): (.*)", line)):
            run.jobs.pop(int(found[1]), None)  # a second attempt starts anew
            run.jobs[int(found[1])] = Job(found[2], when)
        elif when and (found := re.match(r"Finished jobid: (\d+) \(Rule: (\w+)\)", line)):
            run.jobs.setdefault(int(found[1]), Job(found[2], when)).end(found[2], when)
        elif when and (found := re.match(r"Error in rule (\w+):", line)):
            error = (found[1], when)  # its number and log follow, indented
        elif error and (found := re.match(r" {4}jobid: (\d+)", line)):
            job = run.jobs.setdefault(int(found[1]), Job(error[0], error[1]))
            job.end(*error, failed=True)
        elif error and (found := re.match(r" {4}log: ([^\s,]+)", line)):
            job.log = Path(found[1])
        elif found := re.match(r"Scale: (\w+) \(process (\d+)\)", line):
            run.scale, run.process = found[1], int(found[2])
        elif found := re.match(r"Provided (cores|remote nodes): (\d+)", line):
            # More jobs than there are cores end no sooner; the nodes of a cluster are its own.
            run.cores = min(int(found[2]), limits.cores()) if found[1] == "cores" else int(found[2])
        elif line.startswith(("Complete log(s):", "Nothing to be done")):
            run.over = True
        when = None
    run.planned.pop("total", None)
    if not run.planned and "Error" in "\n".join(lines):
        run.over = True
        run.error = "\n".join(x for x in lines if not x.startswith(("Scale", "Building", "  ")))
    return run


def newest(folder: Path = LOGS) -> tuple[Run | None, bool]:
    """Return the run to tell about, and whether it lives: the newest that lives, else the last.

    Calls that only looked (--summary) or were refused beside a run do not count.
    """
    living, last, starts = run_lock.living(), None, None
    for path in sorted(folder.glob("*.snakemake.log"), reverse=True):
        run = read_log(path)
        if not run.scale or "cannot be locked" in run.error:
            continue
        if run.process in living and not run.over:
            if run.planned:
                return run, True
            starts = starts or run
        elif run.planned or run.over:
            last = last or run
        if last and not living:
            break
    return (starts, True) if starts else (last, False)


def log_of(job: Job, scale: str) -> Path | None:
    """Return the log of a job: named in the error, or by the convention of the rules.

    None where there is none, or only that of an earlier run.
    """
    if job.log:
        return job.log
    if found := re.match(r"figure (\w+)$", job.message):
        path = Path("logs", "results", scale, "figures", f"{found[1]}.log")
    elif job.run:
        source, experiment, seed = job.run
        path = Path("logs", "results", scale, source, experiment, f"seed={seed}.log")
    else:
        return None
    whole_s = job.started.timestamp() - 1  # Snakemake's times have no fractions
    return path if path.exists() and path.stat().st_mtime >= whole_s else None


def last_lines(path: Path | None, count: int) -> list[str]:
    """Return the last lines of a log that hold text; none where there is no such file."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, 2) - 16_384))
            text = file.read().decode("utf-8", "replace")
    except (OSError, TypeError):
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


class Times:
    """How long jobs take: from earlier times of the rule, else from jobs that this run ended."""

    def __init__(self, run: Run, config: dict):
        self.wanted = dag.wanted(config)
        self.scale = config["scale"]
        self.ended: dict[str, list[float]] = {}
        for job in run.of(ended=True):
            spent = (job.ended - job.started).total_seconds()
            self.ended.setdefault(job.rule, []).append(spent)

    def of_experiment(self, source: str, experiment: str) -> float | None:
        """Return the mean seconds of the seeds of an experiment, from Snakemake's benchmarks."""
        found = []
        folder = Path("logs", "results", self.scale, source, experiment)
        for path in folder.glob("seed=*.benchmark.tsv"):
            with open(path, newline="", encoding="utf-8") as file:
                found += [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
        return statistics.fmean(found) if found else None

    def of_rule(self, rule: str, left: list[dict]) -> tuple[float | None, str]:
        """Return the mean seconds of a job of a rule, and what that rests on.

        `left` are the experiments that this run still has to make, as far as they are known.
        """
        every = [run for run in self.wanted.values() if run["rule"] == rule]
        for runs in (left, every):
            known = [self.of_experiment(one["source"], one["experiment"]) for one in runs]
            if known := [seconds for seconds in known if seconds is not None]:
                return statistics.fmean(known), "earlier"
        if rule in self.ended:
            return statistics.fmean(self.ended[rule]), "this"
        if self.ended:
            return statistics.fmean(sum(self.ended.values(), [])), "other"
        return None, "none"


def estimate(run: Run, config: dict, now: datetime) -> dict:
    """Return seconds to the end, None where nothing is known, and what they rest on.

    The jobs that wait or run share the cores; the longest of them is the least that it takes. A job
    of a rule that never ran here is taken for an average one of this run; until one has ended it
    counts nothing, and its rule is named.
    """
    times = Times(run, config)
    begun = {job.run for job in run.jobs.values()}
    start = min((job.started for job in run.jobs.values()), default=now).timestamp()
    rests_on = {"earlier": 0, "this": 0, "other": 0, "none": 0}
    unknown, spans = [], []
    for rule, count in run.planned.items():
        if rule == "all":  # only gathers
            continue
        own = {path: one for path, one in times.wanted.items() if one["rule"] == rule}
        names = {(one["source"], one["experiment"]) for one in own.values()}
        over = sum(job.rule == rule for job in run.jobs.values())
        busy = [job for job in run.of(ended=False) if job.run and job.run[:2] in names]
        left = [
            one
            for path, one in own.items()
            if (one["source"], one["experiment"], str(one["seed"])) not in begun
            and (not Path(path).exists() or Path(path).stat().st_mtime < start)
        ]
        waiting = count - over - len(busy)
        mean, kind = times.of_rule(rule, left)
        if waiting > 0:
            rests_on[kind] += waiting
            unknown += [rule] if kind == "none" else []
            spans += [mean or 0.0] * waiting
        for job in busy:
            expected = times.of_experiment(*job.run[:2]) or mean
            said = re.search(r"(\d+) s left", "".join(last_lines(log_of(job, run.scale), 1)))
            spent = (now - job.started).total_seconds()
            # What a job says covers its present stage only: it is the least that is left.
            rest = max((expected or 0.0) - spent, float(said[1]) if said else 0.0, 0.0)
            rests_on[kind if expected else "this" if said else "none"] += 1
            spans.append(rest)
    known = sum(rests_on.values()) - rests_on["none"]
    seconds = max(sum(spans) / run.cores, max(spans, default=0.0)) if known or not spans else None
    return {"seconds": seconds, "rests_on": rests_on, "unknown": unknown}


def startup(run: Run) -> dict | None:
    """Return CPU seconds of the experiments that this run ended, and how much of it was start-up.

    Each says so in the last line of its log; None where none does.
    """
    whole, start, count = 0.0, 0.0, 0
    for job in run.of(ended=True):
        said = "".join(last_lines(log_of(job, run.scale), 1))
        if found := re.search(r"done in \d+ s, ([\d.]+) CPU s, of which start-up ([\d.]+)$", said):
            whole, start, count = whole + float(found[1]), start + float(found[2]), count + 1
    return {"jobs": count, "cpu_s": whole, "startup_cpu_s": start} if count else None


def look(load_config, now: datetime | None = None) -> dict | None:
    """Return the state of the newest run in this folder as plain data; None if there is no run.

    `load_config(scale)` returns the configuration at a scale.
    """
    now = now or datetime.now()
    run, alive = newest()
    if run is None:
        return None
    if alive and not run.planned:
        return {"state": "starting", "running": [], "failed": []}
    config = load_config(run.scale)
    total = sum(run.planned.values())
    done, failed = len(run.of(ended=True)), run.of(ended=True, failed=True)
    if alive:
        state = "running"
    elif not run.over:
        state = "killed"
    elif run.error or failed:
        state = "failed"
    elif done < total:
        state = "stopped"
    else:
        state = "finished" if total else "nothing to do"
    running = []
    for job in run.of(ended=False):
        log = log_of(job, run.scale)
        said = last_lines(log, 1)
        running.append(
            {
                "job": job.message,
                "seconds": (now - job.started).total_seconds(),
                "silent_s": max(0.0, now.timestamp() - log.stat().st_mtime) if log else None,
                "log": str(log) if log else None,
                "said": re.sub(r"^\w+ \S+ seed \d+: ", "", said[0]) if said else "",
            }
        )
    return {
        "state": state,
        "scale": run.scale,
        "log": str(run.log),
        "cores": run.cores,
        "jobs": {
            "total": total, "done": done, "failed": len(failed), "running": len(running),
            "waiting": total - done - len(failed) - len(running),
        },
        "running": running,
        "failed": [
            {
                "job": job.message, "rule": job.rule,
                "log": str(log_of(job, run.scale) or ""),
                "last_lines": last_lines(log_of(job, run.scale), LAST_LINES),
            }
            for job in failed
        ],
        "error": run.error,
        "estimate": estimate(run, config, now) if alive else None,
        "startup": startup(run),
    }  # fmt: skip


HEADS = {
    "running": "running",
    "finished": "finished: every job is done",
    "nothing to do": "finished: nothing was to be done",
    "failed": "ended, with failures: the same command tries them again",
    "stopped": "stopped before its end: the same command goes on",
    "killed": "killed: the same command goes on after its finished jobs",
}


def shown(found: dict | None) -> str:
    """Return the state as text for a terminal."""
    if found is None:
        return "no run of the workflow in this folder yet: make report"
    if found["state"] == "starting":
        return "starting: Snakemake works out what is to be done"
    lines = [f"{HEADS[found['state']]} (scale {found['scale']}, {found['log']})"]
    if found["error"]:
        return "\n".join([*lines, found["error"]])
    jobs = found["jobs"]
    if jobs["total"]:
        share = f"{100 * jobs['done'] // jobs['total']} %"
        names = {"running": "running", "waiting": "waiting", "failed": "failed"}
        if found["state"] != "running":
            names |= {"running": "cut short", "waiting": "not begun"}
        rest = [f"{jobs[key]} {name}" for key, name in names.items() if jobs[key]]
        lines.append(", ".join([f"{jobs['done']} of {jobs['total']} jobs done ({share})", *rest]))
    if found["running"]:
        lines += ["", "runs now" if found["state"] == "running" else "ran at that time"]
    for one in found["running"]:
        line = f"  {one['job']}"
        if found["state"] == "running":
            line += f", for {duration(round(one['seconds']))}"
        lines.append(line)
        if one["said"]:
            old = found["state"] == "running" and (one["silent_s"] or 0) > SILENT_S
            ago = f" (said {duration(round(one['silent_s']))} ago)" if old else ""
            lines.append(f"    {one['said']}{ago}")
    if found["estimate"]:
        lines += ["", _estimate_text(found["estimate"], found["cores"])]
    if spent := found["startup"]:
        share = 100 * spent["startup_cpu_s"] / spent["cpu_s"]
        text = f"experiments: {spent['jobs']} ended, {duration(spent['cpu_s'])} of CPU time"
        lines += ["", f"{text}, {share:.0f} % of it start-up"]
    for one in found["failed"]:
        lines += ["", f"failed: {one['job']} (rule {one['rule']}), {one['log'] or 'no log'}"]
        lines += [f"    {line}" for line in one["last_lines"]]
    return "\n".join(lines)


def _estimate_text(found: dict, cores: int) -> str:
    if found["seconds"] is None:
        return "time left: not known yet, no job of these rules has ended here"
    texts = {
        "earlier": "the times of the same rules for",
        "this": "this run's own for",
        "other": "the average job of this run (too long at first: long jobs start first) for",
    }
    counts = found["rests_on"]
    rests = [f"{text} {counts[key]}" for key, text in texts.items() if counts[key]]
    least = "at least " if found["unknown"] else "about "
    text = f"time left: {least}{duration(round(found['seconds']))} on {cores} "
    text += f"{'core' if cores == 1 else 'cores'}; jobs: {', '.join(rests) or 'none'}"
    if found["unknown"]:
        names = found["unknown"]
        few = ", ".join(names) if len(names) <= 3 else f"{len(names)} rules"
        text += f"; no time yet of {few}"
    return text


def watch(load_config, every_s: float = EVERY_S) -> dict | None:
    """Show the state on a terminal, again and again until the run ends; return the last state."""
    while True:
        found = look(load_config)
        print(f"\033[H\033[2J{shown(found)}", flush=True)  # from the top, cleared
        if found is None or found["state"] not in ALIVE:
            return found
        time.sleep(every_s)
