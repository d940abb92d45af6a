'use strict';
// A fleet of stations on ocpp-rpc, strict mode. Configuration is one JSON argument, commands are JSON lines on stdin
// (see `commands`), answers are JSON lines on stdout.

const { configuration, generator, say, serve, statsOf } = require('./peer');
const { Station } = require('./station');

const config = configuration({
  endpoint: null, // ws://host:port/path, without the identity
  count: 2, // the versions take turns
  prefix: 'S',
  protocols: ['ocpp1.6', 'ocpp2.0.1'], // 'ocpp2.1' too
  strict: true, // false: a station that can send wrong payloads
  burst: 0, // CALLs a station sends at once with each meter value; 0: one after the other
  call_timeout_ms: 30_000,
  backoff: { initialDelay: 200, maxDelay: 1000, factor: 2, randomisationFactor: 0.25 },
  seed: 1,
});

const random = generator(config.seed);
const fleet = new Map();
for (let n = 0; n < config.count; n += 1) {
  const protocol = config.protocols[n % config.protocols.length];
  const identity = `${config.prefix}${protocol.slice(4).replaceAll('.', '')}-${String(n).padStart(2, '0')}`;
  fleet.set(identity, new Station(identity, protocol, config, random));
}
const stations = [...fleet.values()];
const each = (work) => Promise.all(stations.map(work));

function stats() {
  return { stats: statsOf(new Map(stations.map((station) => [station.identity, station.counters]))) };
}

const commands = {
  // Connects everybody at once; done when all are accepted.
  async connect() {
    await each(async (station) => {
      await station.connect();
      await station.boot();
    });
    return { identities: [...fleet.keys()] };
  },
  // `sessions` sessions at every station, each with `meter_values` values every `interval_ms`; done when all have ended.
  async run({ sessions, meter_values, interval_ms, hold }) {
    await each((station) => station.run({ sessions, meter_values, interval_ms, hold }));
  },
  // Lets `run` end after the sessions that are going on.
  finish() {
    for (const station of stations) station.finishing = true;
  },
  // Ends the sessions that are held.
  async release() {
    await each((station) => {
      station.session?.stop('Local');
      return station.session?.done;
    });
  },
  // A CALL from one station; the result or the error's code comes back. No retry.
  async call({ identity, action, payload }) {
    return { result: await fleet.get(identity).client.call(action, payload) };
  },
  stats,
  // What each station sent and was told, and how many sessions have all their meter values.
  log: () => ({
    sessions: stations.flatMap(({ identity, protocol, sessions }) =>
      sessions.map(({ id, messages, measured = false, ended = false, reason }) =>
        ({ identity, protocol, id, messages, measured, ended, reason }))),
    received: Object.fromEntries(stations.map(({ identity, received }) => [identity, received])),
  }),
  async stop() {
    await each(async (station) => {
      await station.settle();
      await station.close();
    });
    return stats();
  },
};

say({ ready: true });
serve(commands);
