// A model server that answers from a script, in the shapes of four providers' APIs, and keeps what it really served: the truth of
// each capture comes from `served`, never from the spans.
import { createServer } from 'node:http';
import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';

const full = (usage) => ({ input: 0, output: 0, cacheRead: 0, cacheWrite: 0, reasoning: 0, ...usage });
const ANTHROPIC_STOP = { stop: 'end_turn', tool_calls: 'tool_use', length: 'max_tokens' };
const CREATED = 1767225600;

/**
 * A scripted model server.
 *
 * `script` is a list of replies, taken in order, or a function of ({api, model, stream, body, turn}) to a reply. A reply is
 * {text, tools: [{name, args}], reasoning, usage: {input, output, cacheRead, cacheWrite, reasoning}, status, aux}; totals are
 * inclusive: input counts the cache, output the reasoning. `status` other than 200 answers an error. `aux` answers are served
 * but not taken from the list (requests an agent makes for itself).
 */
export class ModelServer {
  constructor(script, { aux = () => null, seed = 'seed', delayMs = 0 } = {}) {
    this.script = script;
    this.aux = aux;
    this.seed = seed;
    this.delayMs = delayMs;
    this.served = [];
    this.errors = [];
    this.requests = [];
    this.turn = 0;
    this.count = 0;
    this.http = createServer((request, response) => this.#handle(request, response).catch((error) => {
      this.errors.push(String(error?.stack ?? error));
      if (!response.headersSent) response.writeHead(500);
      response.end(String(error));
    }));
  }

  async start() {
    await new Promise((done) => this.http.listen(0, '127.0.0.1', done));
    this.url = `http://127.0.0.1:${this.http.address().port}`;
    return this;
  }

  stop() {
    this.http.closeAllConnections();
    return new Promise((done) => this.http.close(done));
  }

  #id(prefix, size = 24) {
    this.count += 1;
    return prefix + createHash('sha256').update(`${this.seed} ${prefix} ${this.count}`).digest('hex').slice(0, size);
  }

  async #handle(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    let raw = Buffer.concat(chunks);
    if (request.headers['content-encoding'] === 'gzip') raw = gunzipSync(raw);
    const path = request.url.split('?')[0];
    let body = {};
    try { body = raw.length ? JSON.parse(raw) : {}; } catch { body = {}; }
    const api = this.#api(path);
    this.requests.push({ method: request.method, path: request.url, api, body, headers: request.headers });
    if (request.method !== 'POST' || !api) {
      const known = path.endsWith('/models') ? { object: 'list', data: [], models: [] } : { error: { type: 'not_found_error', message: 'not here' } };
      response.writeHead(path.endsWith('/models') ? 200 : 404, { 'content-type': 'application/json' });
      response.end(JSON.stringify(known));
      return;
    }
    if (api === 'anthropic.count' || api === 'gemini.count') {
      this.#json(response, { input_tokens: 10, totalTokens: 10 });
      return;
    }
    const gemini = path.match(/models\/([^:]+):(\w+)/);
    const call = {
      api, body, path,
      model: body.model ?? gemini?.[1] ?? 'unknown',
      stream: gemini ? gemini[2].startsWith('stream') : body.stream === true,
      turn: this.turn,
    };
    let reply = this.aux(call);
    if (!reply) {
      reply = typeof this.script === 'function' ? this.script(call) : this.script[Math.min(this.turn, this.script.length - 1)];
      this.turn += 1;
    }
    if (this.delayMs) await new Promise((done) => setTimeout(done, this.delayMs));
    await this.#answer(response, call, reply);
  }

  #api(path) {
    if (path.endsWith('/messages/count_tokens')) return 'anthropic.count';
    if (path.endsWith('/messages')) return 'anthropic.messages';
    if (path.endsWith('/chat/completions')) return 'openai.chat';
    if (path.endsWith('/responses')) return 'openai.responses';
    if (path.endsWith('/embeddings')) return 'openai.embeddings';
    if (path.endsWith(':countTokens')) return 'gemini.count';
    if (/:(stream)?[gG]enerateContent$/.test(path)) return 'gemini.generate';
    return null;
  }

  #json(response, value, headers = {}) {
    response.writeHead(200, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(value));
  }

  async #sse(response, events, headers) {
    response.writeHead(200, { 'content-type': 'text/event-stream', ...headers });
    for (const event of events) {
      response.write((event.event ? `event: ${event.event}\n` : '') + `data: ${typeof event.data === 'string' ? event.data : JSON.stringify(event.data)}\n\n`);
      await new Promise((done) => setTimeout(done, 2));
    }
    response.end();
  }

  async #answer(response, call, reply) {
    const requestId = this.#id('req_');
    const status = reply.status ?? 200;
    const usage = full(reply.usage);
    const tools = (reply.tools ?? []).map((tool) => ({ ...tool, id: this.#id(call.api === 'anthropic.messages' ? 'toolu_' : 'call_') }));
    const finish = reply.finish ?? (tools.length ? 'tool_calls' : 'stop');
    const record = {
      api: call.api, model_requested: call.model, stream: call.stream, status, request_id: requestId, aux: Boolean(reply.aux),
      agent: reply.agent ?? null,
    };
    this.served.push(record);
    if (status !== 200) {
      const message = reply.message ?? (status === 429 ? 'Too many requests, slow down' : 'The server had an error');
      const type = status === 429 ? 'rate_limit_error' : status === 400 ? 'invalid_request_error' : 'api_error';
      response.writeHead(status, { 'content-type': 'application/json', 'request-id': requestId, 'x-request-id': requestId, 'retry-after': '0', ...reply.headers });
      const error = call.api.startsWith('gemini')
        ? { error: { code: status, message, status: status === 429 ? 'RESOURCE_EXHAUSTED' : 'INTERNAL' } }
        : { type: 'error', error: { type, message, code: null, param: null }, request_id: requestId };
      response.end(JSON.stringify(error));
      return;
    }
    const model = reply.model ?? DATED[call.model] ?? call.model;
    Object.assign(record, {
      model, usage, finish, tools,
      usage_on_wire: !(call.api === 'openai.chat' && call.stream && !call.body.stream_options?.include_usage),
    });
    const headers = { 'request-id': requestId, 'x-request-id': requestId };
    const speak = {
      'anthropic.messages': this.#anthropic, 'openai.chat': this.#chat, 'openai.responses': this.#responses,
      'openai.embeddings': this.#embeddings, 'gemini.generate': this.#gemini,
    }[call.api];
    await speak.call(this, response, { call, reply, record, model, usage, tools, finish, headers });
  }

  async #anthropic(response, { call, reply, record, model, usage, tools, finish, headers }) {
    const id = record.response_id = this.#id('msg_');
    const wire = {
      input_tokens: usage.input - usage.cacheRead - usage.cacheWrite,
      cache_creation_input_tokens: usage.cacheWrite,
      cache_read_input_tokens: usage.cacheRead,
      cache_creation: { ephemeral_5m_input_tokens: usage.cacheWrite, ephemeral_1h_input_tokens: 0 },
      output_tokens: usage.output,
      service_tier: 'standard',
    };
    const content = [];
    if (reply.reasoning) content.push({ type: 'thinking', thinking: reply.reasoning, signature: 'c2lnbmF0dXJl' });
    if (reply.text) content.push({ type: 'text', text: reply.text });
    for (const tool of tools) content.push({ type: 'tool_use', id: tool.id, name: tool.name, input: tool.args });
    const message = { id, type: 'message', role: 'assistant', model, content, stop_reason: ANTHROPIC_STOP[finish] ?? finish, stop_sequence: null, usage: wire };
    if (!call.stream) return this.#json(response, message, headers);
    const events = [{ type: 'message_start', message: { ...message, content: [], stop_reason: null, usage: { ...wire, output_tokens: 1 } } }];
    content.forEach((block, index) => {
      const open = block.type === 'text' ? { type: 'text', text: '' } : block.type === 'thinking' ? { type: 'thinking', thinking: '', signature: '' } : { ...block, input: {} };
      events.push({ type: 'content_block_start', index, content_block: open });
      if (block.type === 'thinking') {
        events.push({ type: 'content_block_delta', index, delta: { type: 'thinking_delta', thinking: block.thinking } });
        events.push({ type: 'content_block_delta', index, delta: { type: 'signature_delta', signature: block.signature } });
      } else if (block.type === 'text') {
        for (const piece of pieces(block.text)) events.push({ type: 'content_block_delta', index, delta: { type: 'text_delta', text: piece } });
      } else {
        events.push({ type: 'content_block_delta', index, delta: { type: 'input_json_delta', partial_json: JSON.stringify(block.input) } });
      }
      events.push({ type: 'content_block_stop', index });
    });
    events.push({ type: 'message_delta', delta: { stop_reason: message.stop_reason, stop_sequence: null }, usage: wire });
    events.push({ type: 'message_stop' });
    await this.#sse(response, events.map((data) => ({ event: data.type, data })), headers);
  }

  async #chat(response, { call, reply, record, model, usage, tools, finish, headers }) {
    const id = record.response_id = this.#id('chatcmpl-');
    const wire = {
      prompt_tokens: usage.input, completion_tokens: usage.output, total_tokens: usage.input + usage.output,
      prompt_tokens_details: { cached_tokens: usage.cacheRead, audio_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: usage.reasoning, audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
    };
    const calls = tools.map((tool, index) => ({ index, id: tool.id, type: 'function', function: { name: tool.name, arguments: JSON.stringify(tool.args) } }));
    const base = { id, created: CREATED, model, service_tier: 'default', system_fingerprint: 'fp_scripted' };
    if (!call.stream) {
      const message = { role: 'assistant', content: reply.text ?? null, refusal: null, annotations: [] };
      if (calls.length) message.tool_calls = calls.map(({ index, ...rest }) => rest);
      return this.#json(response, { ...base, object: 'chat.completion', choices: [{ index: 0, message, logprobs: null, finish_reason: finish }], usage: wire }, headers);
    }
    const chunk = (delta, finishReason = null) => ({ ...base, object: 'chat.completion.chunk', choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }] });
    const events = [chunk({ role: 'assistant', content: '' })];
    for (const piece of pieces(reply.text ?? '')) events.push(chunk({ content: piece }));
    for (const item of calls) events.push(chunk({ tool_calls: [item] }));
    events.push(chunk({}, finish));
    if (record.usage_on_wire) events.push({ ...base, object: 'chat.completion.chunk', choices: [], usage: wire });
    await this.#sse(response, [...events, '[DONE]'].map((data) => ({ data })), headers);
  }

  async #responses(response, { call, reply, record, model, usage, tools, headers }) {
    const id = record.response_id = this.#id('resp_');
    const wire = {
      input_tokens: usage.input, input_tokens_details: { cached_tokens: usage.cacheRead },
      output_tokens: usage.output, output_tokens_details: { reasoning_tokens: usage.reasoning }, total_tokens: usage.input + usage.output,
    };
    const output = [];
    if (usage.reasoning) output.push({ id: this.#id('rs_'), type: 'reasoning', summary: reply.reasoning ? [{ type: 'summary_text', text: reply.reasoning }] : [] });
    for (const tool of tools) {
      output.push(tool.raw ?? { id: this.#id('fc_'), type: 'function_call', status: 'completed', call_id: tool.id, name: tool.name, ...(tool.namespace && { namespace: tool.namespace }), arguments: JSON.stringify(tool.args) });
    }
    if (reply.text) output.push({ id: this.#id('msg_'), type: 'message', status: 'completed', role: 'assistant', content: [{ type: 'output_text', text: reply.text, annotations: [], logprobs: [] }] });
    const done = {
      id, object: 'response', created_at: CREATED, status: 'completed', model, output, usage: wire, error: null, incomplete_details: null,
      instructions: null, metadata: {}, parallel_tool_calls: true, temperature: 1, tool_choice: 'auto', tools: [], top_p: 1, service_tier: 'default',
      previous_response_id: call.body.previous_response_id ?? null, reasoning: { effort: null, summary: null }, store: true, truncation: 'disabled', text: { format: { type: 'text' } }, user: null, max_output_tokens: null,
    };
    if (!call.stream) return this.#json(response, done, headers);
    const open = { ...done, status: 'in_progress', output: [], usage: null };
    const events = [{ type: 'response.created', response: open }, { type: 'response.in_progress', response: open }];
    output.forEach((item, index) => {
      const empty = item.type === 'message' ? { ...item, status: 'in_progress', content: [] } : item.type === 'function_call' ? { ...item, status: 'in_progress', arguments: '' } : item;
      events.push({ type: 'response.output_item.added', output_index: index, item: empty });
      if (item.type === 'message') {
        const at = { item_id: item.id, output_index: index, content_index: 0 };
        events.push({ type: 'response.content_part.added', ...at, part: { type: 'output_text', text: '', annotations: [], logprobs: [] } });
        for (const piece of pieces(item.content[0].text)) events.push({ type: 'response.output_text.delta', ...at, delta: piece, logprobs: [] });
        events.push({ type: 'response.output_text.done', ...at, text: item.content[0].text, logprobs: [] });
        events.push({ type: 'response.content_part.done', ...at, part: item.content[0] });
      } else if (item.type === 'function_call') {
        events.push({ type: 'response.function_call_arguments.delta', item_id: item.id, output_index: index, delta: item.arguments });
        events.push({ type: 'response.function_call_arguments.done', item_id: item.id, output_index: index, name: item.name, arguments: item.arguments });
      }
      events.push({ type: 'response.output_item.done', output_index: index, item });
    });
    events.push({ type: 'response.completed', response: done });
    await this.#sse(response, events.map((data, at) => ({ event: data.type, data: { ...data, sequence_number: at } })), headers);
  }

  #embeddings(response, { call, record, model, usage, headers }) {
    const texts = [].concat(call.body.input);
    record.finish = null;
    const data = texts.map((_, index) => ({
      object: 'embedding', index,
      embedding: call.body.encoding_format === 'base64' ? Buffer.from(new Float32Array([0.1, 0.2, 0.3]).buffer).toString('base64') : [0.1, 0.2, 0.3],
    }));
    this.#json(response, { object: 'list', data, model, usage: { prompt_tokens: usage.input, total_tokens: usage.input } }, headers);
  }

  async #gemini(response, { call, reply, record, model, usage, tools, finish, headers }) {
    record.response_id = this.#id('gem', 20);
    const wire = {
      promptTokenCount: usage.input, candidatesTokenCount: usage.output - usage.reasoning, totalTokenCount: usage.input + usage.output,
      ...(usage.cacheRead && { cachedContentTokenCount: usage.cacheRead }), ...(usage.reasoning && { thoughtsTokenCount: usage.reasoning }),
    };
    const parts = [];
    if (reply.reasoning) parts.push({ text: reply.reasoning, thought: true });
    if (reply.text) parts.push({ text: reply.text });
    for (const tool of tools) parts.push({ functionCall: { id: tool.id, name: tool.name, args: tool.args } });
    const last = { finishReason: finish === 'length' ? 'MAX_TOKENS' : 'STOP', index: 0 };
    const base = { modelVersion: model, responseId: record.response_id };
    if (!call.stream) return this.#json(response, { candidates: [{ content: { role: 'model', parts }, ...last }], usageMetadata: wire, ...base }, headers);
    const events = parts.map((part) => ({ candidates: [{ content: { role: 'model', parts: [part] }, index: 0 }], ...base }));
    events[events.length - 1] = { ...events.at(-1), candidates: [{ ...events.at(-1).candidates[0], ...last }], usageMetadata: wire };
    await this.#sse(response, events.map((data) => ({ data })), headers);
  }
}

const DATED = {
  'gpt-4o-mini': 'gpt-4o-mini-2024-07-18', 'o4-mini': 'o4-mini-2025-04-16', 'claude-sonnet-4-5': 'claude-sonnet-4-5-20250929',
};

function pieces(text) {
  const words = text.match(/\S+\s*/g) ?? [];
  const found = [];
  for (let at = 0; at < words.length; at += 3) found.push(words.slice(at, at + 3).join(''));
  return found;
}
