"""The deploy folder holds together: its files fit each other and the contract, seen without a Docker engine."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from clew_processor.config import load as load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSES = ["compose.yaml", "compose.embedded.yaml"]
SOURCES = {"compose.yaml": "server.yaml", "compose.embedded.yaml": "embedded.yaml"}

#: Addresses of the contract, and Grafana's own.
PORTS = {"processor": {4317, 4318, 8123}, "grafana": {3000}}

#: Keys of the data source that may be provisioned (grafana/clickhouse-datasource 4.20, `src/types/config.ts`).
SOURCE_KEYS = {
    "host", "port", "protocol", "username", "defaultDatabase", "queryTimeout", "maxOpenConns", "maxIdleConns", "traces",
}  # fmt: skip


def load(name: str) -> dict:
    return yaml.safe_load((DEPLOY / name).read_text("utf-8"))


def source(compose: str) -> dict:
    (found,) = load(f"grafana/datasources/{SOURCES[compose]}")["datasources"]
    return found


def dockerfile() -> str:
    return (DEPLOY / "processor.Dockerfile").read_text("utf-8").replace("\\\n", " ")


def variables(text: str) -> dict[str, str]:
    """Variable -> what follows its name, of every `${NAME...}`."""
    return dict(re.findall(r"\$\{(\w+)([^}]*)\}", text))


@pytest.mark.parametrize("compose", COMPOSES)
def test_everything_mounted_or_built_from_exists(compose):
    content = load(compose)
    for service in content["services"].values():
        for volume in service.get("volumes", []):
            host = volume.split(":")[0]
            assert (DEPLOY / host).exists() if host.startswith(".") else host in content["volumes"], volume
        if build := service.get("build"):
            assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()


@pytest.mark.parametrize("compose", COMPOSES)
def test_ports_are_those_of_the_contract_and_stay_on_the_machine(compose):
    services = load(compose)["services"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert {name: {int(port.split(":")[2]) for port in ports} for name, ports in published.items()} == PORTS
    for port in (port for ports in published.values() for port in ports):
        host, outside, inside = port.split(":")
        assert (host, outside) == ("127.0.0.1", inside)


@pytest.mark.parametrize("compose", COMPOSES)
def test_images_are_pinned_to_a_release(compose):
    images = [service["image"] for service in load(compose)["services"].values()]
    assert all(re.search(r":\d+\.\d+\.\d+", image) for image in images), images


def test_base_images_and_tools_are_pinned():
    stages = re.findall(r"^FROM (\S+)", dockerfile(), re.MULTILINE)
    assert all(re.search(r":\d+\.\d+\.\d+", image) for image in stages), stages
    uv = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert f"uv=={uv[1]} " in dockerfile()


@pytest.mark.parametrize("compose", COMPOSES)
def test_no_password_has_a_default(compose):
    text = (DEPLOY / compose).read_text("utf-8")
    example = dict(
        line.split("=", 1)
        for line in (DEPLOY / "example.env").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    )
    used = variables(text)
    assert used.keys() <= example.keys()
    secrets = {name for name in example if name.endswith("_PASSWORD")}
    assert all(example[name] == "" for name in secrets)
    assert all(used[name].startswith(":?") for name in secrets & used.keys())
    for service in load(compose)["services"].values():
        for name, value in service.get("environment", {}).items():
            if name.endswith("_PASSWORD"):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name


@pytest.mark.parametrize("compose", COMPOSES)
def test_processor_gets_settings_it_knows(compose):
    environment = load(compose)["services"]["processor"]["environment"]
    built_in = dict(re.findall(r"(CLEW_\w+)=(\S+)", dockerfile()))
    load_settings({}, environ=environment | built_in)  # an unknown name is an error
    assert built_in["CLEW_GRPC"].endswith(":4317")
    assert built_in["CLEW_HTTP"].endswith(":4318")
    assert built_in["CLEW_QUERY"].endswith(":8123")
    assert f"{built_in['CLEW_DATA']}" in [
        volume.split(":")[1] for volume in load(compose)["services"]["processor"]["volumes"]
    ]


def test_server_store_is_the_server_of_the_compose_file():
    services = load("compose.yaml")["services"]
    server = services["clickhouse"]["environment"]
    user, password, host, port, database = re.fullmatch(
        r"clickhouse://(\w+):(\$\{.+\})@(\w+):(\d+)/(\w+)", services["processor"]["environment"]["CLEW_STORE"]
    ).groups()
    assert host in services
    assert port == "8123"
    assert (user, password, database) == (
        server["CLICKHOUSE_USER"],
        server["CLICKHOUSE_PASSWORD"],
        server["CLICKHOUSE_DB"],
    )
    assert "CLEW_STORE" not in load("compose.embedded.yaml")["services"]["processor"]["environment"]


def test_image_runs_as_nobody_in_particular_and_says_when_it_is_ready():
    text = dockerfile()
    user = re.findall(r"^USER (\S+)$", text, re.MULTILINE)
    assert user == ["clew"]
    assert "useradd --uid 10001" in text
    assert set(re.search(r"^EXPOSE (.+)$", text, re.MULTILINE)[1].split()) == {"4317", "4318", "8123"}
    assert "http://127.0.0.1:4318/readyz" in re.search(r"^HEALTHCHECK .+$", text, re.MULTILINE)[0]
    assert re.search(r'^CMD \["clew", "up"\]$', text, re.MULTILINE)


def test_what_the_image_copies_is_in_its_build_context():
    copied = [
        path for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile(), re.MULTILINE) for path in line.split()[:-1]
    ]
    ignore = (DEPLOY / "processor.Dockerfile.dockerignore").read_text("utf-8").splitlines()
    let_in = [line[1:] for line in ignore if line.startswith("!")]
    assert copied
    for path in copied:
        assert (ROOT / path).exists(), path
        assert any(fnmatch.fnmatch(path, pattern) or path.startswith(f"{pattern}/") for pattern in let_in), path


@pytest.mark.parametrize("compose", COMPOSES)
def test_grafana_is_given_a_data_source_that_answers(compose):
    services = load(compose)["services"]
    provisioned = source(compose)
    settings = provisioned["jsonData"]
    assert provisioned["type"] == "grafana-clickhouse-datasource"
    assert provisioned["isDefault"]
    assert settings.keys() <= SOURCE_KEYS
    assert settings["defaultDatabase"] == "clew"
    assert settings["traces"]["defaultTable"] == "otel_traces"
    assert settings["host"] in services
    expected = {"clickhouse": ("native", 9000), "processor": ("http", 8123)}[settings["host"]]
    assert (settings["protocol"], settings["port"]) == expected
    plugin = services["grafana"]["environment"]["GF_PLUGINS_PREINSTALL_SYNC"]
    assert re.fullmatch(r"grafana-clickhouse-datasource@4\.\d+\.\d+", plugin)


@pytest.mark.parametrize("compose", COMPOSES)
def test_grafana_finds_what_is_mounted_for_it(compose):
    grafana = load(compose)["services"]["grafana"]
    mounted = {host: target for host, target, *_ in (volume.split(":") for volume in grafana["volumes"])}
    (provider,) = load("grafana/dashboards/clew.yaml")["providers"]
    assert mounted["../dashboards/json"] == provider["options"]["path"]
    provisioning = "/etc/grafana/provisioning"
    assert mounted["./grafana/dashboards/clew.yaml"].startswith(f"{provisioning}/dashboards/")
    assert mounted[f"./grafana/datasources/{SOURCES[compose]}"].startswith(f"{provisioning}/datasources/")


def test_grafana_may_only_read_and_may_set_its_time_out():
    services = load("compose.yaml")["services"]
    settings = source("compose.yaml")["jsonData"]
    users = ET.parse(DEPLOY / "clickhouse/users.d/grafana.xml").getroot()
    user = users.find(f"users/{settings['username']}")
    password = user.find("password").get("from_env")
    assert password in services["clickhouse"]["environment"]
    assert source("compose.yaml")["secureJsonData"]["password"] == f"${password}"
    assert services["grafana"]["environment"][password] == services["clickhouse"]["environment"][password]
    assert [grant.text for grant in user.findall("grants/query")] == ["GRANT SELECT ON clew.*"]
    profile = users.find(f"profiles/{user.findtext('profile')}")
    assert profile.findtext("readonly") == "1"
    constraint = profile.find("constraints/max_execution_time")
    assert constraint.find("changeable_in_readonly") is not None
    # The driver asks for five seconds more than the data source's own limit.
    assert int(constraint.findtext("max")) >= int(settings["queryTimeout"]) + 5


def test_collector_passes_every_span_and_log_record_on_to_the_processor():
    config = load("collector/config.yaml")
    assert config["service"]["pipelines"].keys() == {"traces", "logs"}
    for pipeline in config["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert pipeline[kind] == list(config[kind])
    assert config["exporters"]["otlp"]["endpoint"] == "${env:CLEW_ENDPOINT:-127.0.0.1:4317}"
    assert not [name for name in config["processors"] if "sampl" in name or "filter" in name]


def test_readme_says_what_has_not_been_tried():
    assert "has not been run" in (DEPLOY / "README.md").read_text("utf-8")
