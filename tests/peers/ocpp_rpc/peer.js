'use strict';
// What both programs share: the counters of one identity, JSON lines over stdin/stdout, a seeded generator.

const readline = require('readline');
const { RPCClient } = require('ocpp-rpc');

const COUNTERS = [
  'calls_received', // CALLs that arrived
  'results_sent', // CALLRESULTs written while the socket was open
  'calls_made', // CALLs written
  'results_got', // CALLRESULTs received for our CALLs
  'errors', // CALLERRORs in either direction, and CALLs that timed out
  'schema_errors', // payloads that strict mode refused, in either direction
  'protocol_errors', // frames that are no OCPP-J, and answers nobody asked for
  'lost_calls', // our CALLs that ended with their socket: no error, they are sent again
  'lost_answers', // answers that had no open socket any more
  'retries', // repeats of a lost CALL (stations)
  'connections', // sockets opened
];

class Counters {
  constructor() {
    for (const name of COUNTERS) this[name] = 0;
    this.max_in_flight = 0; // most CALLs of the other side unanswered at one moment on one socket
    this.max_sockets = 0; // most sockets open at one moment (CSMS)
    this.actions = {}; // CALLs that arrived, by action
    this.examples = []; // the first few errors, for the reader of a failed test
  }

  example(kind, detail) {
    if (this.examples.length < 5) this.examples.push(`${kind}: ${detail}`.slice(0, 400));
  }

  // Counts everything that passes `client`, an RPCClient or an RPCServerClient.
  watch(client) {
    const inFlight = new Set();
    client.on('call', ({ outbound, payload }) => {
      if (outbound) {
        this.calls_made += 1;
        return;
      }
      const [, messageId, action] = payload;
      this.calls_received += 1;
      this.actions[action] = (this.actions[action] ?? 0) + 1;
      inFlight.add(messageId);
      this.max_in_flight = Math.max(this.max_in_flight, inFlight.size);
    });
    client.on('response', ({ outbound, payload }) => {
      if (!outbound) return; // answers to our own CALLs are counted below, by their outcome
      const [type, messageId] = payload;
      inFlight.delete(messageId);
      // The library emits this before it sends, also when there is no socket left to send on.
      if (client.state !== RPCClient.OPEN) this.lost_answers += 1;
      else if (type === 3) this.results_sent += 1;
      else this.failed('CALLERROR sent', payload.slice(2));
    });
    client.on('callResult', ({ outbound }) => {
      if (outbound) this.results_got += 1;
    });
    client.on('callError', ({ outbound, method, error }) => {
      if (!outbound) return; // the same CALLERROR is seen in 'response'
      if (isLost(error)) this.lost_calls += 1;
      else this.failed(`${method} failed`, [error.rpcErrorCode ?? error.name, error.message]);
    });
    client.on('strictValidationFailure', ({ method, outbound, isCall, error }) => {
      this.schema_errors += 1;
      this.example('schema', `${method} ${isCall ? 'CALL' : 'CALLRESULT'} ${outbound ? 'out' : 'in'}: ${error.message}`);
    });
    client.on('badMessage', ({ buffer, error }) => {
      this.protocol_errors += 1;
      this.example('protocol', `${error.message} ${buffer}`);
    });
    // A dead socket takes its unanswered CALLs along.
    client.on('disconnect', () => inFlight.clear());
  }

  failed(what, detail) {
    this.errors += 1;
    this.example('error', `${what} ${JSON.stringify(detail)}`);
  }
}

// A CALL that failed because its socket is gone. The library knows two spellings.
function isLost(error) {
  return error.name === 'AbortError' || error.message === 'Cannot make call while socket not open';
}

function statsOf(countersByIdentity) {
  const total = new Counters();
  for (const counters of countersByIdentity.values()) {
    for (const name of COUNTERS) total[name] += counters[name];
    for (const name of ['max_in_flight', 'max_sockets']) total[name] = Math.max(total[name], counters[name]);
    for (const [action, n] of Object.entries(counters.actions)) total.actions[action] = (total.actions[action] ?? 0) + n;
    for (const text of counters.examples) if (total.examples.length < 20) total.examples.push(text);
  }
  return { total, peers: Object.fromEntries(countersByIdentity) };
}

function say(line) {
  process.stdout.write(JSON.stringify(line) + '\n');
}

// Runs `commands[cmd](line)` for each JSON line on stdin; commands may overlap. The answer carries the line's `id`.
// The end of stdin ends the process, so an orphan never stays behind.
function serve(commands) {
  const lines = readline.createInterface({ input: process.stdin });
  lines.on('line', async (text) => {
    let line = {};
    try {
      line = JSON.parse(text);
      const command = commands[line.cmd];
      if (!command) throw Error(`unknown command ${line.cmd}`);
      say({ id: line.id, ok: true, ...(await command(line)) });
      if (line.cmd === 'stop') process.stdout.write('', () => process.exit(0));
    } catch (error) {
      say({ id: line.id, ok: false, error: error.rpcErrorCode ?? error.name, message: error.message });
    }
  });
  lines.on('close', () => process.exit(0));
}

// mulberry32: small, and the same numbers for the same seed.
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function configuration(defaults) {
  return { ...defaults, ...JSON.parse(process.argv[2] ?? '{}') };
}

module.exports = { Counters, configuration, generator, isLost, say, serve, statsOf };
