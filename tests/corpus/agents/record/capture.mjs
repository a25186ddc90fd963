// What every recorder of a coding agent shares: a fresh home and project, the scripted server and the sink around one run of the CLI.
import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ModelServer } from '../../js/record/server.mjs';
import { Sink } from '../../js/record/sink.mjs';

export const OUT = process.env.CAPTURES ?? join(tmpdir(), 'captures');
export const BIN = process.env.AGENT_BIN ?? join(import.meta.dirname, 'node_modules', '.bin');

/** Run a command to its end and give back {code, stdout, stderr}; killed after `seconds`. */
export function run(command, args, { env, cwd, input = '', seconds = 120 }) {
  return new Promise((done) => {
    const child = spawn(command, args, { env, cwd, stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => { stdout += data; });
    child.stderr.on('data', (data) => { stderr += data; });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const timer = setTimeout(() => child.kill('SIGKILL'), seconds * 1000);
    child.on('close', (code) => { clearTimeout(timer); done({ code, stdout, stderr }); });
  });
}

/**
 * Run a command that talks in lines of JSON: `hear` gets each line it says, and `say` to answer it; `end` closes its input.
 */
export function converse(command, args, { env, cwd, seconds = 60 }, first, hear) {
  return new Promise((done) => {
    const child = spawn(command, args, { env, cwd, stdio: ['pipe', 'pipe', 'pipe'] });
    const say = (value) => child.stdin.write(JSON.stringify(value) + '\n');
    const end = () => { child.stdin.end(); setTimeout(() => child.kill('SIGTERM'), 4000); };
    let stdout = '';
    let stderr = '';
    child.stderr.on('data', (data) => { stderr += data; });
    createInterface({ input: child.stdout }).on('line', (line) => {
      stdout += line + '\n';
      try { hear(JSON.parse(line), say, end); } catch { /* not a line for us */ }
    });
    child.stdin.on('error', () => {});
    for (const value of first) say(value);
    const timer = setTimeout(() => child.kill('SIGKILL'), seconds * 1000);
    child.on('close', (code) => { clearTimeout(timer); done({ code, stdout, stderr }); });
  });
}

/**
 * Record one scenario: `drive` gets {home, project, env, model, sink} and runs the CLI; what came to the sink and what the model
 * server served go to OUT under `name`.
 */
export async function record(name, { script, aux, facts = {}, keep = ['traces', 'logs'] }, drive) {
  const root = mkdtempSync(join(tmpdir(), 'clew-capture-'));
  const home = join(root, 'home');
  const project = join(root, 'project');
  mkdirSync(home, { recursive: true });
  mkdirSync(project);
  writeFileSync(join(project, 'notes.txt'), 'Paris: sunny, 21 degrees\n');
  writeFileSync(join(project, 'todo.txt'), 'water the plants\n');
  const model = await new ModelServer(script, { aux, seed: name }).start();
  const sink = await new Sink().start();
  const env = { PATH: process.env.PATH, HOME: home, TERM: 'xterm', LANG: 'C.UTF-8', USER: 'dev', SHELL: '/bin/sh' };
  const result = await drive({ home, project, env, model, sink, root });
  await model.stop();
  await sink.stop();
  for (const signal of Object.keys(sink.bodies)) if (!keep.includes(signal)) sink.bodies[signal] = [];
  const written = sink.write(OUT, name);
  const line = { name, written, facts, root, home, project, served: model.served, unknown: sink.other };
  mkdirSync(OUT, { recursive: true });
  appendFileSync(join(OUT, 'raw.jsonl'), JSON.stringify(line) + '\n');
  if (process.env.VERBOSE) {
    console.log(JSON.stringify({ code: result?.code, out: result?.stdout?.slice(0, 2000), err: result?.stderr?.slice(0, 2000) }, null, 1));
    for (const request of model.requests) console.log(request.method, request.path, request.body.model, 'tools', request.body.tools?.length ?? 0);
    console.log(model.errors.join('\n'));
  }
  if (process.env.DUMP) writeFileSync(join(OUT, `${name}.requests.json`), JSON.stringify(model.requests, null, 1));
  console.log(name, 'exit', result?.code, 'requests', model.served.length, JSON.stringify(Object.fromEntries(Object.entries(sink.bodies).map(([signal, got]) => [signal, got.length]))));
  rmSync(root, { recursive: true, force: true });
}

export { dirname, join, writeFileSync, mkdirSync };
