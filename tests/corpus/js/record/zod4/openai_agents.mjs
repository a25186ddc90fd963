// In a folder of its own because it needs another version of zod. The agents library of OpenAI over the responses API; S9 hands over to a second agent; `approved` and `refused` ask a person.
import * as agents from '@openai/agents';
import OpenAI from 'openai';
import { z } from 'zod';
import { OPENAI_MODEL, OPENAI_URL, SCENARIO, SESSION, SYSTEM, VARIANT, getWeather, runs } from '../programs/harness.mjs';
import { instrument } from '../programs/setups.mjs';

const setup = await instrument({ agents });
agents.setDefaultOpenAIClient(new OpenAI({ baseURL: OPENAI_URL, apiKey: 'dummy', maxRetries: SCENARIO === 'S7' ? 0 : 2 }));
agents.setOpenAIAPI(VARIANT.includes('chat') ? 'chat_completions' : 'responses');
const asked = ['approved', 'refused'].includes(SCENARIO);
const weather = agents.tool({
  name: 'get_weather', description: 'Current weather of a city.', parameters: z.object({ city: z.string() }), execute: async (args) => getWeather(args), needsApproval: asked,
});
const expert = new agents.Agent({ name: 'Expert', instructions: SYSTEM, model: OPENAI_MODEL, tools: [weather] });
const triage = agents.Agent.create({ name: 'Triage', instructions: SYSTEM, model: OPENAI_MODEL, handoffs: [expert] });

async function one(prompt) {
  const agent = SCENARIO === 'S9' ? triage : expert;
  const runner = new agents.Runner({ groupId: SESSION, workflowName: 'travel', traceMetadata: {} });
  let result = await runner.run(agent, prompt);
  if (asked) {
    for (const item of result.interruptions) (SCENARIO === 'approved' ? result.state.approve(item) : result.state.reject(item));
    result = await runner.run(agent, result.state);
  }
  return result.finalOutput;
}

await runs((prompt) => setup.inContext(() => one(prompt)), async () => { await agents.getGlobalTraceProvider().forceFlush(); await setup.finish(); });
