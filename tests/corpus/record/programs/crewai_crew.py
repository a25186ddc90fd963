"""A crew of CrewAI over OpenAI."""

import os

os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false", "CREWAI_TESTING": "true"}

import harness

harness.set_up()

from crewai import LLM, Agent, Crew, Process, Task  # noqa: E402
from crewai.tools import tool  # noqa: E402

llm = LLM(
    model=f"openai/{harness.OPENAI_MODEL}",
    base_url=harness.OPENAI_URL,
    api_key="sk-test",
    stream=harness.KIND[harness.SCENARIO] == "streamed",
)


@tool("get_weather")
def get_weather(city: str) -> str:
    """Current weather of a city."""
    return harness.get_weather(city)


def agent(tools=(), role="travel_assistant", **more):
    return Agent(
        role=role,
        goal="Answer questions of travellers",
        backstory=harness.SYSTEM,
        llm=llm,
        tools=list(tools),
        max_retry_limit=0,
        **more,
    )


def crew(prompt, who, *others):
    task = Task(description=prompt, expected_output="One sentence", agent=who)
    return str(Crew(agents=[who, *others], tasks=[task], process=Process.sequential, name="travel_crew").kickoff())


def one(prompt):
    return crew(prompt, agent())


streamed = one


def loop(prompt):
    return crew(prompt, agent([get_weather]))


def handover(prompt):
    return crew(prompt, agent(allow_delegation=True), agent(role="weather_expert"))


harness.main(globals())
