"""
What every test may ask for: servers of its own, a network that breaks, and a report that hides nothing.

A test that uses one of the servers below is a *service* test: it is marked so here and not by hand. It never
passes by being skipped: without a server it fails, with a message that says how to provide one.

    vhost                 a RabbitMQ virtual host, one a module; `vhost.url`, `vhost.management_url`
    database_url          a PostgreSQL database of this test alone, migrated
    empty_database_url    the same without tables
    broker, database      the servers themselves, shared by the run: not to be killed
    rabbitmq_node         a private node of this test alone: kill, freeze and restart it
    rabbitmq_cluster      three nodes, one cluster a module
    postgres_node         a private PostgreSQL of this test alone
    tls_authority         a test certificate authority, one a module
    rabbitmq_tls_node     a private node that speaks TLS, one a module
    services_folder       a folder servers of other users can work in, for nodes a test makes itself
    tcp_proxy             a connection to any of them that can be cut, frozen and slowed
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.services.postgres import Database, PostgresNode
from tests.services.processes import make_folder, remove_folder
from tests.services.proxy import TCPProxy
from tests.services.rabbitmq import Broker, RabbitMQCluster, RabbitMQNode, Vhost
from tests.services.shared import TEMPLATE, SharedServices
from tests.services.template import migrate
from tests.services.tls import Authority

_SHARED = frozenset({"services", "broker", "vhost", "database", "database_url", "empty_database_url"})
_PRIVATE = frozenset(
    {"services_folder", "rabbitmq_node", "rabbitmq_cluster", "rabbitmq_tls_node", "postgres_node"}
)

SAMPLES = Path(__file__).parents[2] / "shared" / "samples"
"""Published sample messages, beside a checkout and not part of it."""

# A test says itself which settings it runs with: what the shell of the person running it holds is not part of it.
for _name in [name for name in os.environ if name.startswith("AXIS_") and not name.startswith("AXIS_TEST_")]:
    del os.environ[_name]

# The machine is shared and slow at times: a property is judged by its examples, not by the clock.
hypothesis.settings.register_profile("axis", deadline=None, print_blob=True)
hypothesis.settings.load_profile("axis")


class _Run:
    """One test run: its servers, and the account of its service tests."""

    def __init__(self, config: pytest.Config) -> None:
        worker_input: dict[str, object] | None = getattr(config, "workerinput", None)
        self.leads = worker_input is None
        if worker_input is None:
            self.services = SharedServices.make(environment=os.environ)
        else:
            self.services = SharedServices(
                Path(str(worker_input["axis_services_folder"])),
                owner_pid=int(str(worker_input["axis_services_owner"])),
                environment=os.environ,
            )
        self.service_tests: Counter[str] = Counter()
        self.not_run: list[str] = []

    def count(self, report: pytest.TestReport) -> None:
        is_service = ("axis", "service") in report.user_properties
        if report.skipped and not hasattr(report, "wasxfail"):
            self.not_run.append(report.nodeid)
            self.service_tests["not run"] += is_service
        elif report.when == "call":
            self.service_tests["run"] += is_service


_RUN = pytest.StashKey[_Run]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--nothing-skipped",
        action="store_true",
        help="end with a failure when a test was skipped, or when no service test ran",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "private_node: kills or configures servers, so it starts its own and uses no others"
    )
    config.addinivalue_line(
        "markers",
        "threat(threat, control=...): this test proves a control; a row of the table in SECURITY.md",
    )
    config.stash[_RUN] = _Run(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell a worker process of pytest-xdist where the run's servers are and who owns them."""
    run = node.config.stash[_RUN]  # type: ignore[attr-defined] # pytest-xdist has no types for its nodes
    worker_input = node.workerinput  # type: ignore[attr-defined] # as above
    worker_input["axis_services_folder"] = str(run.services.folder)
    worker_input["axis_services_owner"] = str(os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    run = config.stash.get(_RUN, None)
    if run is not None and run.leads:
        run.services.stop()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    elsewhere = config.stash[_RUN].services.remote_hosts()
    if not SAMPLES.is_dir() and not os.environ.get("CI"):
        # Published sample messages are not part of the project. Where they lie beside it, as in CI, they are judged;
        # elsewhere those tests do not exist, and the summary says so. None is skipped.
        items[:] = [item for item in items if item.get_closest_marker("published_samples") is None]
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        if asked & _PRIVATE:
            item.add_marker("private_node")
        if asked & (_PRIVATE | _SHARED):
            item.add_marker("service")
        if item.get_closest_marker("service"):
            # A folder or module may be called "service" too, so the marker alone does not tell in a report.
            item.user_properties.append(("axis", "service"))
            if elsewhere:
                item.add_marker(pytest.mark.allow_hosts(["127.0.0.1", "localhost", "::1", *elsewhere]))


class _Account:
    """Counts, in the leading process, what the workers report."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._run = config.stash[_RUN]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._run.count(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._run.not_run.append(report.nodeid)

    def _complaints(self) -> list[str]:
        if not self._config.getoption("--nothing-skipped"):
            return []
        complaints = [f"not run: {nodeid}" for nodeid in sorted(set(self._run.not_run))]
        if not self._run.service_tests["run"]:
            complaints.append("no service test ran")
        return complaints

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self._complaints() and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for complaint in self._complaints():
            terminalreporter.write_line(complaint, red=True)
        if not SAMPLES.is_dir():
            terminalreporter.write_line(
                f"published samples: none in {SAMPLES}, so nothing was judged by them"
            )
        ran, not_run = self._run.service_tests["run"], self._run.service_tests["not run"]
        if ran or not_run:
            servers = " and ".join(self._run.services.in_use()) or "servers of their own"
            terminalreporter.write_line(f"service tests: {ran} ran, {not_run} did not, on {servers}")


def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.stash[_RUN].leads:
        session.config.pluginmanager.register(_Account(session.config), "axis-account")


# --- Servers the run shares


@pytest.fixture(scope="session")
def services(pytestconfig: pytest.Config) -> SharedServices:
    """RabbitMQ and PostgreSQL for this run: named by AXIS_TEST_* or started on loopback."""
    return pytestconfig.stash[_RUN].services


@pytest.fixture(scope="session")
def broker(services: SharedServices) -> Broker:
    """The RabbitMQ server of this run. Shared: a test that kills it asks for `rabbitmq_node` instead."""
    return services.broker()


@pytest.fixture(scope="module")
def vhost(broker: Broker) -> Iterator[Vhost]:
    """A virtual host of this module alone, with the administrator's rights."""
    made = broker.make_vhost()
    yield made
    made.remove()


@pytest.fixture(scope="session")
def database(services: SharedServices) -> Database:
    """The PostgreSQL server of this run. Shared: a test that kills it asks for `postgres_node` instead."""
    return services.database()


@pytest.fixture(scope="session")
def _template(services: SharedServices, database: Database) -> str:
    def make() -> dict[str, object]:
        name = database.create()
        migrate(database.url_of(name))
        return {"name": name}

    return str(services.once(TEMPLATE, make)["name"])


@pytest.fixture
def database_url(database: Database, _template: str) -> Iterator[str]:
    """The address of a database of this test alone, with the ledger's tables when there are migrations."""
    name = database.create(template=_template)
    yield database.url_of(name)
    database.drop(name)


@pytest.fixture
def empty_database_url(database: Database) -> Iterator[str]:
    """The address of a database of this test alone, without tables."""
    name = database.create()
    yield database.url_of(name)
    database.drop(name)


# --- Servers of one test, to be broken


@pytest.fixture(scope="module")
def services_folder() -> Iterator[Path]:
    """A folder for servers: other users can reach it, unlike pytest's own."""
    folder = make_folder("axis-private")
    yield folder
    remove_folder(folder)


@pytest.fixture
def rabbitmq_node() -> Iterator[RabbitMQNode]:
    """A running RabbitMQ node of this test alone (about 5 s)."""
    with RabbitMQNode(make_folder("axis-rabbitmq")) as node:
        yield node


@pytest.fixture(scope="module")
def rabbitmq_cluster() -> Iterator[RabbitMQCluster]:
    """Three running nodes that form a cluster, for this module alone (about 20 s)."""
    with RabbitMQCluster(make_folder("axis-cluster")) as cluster:
        yield cluster


@pytest.fixture
def postgres_node() -> Iterator[PostgresNode]:
    """A running PostgreSQL server of this test alone (about 1 s)."""
    with PostgresNode(make_folder("axis-postgres")) as node:
        yield node


@pytest.fixture(scope="module")
def tls_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A test certificate authority that issues server and client certificates."""
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def rabbitmq_tls_node(tls_authority: Authority) -> Iterator[RabbitMQNode]:
    """A running RabbitMQ node with TLS and certificate login; `node.broker.url()` is `amqps://localhost:...`."""
    with RabbitMQNode(make_folder("axis-rabbitmq-tls"), tls=tls_authority.for_broker()) as node:
        yield node


@pytest.fixture
def tcp_proxy() -> Iterator[Callable[[str], TCPProxy]]:
    """Makes a breakable connection in front of the server an address names: `tcp_proxy(vhost.url)`."""
    proxies: list[TCPProxy] = []

    def make(url: str) -> TCPProxy:
        proxy = TCPProxy.before(url)
        proxies.append(proxy)
        proxy.start()
        return proxy

    yield make
    for proxy in proxies:
        proxy.stop()
