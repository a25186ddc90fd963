// The client library of Anthropic with the tool loop written by hand; an older one for the setup that does not know the newest.
import { createRequire } from 'node:module';
import { MODEL_URL, SCENARIO, SYSTEM, getWeather, runs } from './harness.mjs';
import { instrument } from './setups.mjs';

const anthropic = process.env.SETUP === 'openinference' ? await import('@anthropic-ai/sdk') : createRequire(import.meta.url)(process.env.SETUP === 'traceloop' ? 'anthropic-old' : '@anthropic-ai/sdk');
const { finish, inContext, tool } = await instrument({ anthropic });
const Anthropic = anthropic.Anthropic ?? anthropic.default;
const client = new Anthropic({ baseURL: MODEL_URL, apiKey: 'dummy', maxRetries: SCENARIO === 'S7' ? 0 : 2 });
const weather = tool('get_weather', async (args) => getWeather(args));
const tools = [{
  name: 'get_weather', description: 'Current weather of a city.',
  input_schema: { type: 'object', properties: { city: { type: 'string', description: 'Name of the city.' } }, required: ['city'] },
}];
const options = { model: 'claude-sonnet-4-5', max_tokens: 1024, system: SYSTEM };

async function messages(prompt) {
  const said = [{ role: 'user', content: prompt }];
  for (;;) {
    const answer = await client.messages.create({ ...options, messages: said, ...(['S4', 'C1'].includes(SCENARIO) && { tools }) });
    said.push({ role: 'assistant', content: answer.content });
    const calls = answer.content.filter((block) => block.type === 'tool_use');
    if (!calls.length) return answer.content[0].text;
    const results = [];
    for (const call of calls) results.push({ type: 'tool_result', tool_use_id: call.id, content: await weather(call.input) });
    said.push({ role: 'user', content: results });
  }
}

async function stream(prompt) {
  const events = await client.messages.create({ ...options, messages: [{ role: 'user', content: prompt }], stream: true });
  let text = '';
  for await (const event of events) text += event.delta?.text ?? '';
  return text;
}

await runs((prompt) => inContext(() => (SCENARIO === 'S2' ? stream(prompt) : messages(prompt))), finish);
