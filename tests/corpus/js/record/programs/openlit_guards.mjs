// OpenLIT's guards around a call of the OpenAI client: what they decide becomes span events.
import { createRequire } from 'node:module';
import { OPENAI_MODEL, OPENAI_URL, SINK_URL, SYSTEM, VARIANT, runs } from './harness.mjs';

const openai = createRequire(import.meta.url)('openai');
const module = await import('openlit');
const Openlit = module.default.default ?? module.default;
const action = { denied: 'deny', redacted: 'redact', warned: 'warn' }[VARIANT] ?? 'deny';
Openlit.init({
  applicationName: 'travel-assistant', environment: 'test', otlpEndpoint: SINK_URL, captureMessageContent: true, disableMetrics: true, instrumentations: { openai }, pricingJson: {},
  guards: [new Openlit.PII({ action })], guardFailOpen: false,
});
const client = new openai.OpenAI({ baseURL: OPENAI_URL, apiKey: 'dummy' });
const asked = VARIANT ? ' My mail is ada@example.com.' : '';

await runs(async (prompt) => {
  const messages = [{ role: 'system', content: SYSTEM }, { role: 'user', content: prompt + asked }];
  const { choices } = await client.chat.completions.create({ model: OPENAI_MODEL, messages });
  return choices[0].message.content;
}, () => new Promise((done) => setTimeout(done, 6000)));
