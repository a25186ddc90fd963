// Records what JavaScript libraries send: `node record.mjs [part of a name ...]`. Each capture is a program run in a process of its own
// against the scripted model server, its telemetry going to a sink; both write to CAPTURES, which keep.py turns into files of the corpus.
import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EMBEDDED, handover, script } from './scenarios.mjs';
import { ModelServer } from './server.mjs';
import { Sink } from './sink.mjs';
import { FAMILIES } from './families.mjs';

const OUT = process.env.CAPTURES ?? join(tmpdir(), 'captures-js');
const NODE = join(import.meta.dirname, 'node_modules', 'node', 'bin', 'node');
const wanted = process.argv.slice(2);
const versionOf = (name) => JSON.parse(readFileSync(join(import.meta.dirname, 'node_modules', name, 'package.json'))).version;

function run(program, env) {
  return new Promise((done) => {
    const child = spawn(NODE, [join(import.meta.dirname, 'programs', program)], { env, cwd: import.meta.dirname });
    let output = '';
    child.stdout.on('data', (data) => { output += data; });
    child.stderr.on('data', (data) => { output += data; });
    const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
    child.on('close', (code) => { clearTimeout(timer); done({ code, output }); });
  });
}

/** Runs that go on at the same time have a script each, told apart by the prompt's mark. */
function replies(scenario, provider, { handoverTool, embedded = EMBEDDED }) {
  const turns = new Map();
  return (call) => {
    if (call.api === 'openai.embeddings') return { usage: embedded };
    const mark = scenario === 'S10' ? Number(JSON.stringify(call.body).match(/\(traveller (\d)\)/)[1]) : 0;
    const turn = turns.get(mark) ?? 0;
    turns.set(mark, turn + 1);
    const list = scenario === 'S9' ? handover(handoverTool, call.body.tools?.length ? {} : {}) : script(scenario, provider, mark);
    return list[Math.min(turn, list.length - 1)];
  };
}

for (const family of FAMILIES) {
  for (const full of family.scenarios) {
    const [scenario, variant = ''] = full.split('.');
    const name = `${family.name}__${full}`;
    if (wanted.length && !wanted.some((word) => (word.endsWith("$") ? `${name}$`.endsWith(word) : name.includes(word)))) continue;
    const { provider = 'openai' } = family;
    const model = await new ModelServer(replies(scenario, provider, family), { seed: name }).start();
    const sink = await new Sink().start();
    const result = await run(family.program, {
      PATH: process.env.PATH, HOME: join(OUT, 'home'), SCENARIO: scenario, VARIANT: variant, PROVIDER: provider, MODEL_URL: model.url, SINK_URL: sink.url,
      CONTENT: variant.includes('nocontent') ? 'off' : 'on', ...(family.appSpan?.includes(full) && { APP_SPAN: '1' }), ...family.env,
    });
    await model.stop();
    await sink.stop();
    const written = sink.write(OUT, name);
    const facts = {
      library_version: versionOf(family.library), instrumentation_package: family.instrumentation ?? family.library,
      instrumentation_version: versionOf(family.instrumentation ?? family.library), dialect: family.dialect, content: !variant.includes('nocontent'),
      stacked: family.stacked ?? false, app_parent_span: Boolean(family.appSpan?.includes(full)), runs: scenario === 'S10' ? 3 : 1, session_id: family.session ?? null,
      ...(scenario === 'S9' && { handoffs: 1, tool_calls: 0 }),
      ...(scenario === 'approved' && { gates: [{ tool: 0, outcome: 'allow', source: 'user' }] }),
      ...(scenario === 'refused' && { tool_calls: 0, gates: [{ tool: 0, outcome: 'deny', source: 'user' }] }),
      ...family.facts?.[full],
    };
    mkdirSync(OUT, { recursive: true });
    appendFileSync(join(OUT, 'raw.jsonl'), JSON.stringify({ name, written, facts, served: model.served, home: join(OUT, 'home'), unknown: sink.other }) + '\n');
    const counts = Object.fromEntries(Object.entries(sink.bodies).map(([signal, got]) => [signal, got.length]));
    console.log(name, 'exit', result.code, 'requests', model.served.length, JSON.stringify(counts), sink.other.length ? JSON.stringify(sink.other) : '', model.errors.join(' '));
    if (process.env.VERBOSE || result.code) console.log(result.output);
  }
}
