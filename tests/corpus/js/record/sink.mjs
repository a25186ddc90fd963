// An OTLP receiver over HTTP that keeps the bodies it gets, in order of arrival.
import { createServer } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SIGNALS = { traces: '.otlp', logs: '.logs.otlp', metrics: '.metrics.otlp' };

export class Sink {
  constructor() {
    this.bodies = { traces: [], logs: [], metrics: [] };
    this.other = [];
    this.http = createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      let body = Buffer.concat(chunks);
      if (request.headers['content-encoding'] === 'gzip') body = gunzipSync(body);
      const signal = Object.keys(SIGNALS).find((name) => request.url.split('?')[0].endsWith(`/v1/${name}`));
      const type = request.headers['content-type'] ?? '';
      if (signal) this.bodies[signal].push({ type, body });
      else this.other.push({ url: request.url, type });
      response.writeHead(200, { 'content-type': type });
      response.end(!signal || type.includes('json') ? '{}' : '');
    });
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

  /** Write DIR/NAME.otlp, NAME.logs.otlp and NAME.metrics.otlp: records of a 4-byte little-endian length and a body. */
  write(dir, name) {
    mkdirSync(dir, { recursive: true });
    const written = {};
    for (const [signal, ending] of Object.entries(SIGNALS)) {
      if (!this.bodies[signal].length) continue;
      const json = this.bodies[signal].some(({ type }) => type.includes('json'));
      const records = this.bodies[signal].flatMap(({ body }) => {
        const size = Buffer.alloc(4);
        size.writeUInt32LE(body.length);
        return [size, body];
      });
      written[signal] = name + ending + (json ? '.json' : '');
      writeFileSync(join(dir, written[signal]), Buffer.concat(records));
    }
    return written;
  }
}
