// LangChain's agent (a LangGraph graph) over OpenAI; `approved` and `refused` interrupt it for a person.
import * as callbacks from '@langchain/core/callbacks/manager';
import * as tools from '@langchain/core/tools';
import { z } from 'zod';
import { OPENAI_MODEL, OPENAI_URL, SCENARIO, SESSION, SYSTEM, getWeather, runs } from './harness.mjs';
import { instrument } from './setups.mjs';

const setup = await instrument({ langchain: callbacks });
const { ChatOpenAI } = await import('@langchain/openai');
const { createAgent, humanInTheLoopMiddleware } = await import('langchain');
const { Command, MemorySaver } = await import('@langchain/langgraph');

const asked = ['approved', 'refused'].includes(SCENARIO);
const model = new ChatOpenAI({
  model: OPENAI_MODEL, apiKey: 'dummy', configuration: { baseURL: OPENAI_URL }, streaming: SCENARIO === 'S2', maxRetries: SCENARIO === 'S7' ? 0 : 2,
});
const weather = tools.tool(async (args) => getWeather(args), {
  name: 'get_weather', description: 'Current weather of a city.', schema: z.object({ city: z.string().describe('Name of the city.') }),
});
const config = { callbacks: setup.callbacks(), configurable: { thread_id: SESSION }, recursionLimit: 30 };

async function one(prompt) {
  if (['S1', 'S2', 'S5', 'S6', 'S7'].includes(SCENARIO)) {
    const answer = await model.invoke([['system', SYSTEM], ['human', prompt]], config);
    return answer.content;
  }
  const agent = createAgent({
    model, tools: [weather], systemPrompt: SYSTEM,
    ...(asked && { checkpointer: new MemorySaver(), middleware: [humanInTheLoopMiddleware({ interruptOn: { get_weather: true } })] }),
  });
  let result = await agent.invoke({ messages: [{ role: 'user', content: prompt }] }, config);
  if (asked) {
    const decision = SCENARIO === 'approved' ? { type: 'approve' } : { type: 'reject', message: 'not now' };
    result = await agent.invoke(new Command({ resume: { decisions: [decision] } }), config);
  }
  return result.messages.at(-1).content;
}

await runs((prompt) => setup.inContext(() => one(prompt)), setup.finish);
