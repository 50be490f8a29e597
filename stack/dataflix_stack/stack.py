"""Start and stop a stack, or single services of it, and end commands after faults."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import typer
from filelock import FileLock, Timeout
from rich.console import Console
from rich.markup import escape

from dataflix_clients.readiness import NOT_READY, LoginRefusedError, Probe, probes
from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.faults import Fault
from dataflix_contract.settings import ENV_PREFIX, conflicts
from dataflix_contract.settings_file import ENV_FILE_VARIABLE, chosen_file
from dataflix_stack import data_folder, port_conflicts, s3_server, server_config, supervision
from dataflix_stack.launch import end_family
from dataflix_stack.paths import Account, Layout, console_script, home, layout, postgres_account, repo_root
from dataflix_stack.servers import Servers, wanted_servers
from dataflix_stack.services import Service, ServiceContext, services
from dataflix_stack.steps import Step, StepTable, run_set_up, run_steps, set_ups, tail
from dataflix_stack.supervision import Supervisor

_DEATHS_TOLERATED = 3
_PROBE_SECONDS = 0.1
_PROBE_SHARE = 0.02
#: Groups of services that are stopped together. Writers come first, while the servers they use still run.
_STOP_ORDER = (
    ("airflow", "backend", "kafka-ui", "connect"),
    ("dbt", "mlflow"),
    ("masker", "clickhouse"),
    ("s3", "kafka", "postgres"),
)


@dataclass(frozen=True)
class Stack:
    """The stack that one settings file describes."""

    settings: Settings
    settings_file: Path
    layout: Layout
    servers: Servers
    account: Account | None
    console: Console

    @property
    def supervisor(self) -> Supervisor:
        """The handle of this stack's supervisor, which need not run."""
        return Supervisor(self.layout)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which programs of this stack find their settings, wherever they are started."""
        given = {name: value for name, value in os.environ.items() if name.startswith(ENV_PREFIX)}
        return given | {
            ENV_FILE_VARIABLE: str(self.settings_file) if self.settings_file.exists() else "",
            "DATAFLIX_DATA_DIR": str(self.layout.data),
            "DATAFLIX_HOME": str(home()),
        }

    def services(self) -> list[Service]:
        """Every server of the stack."""
        return services(
            ServiceContext(
                self.settings,
                self.layout,
                self.servers,
                self.account,
                console_script,
                self.environment,
            )
        )


def load_stack(console: Console) -> Stack:
    """The stack of the chosen settings file: ``$DATAFLIX_ENV_FILE``, or ``.env``."""
    settings = load_settings()
    file = (chosen_file() or repo_root() / ".env").absolute()
    return Stack(settings, file, layout(settings), wanted_servers(), postgres_account(), console)


@contextmanager
def exit_on_fault(console: Console) -> Iterator[None]:
    """Print the message of an expected fault, and exit with code 1; after Ctrl-C, with 130."""
    try:
        yield
    except (Fault, SettingsError) as fault:
        console.print(f"[bold red]dataflix-stack:[/] {escape(str(fault))}", soft_wrap=True, highlight=False)
        raise typer.Exit(1) from fault
    except KeyboardInterrupt as fault:
        console.print("interrupted: ./run.sh goes on where this stopped, ./stop.sh stops what runs")
        raise typer.Exit(130) from fault


def up(stack: Stack) -> None:
    """Start all services that do not run, run the set-up programs, and wait until every server answers.

    Raises:
        Fault: a check or a step failed; servers that did start go on running.
    """
    described = stack.services()
    _refuse(conflicts(stack.settings))
    data_folder.make_folders(stack.layout, stack.account)
    data_folder.check_space(stack.layout)
    with _alone(stack):
        _supervise(stack, described)
        steps = _steps(stack, described)
        with StepTable(stack.console, [step.name for step in steps], "ready") as board:
            run_steps(steps, board)


def down(stack: Stack) -> bool:
    """Stop every server in order, and keep the data; return whether anything ran."""
    if not stack.layout.run.is_dir():
        return False
    supervisor = stack.supervisor
    with _alone(stack):
        if not supervisor.alive:
            orphans = bool(supervision.all_recorded(stack.layout.run))
            supervision.stop_recorded(stack.layout.run, stack.console.print)
            return orphans
        steps = _stop_steps(supervisor, stack.layout.run)
        with StepTable(stack.console, [step.name for step in steps], "stopped") as board:
            run_steps(steps, board)
        supervisor.stop()
    return True


def start_one(stack: Stack, name: str) -> None:
    """Start one service of a running stack and wait until it answers."""
    service = _named(stack, name)
    stack.supervisor.start_program(name)
    _wait_ready(stack, service, probes(stack.settings)[name], threading.Event())


def stop_one(stack: Stack, name: str) -> None:
    """Stop one service of a running stack; it stays stopped until it or the stack is started."""
    _stop(stack.supervisor, stack.layout.run, _named(stack, name).name, threading.Event())


def _named(stack: Stack, name: str) -> Service:
    described = {service.name: service for service in stack.services()}
    if name not in described:
        raise Fault(f"there is no service {name!r}: there are {', '.join(described)}")
    if not stack.supervisor.alive:
        raise Fault("the stack does not run: ./run.sh starts it")
    return described[name]


@contextmanager
def _alone(stack: Stack) -> Iterator[None]:
    """Lock the data folder against other commands, and refuse if it belongs to another running stack."""
    mine = {"checkout": str(repo_root()), "settings": str(stack.settings_file)}
    owner = stack.layout.owner
    try:
        lock = FileLock(stack.layout.run / "command.lock", blocking=False).acquire()
    except Timeout as fault:
        raise Fault(f"another dataflix-stack is running on {stack.layout.data}: wait for it") from fault
    with lock:
        if stack.supervisor.alive and owner.exists():
            theirs = json.loads(owner.read_text(encoding="utf-8"))
            if theirs != mine:
                raise Fault(
                    f"{stack.layout.data} belongs to a running stack with the settings {theirs['settings']}:"
                    " set DATAFLIX_DATA_DIR to another folder"
                )
        owner.write_text(json.dumps(mine), encoding="utf-8")
        yield


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise Fault("\n".join(faults))


def _supervise(stack: Stack, described: Sequence[Service]) -> None:
    """Start the supervisor or update its configuration; services whose configuration changed are stopped."""
    supervisor = stack.supervisor
    alive = supervisor.alive
    if not alive:
        supervision.stop_recorded(stack.layout.run, stack.console.print)
        _refuse(port_conflicts.taken(stack.settings.bind, described))
    _write_configuration(stack, described)
    if not alive:
        supervisor.start()
        return
    if changed := supervisor.reload():
        stack.console.print(f"restarting with changed settings: {', '.join(changed)}")
    states = supervisor.states()
    idle = [service for service in described if not states[service.name].running]
    _refuse(port_conflicts.taken(stack.settings.bind, idle))


def _write_configuration(stack: Stack, described: Sequence[Service]) -> None:
    files = server_config.server_files(stack.settings, stack.layout)
    everything = server_config.settings_of_servers(stack.settings)
    programs = []
    for service in described:
        texts = files.get(service.name, {})
        data_folder.write_files(texts, service.account)
        spec_file = stack.layout.run / f"{service.name}.launch.json"
        spec = server_config.launch_spec(service, stack.layout)
        data_folder.write_files({spec_file: spec})
        decides = [
            spec,
            server_config.digest_of(repo_root(), service.package),
            *(texts.values() if texts else [everything]),
        ]
        programs.append(server_config.program(service, sys.executable, spec_file, decides))
    supervisor = stack.supervisor
    user = "root" if os.geteuid() == 0 else None
    text = server_config.supervisor_file(programs, stack.layout, supervisor.socket, user)
    data_folder.write_files({supervisor.config_file: text})


def _steps(stack: Stack, described: Sequence[Service]) -> list[Step]:
    prepare: dict[str, Callable[[], None]] = {
        "postgres": partial(
            data_folder.prepare_postgres, stack.settings, stack.layout, stack.servers, stack.account
        ),
        "kafka": partial(data_folder.prepare_kafka, stack.layout, stack.servers),
    }
    probe = probes(stack.settings)

    def start(service: Service, abandoned: threading.Event) -> None:
        prepare.get(service.name, lambda: None)()
        stack.supervisor.start_program(service.name)
        _wait_ready(stack, service, probe[service.name], abandoned)

    starts = [Step(service.name, service.needs, partial(start, service)) for service in described]
    sets = [
        Step(one.name, one.needs, partial(run_set_up, one, stack.environment, stack.layout.logs))
        for one in set_ups(stack.settings)
    ]
    return [*_builds(stack), *starts, *sets]


def _builds(stack: Stack) -> list[Step]:
    """The steps that build programs from sources, while the first servers already start."""
    if stack.settings.profile == "core":
        return []
    return [Step("versitygw", (), partial(s3_server.build, stack.layout.logs / "versitygw.log"))]


def _wait_ready(stack: Stack, service: Service, probe: Probe, abandoned: threading.Event) -> None:
    supervisor = stack.supervisor
    began = time.monotonic()
    processes_seen: set[int] = set()
    why = "its process does not stay"
    # the longer a server takes, the less often it is asked, to leave the processor to starting servers
    while not abandoned.wait(_PROBE_SECONDS + (time.monotonic() - began) * _PROBE_SHARE):
        state = supervisor.states()[service.name]
        processes_seen |= {state.pid} - {0}
        if state.running:
            try:
                probe(stack.settings)
            except NOT_READY as fault:
                why = str(fault)
            except LoginRefusedError as fault:
                raise Fault(str(fault)) from fault
            else:
                return
        if len(processes_seen) > _DEATHS_TOLERATED or time.monotonic() > began + service.ready_seconds:
            log = stack.layout.logs / f"{service.name}.log"
            raise Fault(f"{service.name} is not ready: {why}\nThe end of {log}:\n{tail(log)}")


def _stop(supervisor: Supervisor, run: Path, name: str, _abandoned: threading.Event) -> None:
    supervisor.stop_program(name)
    end_family(supervision.mark(run, name))


def _stop_steps(supervisor: Supervisor, run: Path) -> list[Step]:
    names = supervisor.states()
    steps: list[Step] = []
    before: list[str] = []
    for stage in _STOP_ORDER:
        stopping = [
            name
            for name in names
            if name not in before and any(f"{name}-".startswith(f"{one}-") for one in stage)
        ]
        steps += [Step(name, tuple(before), partial(_stop, supervisor, run, name)) for name in stopping]
        before += stopping
    return steps
