"""A crew of CrewAI."""

import clew.auto  # noqa: F401, I001

import harness
import scripted
from crewai import LLM, Agent, Crew, Process, Task
from crewai.tools import tool

STREAMS = harness.KIND[harness.SCENARIO] == "streamed"
llm = LLM(model=f"openai/{harness.OPENAI_MODEL}", base_url=harness.OPENAI_URL, api_key="sk-test", stream=STREAMS)


@tool("get_weather")
def get_weather(city: str) -> str:
    """Current weather of a city."""
    return harness.get_weather(city)


def agent(*tools, role="travel_assistant", **more):
    goal, backstory = "Answer questions of travellers", harness.SYSTEM
    return Agent(role=role, goal=goal, backstory=backstory, llm=llm, tools=list(tools), max_retry_limit=0, **more)


def crew(prompt, who, *others, **more):
    task = Task(description=prompt, expected_output="One sentence", agent=who)
    return Crew(agents=[who, *others], tasks=[task], process=Process.sequential, name="travel_crew", **more)


def one(prompt):
    return str(crew(prompt, agent()).kickoff())


async def one_async(prompt):
    return str(await crew(prompt, agent()).akickoff())


streamed, streamed_async = one, one_async


def left(prompt):
    for piece in crew(prompt, agent(), stream=True).kickoff():
        return piece.content
    return None


def loop(prompt):
    return str(crew(prompt, agent(get_weather)).kickoff())


async def loop_async(prompt):
    return str(await crew(prompt, agent(get_weather)).akickoff())


def handover(prompt):
    return str(crew(prompt, agent(allow_delegation=True), agent(role="weather_expert")).kickoff())


scripted.main(globals())
