// The client library of OpenAI, chat completions, with the tool loop written by hand; `.responses` uses the responses API.
import { createRequire } from 'node:module';
import { OPENAI_MODEL, OPENAI_URL, SCENARIO, SYSTEM, VARIANT, DOCUMENTS, getWeather, runs } from './harness.mjs';
import { instrument } from './setups.mjs';

const openai = process.env.SETUP === 'openinference' ? await import('openai') : createRequire(import.meta.url)('openai');
const { finish, inContext, tool, wrap } = await instrument({ openai });
const OpenAI = openai.OpenAI ?? openai.default;
const client = wrap(new OpenAI({ baseURL: OPENAI_URL, apiKey: 'dummy', maxRetries: SCENARIO === 'S7' ? 0 : 2 }));
const parameters = { type: 'object', properties: { city: { type: 'string', description: 'Name of the city.' } }, required: ['city'] };
const schema = { name: 'get_weather', description: 'Current weather of a city.', parameters };
const weather = tool('get_weather', async (args) => getWeather(args));
const safely = async (args) => { try { return await weather(args); } catch (error) { return `error: ${error.message}`; } };

async function chat(prompt) {
  const messages = [{ role: 'system', content: SYSTEM }, { role: 'user', content: prompt }];
  const tools = ['S4', 'S8', 'S10', 'S12', 'C1'].includes(SCENARIO) ? { tools: [{ type: 'function', function: schema }] } : {};
  for (;;) {
    const { choices: [{ message }] } = await client.chat.completions.create({ model: OPENAI_MODEL, messages, ...tools });
    messages.push(message);
    if (!message.tool_calls?.length) return message.content;
    for (const call of message.tool_calls) {
      messages.push({ role: 'tool', tool_call_id: call.id, content: await safely(JSON.parse(call.function.arguments)) });
    }
  }
}

async function stream(prompt) {
  const messages = [{ role: 'system', content: SYSTEM }, { role: 'user', content: prompt }];
  const pieces = await client.chat.completions.create({
    model: OPENAI_MODEL, messages, stream: true, ...(SCENARIO !== 'S3' && { stream_options: { include_usage: true } }),
  });
  let text = '';
  for await (const piece of pieces) text += piece.choices[0]?.delta?.content ?? '';
  return text;
}

async function responses(prompt) {
  const input = [{ role: 'user', content: prompt }];
  const tools = SCENARIO === 'S4' || SCENARIO === 'C1' ? { tools: [{ type: 'function', ...schema, strict: false }] } : {};
  for (;;) {
    const response = await client.responses.create({ model: OPENAI_MODEL, instructions: SYSTEM, input, ...tools });
    const calls = response.output.filter((item) => item.type === 'function_call');
    if (!calls.length) return response.output_text;
    input.push(...response.output);
    for (const call of calls) input.push({ type: 'function_call_output', call_id: call.call_id, output: await safely(JSON.parse(call.arguments)) });
  }
}

async function rag(prompt) {
  await client.embeddings.create({ model: 'text-embedding-3-small', input: DOCUMENTS });
  return chat(prompt);
}

const one = VARIANT.includes('responses') ? responses : SCENARIO === 'S11' ? rag : ['S2', 'S3'].includes(SCENARIO) ? stream : chat;
await runs((prompt) => inContext(() => one(prompt)), finish);
